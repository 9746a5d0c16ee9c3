"""A small made-up audit of 400 patients: `plain`, `good`, `twin` and `flagged` models."""

import json

from pipeline.config.gates import gates_of
from pipeline.gate.audits import Audit

THREAT = "clinical; any wrong answer; white box; every value by at most eps 0.3"
RIGHT, MISSED = "right answers under attack, eps 0.3", "missed diagnoses (of the ill)"
# (0.70 +- 0.05), and so on
VALUES = {"baseline": 0.70, "good": 0.80, "twin": 0.79, "flagged": 0.95}
DIGEST = "ab" * 32


def figure(name, good, defense, value, half, **more):
    return {
        "risk": "evasion",
        "figure": name,
        "good": good,
        "defense": defense,
        "value": value,
        "low": round(value - half, 6),
        "high": round(value + half, 6),
        "difference": None,
        "se": None,
        "among": "400 patients",
        "threat": THREAT,
        **more,
    }


def content(values=VALUES, half=0.05, flags=(("flagged", "degenerate"),), reviewed=True):
    right = [figure(RIGHT, "high", name, value, half) for name, value in values.items()]
    missed = [
        figure(MISSED, "low", name, 1 - value, half, threat="") for name, value in values.items()
    ]
    return {
        "format": 1,
        "figures_version": 2,
        "audited": {
            "cohort": {"name": "ward", "patients": 400, "sha256": "cd" * 32},
            "models": {
                "defenses": [*values, "unmeasured"],
                "sha256": dict.fromkeys(values, DIGEST),
            },
            "threats": {"names": ["clinical", "sparse"], "reviewed": reviewed},
            "confidence": 0.95,
        },
        "figures": right + missed,
        "flags": [{"defense": one, "flag": flag, "evidence": "seen"} for one, flag in flags],
    }


COMPARISON = """\
defense,threat,eps,robust_accuracy,robust_low,robust_high,bare
good,clinical,0,0.9,0.88,0.92,0.5
good,clinical,0.3,0.8,0.75,0.85,0.5
good,sparse,1,0.6,0.5,0.7,
baseline,clinical,0.3,0.7,0.65,0.75,0.5
twin,clinical,0.3,0.79,0.74,0.84,0.5
"""
PAIRS = """\
figure,defense,other,difference,se,patients
robust_accuracy,good,baseline,0.1,0.01,400
robust_accuracy,twin,good,-0.01,0.002,400
"""


def written(folder, tables=True, **more):
    """The audit in a folder, read back."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "audit.json").write_text(json.dumps(content(**more)))
    if tables:
        (folder / "comparison.csv").write_text(COMPARISON)
        (folder / "evasion_pairs.csv").write_text(PAIRS)
    return Audit.read(folder)


def gates(defense="good", accept=None, unclear="fail", **named):
    return gates_of(
        {"defense": defense, "accept": accept or {}, "unclear": unclear, **named}, "conf"
    )


RIGHT_ANSWERS = "evasion/right_answers_under_attack"
