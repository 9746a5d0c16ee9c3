"""Which rows of the catalogues the guard has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(5) model evasion", "guard_attacks", HERE, "what passes the guard, by reach"),
    Evidence("Art. 15(4) redundancy", "guard_price", PARTLY, "a person decides; who, is not shown"),
    Evidence("C11.1.4", "guard_attacks", HERE, "attackers who know of the guard"),
    Evidence("C11.4.2", "guard_price", PARTLY, "gating by proof; of what lies near the line alone"),
    Evidence("C11.3.2", "guard_theft", HERE, "copies from answers and referrals, by role"),
    Evidence("C11.2.5", "guard_membership", PARTLY, "from answers and referrals; two attacks"),
    Evidence("C11.3.1", "guard_alarms", PARTLY, "alarms on referrals and diagnoses, simulated"),
    Evidence("AML.T0015", "guard_attacks", HERE, "evasion through the guard"),
    Evidence("AML.T0040", "guard_theft", PARTLY, "what each role may ask, and what it is shown"),
    Evidence("design: outputs", "guard_membership", PARTLY, "what answers and referrals tell"),
)
