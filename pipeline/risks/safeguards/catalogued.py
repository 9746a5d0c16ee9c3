"""Which rows of the catalogues safeguards have evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("C11.4.1", "sanitised", PARTLY, "sanitisers, attacked by who knows them"),
    Evidence("C11.4.2", "referred", PARTLY, "referral of the doubtful; none is deployed"),
    Evidence("C11.2.3", "conformal_sets", PARTLY, "conformal sets, and under attack"),
    Evidence("C11.1.4", "safeguard_verdicts", HERE, "which mitigations survive who adapts"),
)
