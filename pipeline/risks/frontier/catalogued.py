"""Which rows of the catalogues the privacy frontier has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Annex IV 2(h)", "frontier", PARTLY, "what each epsilon costs; none is deployed"),
    Evidence("C11.2.4", "frontier", PARTLY, "each epsilon, recomputed and audited; none deployed"),
    Evidence("analysis", "frontier", PARTLY, "an audit of claimed epsilons"),
    Evidence("design: training", "frontier", HERE, "differential privacy at several epsilons"),
)
