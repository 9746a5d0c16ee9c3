"""Which rows of the catalogues evasion has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(1)", "comparison", PARTLY, "the model, not the system around it"),
    Evidence("Art. 15(3)", "comparison", PARTLY, "metrics with intervals; no instructions for use"),
    Evidence("Art. 15(4) errors", "comparison", PARTLY, "errors of measurement, no other faults"),
    Evidence("Art. 15(5) model evasion", "attacks", HERE, "each attack, each threat, each radius"),
    Evidence("Art. 15(5) model flaws", "comparison", PARTLY, "what raises a flag, nothing else"),
    Evidence("Annex IV 2(g) metrics", "comparison", HERE, "accuracy and robustness by radius"),
    Evidence("Annex IV 2(g) groups", "groups", PARTLY, "by diagnosis and the configured groups"),
    Evidence("Annex IV 2(h)", "evasion_pairs", PARTLY, "what each defense changes; none deployed"),
    Evidence("MEASURE 2.7", "attacks", PARTLY, "of evasion; not of the service around the model"),
    Evidence("NISTAML.02", "attacks", PARTLY, "integrity at the time of use"),
    Evidence("NISTAML.022", "attacks", HERE, "white-box attacks and proofs"),
    Evidence("NISTAML.025", "attacks", HERE, "attackers with scores, labels or transfer alone"),
    Evidence("AML.T0015", "attacks", HERE, "what each attack leaves"),
    Evidence("AML.T0040", "attacks", HERE, "attackers who see answers alone"),
    Evidence("AML.T0043.000", "attacks", HERE, "attackers with gradients, and the verifier"),
    Evidence("AML.T0043.001", "attacks", HERE, "attackers with scores or labels"),
    Evidence("AML.T0043.002", "attacks", HERE, "records made against another model"),
    Evidence("AML.T0044", "attacks", HERE, "attackers who hold the weights"),
    Evidence("AML.T0005", "attacks", PARTLY, "a proxy from training records or from answers"),
    Evidence("ML01:2023", "attacks", HERE, "each attack, each threat, each radius"),
    Evidence("C11.1.3", "attacks", HERE, "attacks on tables of records"),
    Evidence("C11.1.4", "evasion_pairs", PARTLY, "what hardening changes; none is deployed"),
    Evidence("C11.2.3", "comparison", PARTLY, "calibration of unchanged records, no more"),
)
