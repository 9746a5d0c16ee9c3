"""Which rows of the catalogues the federation has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(5) data poisoning", "federation_harm", PARTLY, "hostile hospitals alone"),
    Evidence("Art. 15(5) model poisoning", "federation_harm", HERE, "updates that are replaced"),
    Evidence("Art. 15(5) confidentiality", "federation_seen", PARTLY, "updates that a server sees"),
    Evidence("NISTAML.011", "federation_harm", HERE, "model poisoning by a participant"),
    Evidence("NISTAML.026", "federation_harm", HERE, "backdoors by a participant"),
    Evidence("ML10:2023", "federation_harm", HERE, "model poisoning by a participant"),
    Evidence("NISTAML.032", "federation_seen", PARTLY, "from updates; not from answers"),
    Evidence("NISTAML.033", "federation_members", PARTLY, "by a participant and the server"),
    Evidence("testing: reconstruction", "federation_seen", PARTLY, "from updates of a hospital"),
    Evidence(
        "testing: membership inference", "federation_members", PARTLY, "by participants, the server"
    ),
)
