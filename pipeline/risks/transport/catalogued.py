"""Which rows of the catalogues transport has evidence of."""

from pipeline.risks.catalogues import PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(1)", "transport", PARTLY, "accuracy elsewhere and later, within the cohort"),
    Evidence("Annex IV 2(g) data", "transport_spread", PARTLY, "sites and periods of the cohort"),
    Evidence("AML.T0031", "transport", PARTLY, "drift that nobody causes"),
    Evidence("ML08:2023", "transport", PARTLY, "drift that nobody causes"),
)
