"""Which rows of the catalogues poisoning has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(5) data poisoning", "poisoning", HERE, "each attack from one record on"),
    Evidence("Annex IV 2(h)", "filters", PARTLY, "what filters find; none is deployed"),
    Evidence("MEASURE 2.7", "poisoning", PARTLY, "of training records"),
    Evidence("NISTAML.012", "poisoning", PARTLY, "right labels, changed values: one attack"),
    Evidence("NISTAML.013", "poisoning", HERE, "labels changed at random and worst first"),
    Evidence("NISTAML.023", "poisoning", HERE, "a trigger with changed labels"),
    Evidence("NISTAML.024", "poisoning", HERE, "one named patient"),
    Evidence("AML.T0018.000", "poisoning", PARTLY, "by records, not by weights"),
    Evidence("AML.T0020", "poisoning", HERE, "each attack"),
    Evidence("AML.T0043.004", "poisoning", HERE, "records that carry the trigger"),
    Evidence("AML.T0059", "poisoning", HERE, "what is left of the figures"),
    Evidence("ML02:2023", "poisoning", HERE, "each attack"),
    Evidence("ML10:2023", "poisoning", PARTLY, "by records, not by weights"),
    Evidence("C11.4.3", "filters", PARTLY, "filters on training records, no pipeline"),
)
