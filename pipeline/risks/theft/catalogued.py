"""Which rows of the catalogues theft has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(5) confidentiality", "theft", PARTLY, "of the model itself"),
    Evidence("MEASURE 2.7", "theft", PARTLY, "of the model itself"),
    Evidence("NISTAML.031", "theft", HERE, "copies by number of queries"),
    Evidence("AML.T0005.001", "theft", HERE, "copies by number of queries"),
    Evidence("AML.T0024", "theft", PARTLY, "of the model itself"),
    Evidence("AML.T0024.002", "theft", HERE, "copies by number of queries"),
    Evidence("AML.T0048.004", "theft", PARTLY, "fidelity of a copy, no harm to its owner"),
    Evidence("ML05:2023", "theft", HERE, "copies by number of queries"),
    Evidence("C11.2.2", "theft", PARTLY, "how many queries a copy takes; no endpoint is tested"),
    Evidence("C11.3.2", "theft_api", PARTLY, "what coarser answers change; no endpoint is tested"),
    Evidence("design: outputs", "theft_api", PARTLY, "what coarser answers cost, not of privacy"),
)
