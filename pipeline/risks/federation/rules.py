"""Which rule of aggregation stands the attacks that were tried: of each the strongest, and a word.

A loss is what an attack takes away from the same federation without it: right answers, ill who are
found, and ill whom the trigger hides beyond those whom it hides without attack.
"""

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

import pandas as pd

from pipeline.risks.columns import DEFENSE
from pipeline.risks.federation.measure.federations import NONE

LOSS = 0.05  # of right answers, of the ill found, of the ill hidden: more is too much
STANDS, GIVES_WAY, OPEN = "stands", "gives way", "not told"
GROUP = ("defense", "hospitals", "aggregate", "malicious")
# figure -> whether it is good where it is high
JUDGED = {"accuracy": True, "sensitivity": True, "attack_success_rate": False}
ENDS = ("", "_low", "_high")
COLUMNS = {
    "federation_rules": {
        **DEFENSE,
        "hospitals": "of the federation",
        "aggregate": "the server's rule",
        "malicious": "hospitals in each model",
        "attacks": "that were tried; each figure below is under the one that makes it worst",
        "clean_accuracy": "right answers without attack",
        "accuracy_attack": "the attack that leaves least right answers",
        "accuracy": "what it leaves",
        "clean_missed": "called healthy, of the ill, without attack",
        "missed_attack": "the attack that leaves most of the ill unfound",
        "missed_diagnosis_rate": "called healthy, of the ill, under it",
        "auroc_attack": "the attack that orders patients worst",
        "auroc": "chance that an ill patient is scored above a healthy one, under it",
        "backdoor": "the attack whose trigger hides most of the ill; empty = none writes one",
        "attack_success_rate": "those whom it hides; as in `federation_harm`",
        "control": "the same trigger, without attack",
        "verdict": f"{STANDS}: the interval of no loss reaches above {LOSS:g}; {GIVES_WAY}: some "
        f"loss is above {LOSS:g}, at the level of all of them together; else {OPEN}",
        "why": "by which attack it gives way, or leaves it open",
    }
}


def rules_table(harm: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """One row for each federation and rule, in the order of `federation_harm`.

    Args:
        harm: `federation_harm`.
        confidence: of its intervals.
    """
    rows = [
        {**dict(zip(GROUP, key, strict=True)), **_of_rule(own, confidence)}
        for key, own in harm.groupby(list(GROUP), sort=False)
    ]
    bounded = {"clean_accuracy", "accuracy", "clean_missed", "missed_diagnosis_rate", "auroc"}
    bounded |= {"attack_success_rate"}
    columns = [
        f"{name}{end}"
        for name in COLUMNS["federation_rules"]
        for end in (ENDS if name in bounded else ("",))
    ]
    return pd.DataFrame(rows).reindex(columns=columns)


def _of_rule(rows: pd.DataFrame, confidence: float) -> dict[str, Any]:
    clean, attacked = rows[rows["attack"] == NONE].iloc[0], rows[rows["attack"] != NONE]
    line: dict[str, Any] = {"attacks": len(attacked)}
    for name, figure in (("clean_accuracy", "accuracy"), ("clean_missed", "missed_diagnosis_rate")):
        line |= {f"{name}{end}": clean[f"{figure}{end}"] for end in ENDS}
    worst = {
        "accuracy": ("accuracy_attack", True),
        "missed_diagnosis_rate": ("missed_attack", False),
        "auroc": ("auroc_attack", True),
        "attack_success_rate": ("backdoor", False),
    }
    for figure, (name, low) in worst.items():
        tried = attacked.dropna(subset=figure).sort_values(figure, ascending=low, kind="stable")
        if len(tried):
            row = tried.iloc[0]
            line |= {name: row["attack"]} | {
                f"{figure}{end}": row[f"{figure}{end}"] for end in ENDS
            }
            if name == "backdoor":
                line["control"] = row["control"]
    return {"backdoor": "", **line, **verdict_of(attacked, confidence)}


def verdict_of(attacked: pd.DataFrame, confidence: float) -> Mapping[str, str]:
    """`verdict` and `why` of the attacks on one rule.

    That a rule stands takes every one of the intervals; that it gives way takes one of many, so it
    is widened as if all were asked at once (Bonferroni).
    """
    losses = list(_losses(attacked))
    wider = _wider(confidence, max(1, len(losses)))
    above = [(loss - wider * (loss - low), name) for loss, low, _, name in losses]
    if above and max(above)[0] > LOSS:
        most = max(
            (loss, name) for loss, low, _, name in losses if loss - wider * (loss - low) > LOSS
        )
        return {"verdict": GIVES_WAY, "why": most[1]}
    left = [(high, name) for _, _, high, name in losses if not high <= LOSS]
    if not left:
        return {"verdict": STANDS, "why": ""}
    return {"verdict": OPEN, "why": max(left)[1]}


def _losses(attacked: pd.DataFrame) -> Iterator[tuple[float, float, float, str]]:
    """Of every attack and figure: the loss, its least, its most, and the attack."""
    for line in attacked.to_dict("records"):
        for figure, good in JUDGED.items():
            change, low, high = (float(line[f"{figure}_difference{end}"]) for end in ENDS)
            if math.isnan(change):
                continue
            loss = (-change, -high, -low) if good else (change, low, high)
            yield (*loss, str(line["attack"]))


def _wider(confidence: float, count: int) -> float:
    """By how much an interval is wider that is one of so many."""
    tail, normal = (1 - confidence) / 2, NormalDist()
    return normal.inv_cdf(1 - tail / count) / normal.inv_cdf(1 - tail)
