"""Which rows of the catalogues inversion has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(5) confidentiality", "inversion", PARTLY, "of private measurements"),
    Evidence("MEASURE 2.7", "inversion", PARTLY, "of private measurements"),
    Evidence("NISTAML.03", "inversion", PARTLY, "of private measurements"),
    Evidence("NISTAML.032", "inversion", PARTLY, "one measurement of a known record"),
    Evidence("AML.T0024", "inversion", PARTLY, "of private measurements"),
    Evidence("AML.T0024.001", "inversion", HERE, "guesses with and without the model"),
    Evidence("ML03:2023", "inversion", HERE, "guesses with and without the model"),
    Evidence("queries", "inversion", PARTLY, "private measurements; on average, not each person"),
    Evidence("testing: attribute inference", "inversion", HERE, "members and others apart"),
    Evidence("testing: model inversion", "typical", HERE, "the typical patient of a class"),
)
