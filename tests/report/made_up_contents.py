"""Contents of pages that nothing was measured for."""

from pipeline.report.contents import Contents
from pipeline.report.matrix import Cell, Matrix, Row
from pipeline.risks.risk import Judgement

HONEST = {"baseline": Judgement(), "hard": Judgement()}
FLAGGED = {**HONEST, "masked": Judgement({"masked_mouth": "why so", "deaf": "and so"})}
LABEL = "masked [masked mouth, deaf]"
MATRIX = Matrix(
    [("baseline", ""), ("hard", ""), ("masked", "masked mouth, deaf")],
    [
        Row(
            "rumour",
            "heard",
            "lower is better",
            "3 listeners",
            "two tongues",
            [
                Cell("0.667", "0.600 to 0.733"),
                Cell("0.200", "0.180 to 0.220", "▲ better", "better"),
                Cell("0.050", "0.045 to 0.055", "better, but flagged", "", True),
            ],
        )
    ],
)
NOTHING = Contents(
    title="Robustness and privacy audit: Rumours",
    facts=[("Cohort", "3 listeners, 1 ill")],
    provenance=[("medsecure", "1.2.3"), ("code", "0123456789abcdef"), ("data", "fedcba9876543210")],
    warnings=[],
    judged=HONEST,
    findings=[],
    cover=None,
    matrix=Matrix([], []),
    conclusions=[],
    untested=[("", "Whispers.")],
    notes=["By this rule."],
    chapters=[],
    places={},
    owners={},
)
