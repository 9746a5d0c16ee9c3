"""Which rows of the catalogues forged scans have evidence of."""

from pipeline.risks.catalogues import PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(5) model evasion", "forgery_answers", PARTLY, "scans edited by hand"),
    Evidence("AML.T0043.003", "forgery_answers", PARTLY, "five edits inside a box; no generator"),
    Evidence("NISTAML.022", "forgery_answers", PARTLY, "edits by hand, made for no model"),
    Evidence("ML01:2023", "forgery_answers", PARTLY, "edits by hand, made for no model"),
    Evidence("C11.4.1", "forgery", PARTLY, "a detector of forged scans, and a forger who blurs"),
)
