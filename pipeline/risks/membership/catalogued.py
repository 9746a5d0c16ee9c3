"""Which rows of the catalogues membership inference has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(5) confidentiality", "membership", PARTLY, "of who was trained on"),
    Evidence("Annex IV 2(g) groups", "subgroups", PARTLY, "exposure by group"),
    Evidence("MEASURE 2.7", "membership", PARTLY, "of membership"),
    Evidence("NISTAML.03", "membership", PARTLY, "of membership"),
    Evidence("NISTAML.033", "membership", HERE, "each attack, with a control that sees no model"),
    Evidence("AML.T0024", "membership", PARTLY, "of membership"),
    Evidence("AML.T0024.000", "membership", HERE, "each attack"),
    Evidence("ML04:2023", "membership", HERE, "each attack"),
    Evidence("C11.2.4", "membership", PARTLY, "the claimed epsilon of one recipe, and its audit"),
    Evidence("C11.2.5", "membership", HERE, "each attack against guessing, with its interval"),
    Evidence("analysis", "membership", PARTLY, "an audit of claimed epsilons"),
    Evidence("design: training", "membership_pairs", PARTLY, "what each recipe changes"),
    Evidence("testing: membership inference", "membership", HERE, "each attack; by group, too"),
)
