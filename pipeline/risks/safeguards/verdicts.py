"""What may be concluded of every safeguard, from the adaptive attacker alone.

Shapes: S repetitions x N patients; an attacker's figures are those of one radius.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.config import BASELINE
from pipeline.risks.risk import nearest_in
from pipeline.risks.safeguards.figures import passed_on, thresholds, whose_rule
from pipeline.risks.safeguards.measure.referred import CONTROL, Referrals
from pipeline.risks.safeguards.measure.sanitised import NOTHING, Margins
from pipeline.statistics import Array, intervals
from pipeline.statistics.conclusions import Difference, verdict_columns
from pipeline.statistics.intervals import Sampling

LOT = "lot"  # referral of as many, whoever they are
SENSITIVITY = "sensitivity"
SANITISE, ALGORITHM, REFER = "sanitise", "algorithm", "refer"
# Name, against whom, figure -> what each patient adds (N,) of either, HIGHER = BETTER.
Asked = dict[tuple[str, str, str], tuple[Array, Array]]


def verdict_table(
    margins: Margins,
    referrals: Referrals,
    *,
    beside: list[str],
    rate: float,
    eps: float,
    sampling: Sampling,
) -> pd.DataFrame:
    """What is concluded of every safeguard, from the adaptive attacker alone.

    Args:
        margins: of sanitisers and of the recipes beside.
        referrals: of rules.
        beside: the more robust recipes.
        rate: of referral at which rules are compared.
        eps: of the adaptive attacker; the nearest radius that was tried.
        sampling: of the standard errors.
    """
    at = margins.eps.index(nearest_in([one for one in margins.eps if one > 0], eps))
    others = [name for name in margins.clean if name != NOTHING]
    figures = {name: _figures(margins, name, at) for name in margins.clean}
    lines: list[dict[str, Any]] = []
    for mitigation in (SANITISE, ALGORITHM):
        names = [name for name in others if (name in beside) == (mitigation == ALGORITHM)]
        asked = {
            (name, NOTHING, figure): (value, figures[NOTHING][figure])
            for name in names
            for figure, value in figures[name].items()
        }
        head = {"mitigation": mitigation, "eps": margins.eps[at]}
        lines += _compared(head, asked, margins.y.numpy(), sampling)
    head = {"mitigation": REFER, "eps": nearest_in(referrals.eps, eps)}
    lines += _compared(head, _rules_compared(referrals, rate, eps), referrals.y.numpy(), sampling)
    return pd.DataFrame(lines)


def _rules_compared(referrals: Referrals, rate: float, eps: float) -> Asked:
    """Every rule against referral by lot, and against the control; HIGHER = BETTER."""
    place = referrals.eps.index(nearest_in(referrals.eps, eps))
    asked: Asked = {}
    for rule in referrals.rules:
        defense, name = whose_rule(rule)
        control = CONTROL if defense == BASELINE else f"{defense}: {CONTROL}"
        own, plain = (_passed_at(referrals, one, place, rate) for one in (rule, control))
        wrong = (referrals.margin[f"adaptive/{control}"][place].numpy() <= 0).mean(0)
        asked[rule, LOT, "undetected"] = (-own, -(1 - rate) * wrong)
        if name != CONTROL:
            asked[rule, control, "undetected"] = (-own, -plain)
    return asked


def _passed_at(referrals: Referrals, rule: str, place: int, rate: float) -> Array:
    limit = thresholds(referrals.doubt[f"clean/{rule}"][0].numpy(), rate)
    return passed_on(referrals, rule, "adaptive", place, limit).wrong


def _figures(margins: Margins, name: str, at: int) -> dict[str, Array]:
    """By figure what each patient adds, HIGHER = BETTER: (N,)."""
    attacked = (margins.adaptive[name][at].numpy() > 0).mean(0)
    return {
        SENSITIVITY: attacked,  # of the ill alone
        "accuracy": attacked,
        "clean_accuracy": (margins.clean[name].numpy() > 0).mean(0),
    }


def _compared(
    head: Mapping[str, Any], asked: Asked, y: Array, sampling: Sampling
) -> list[dict[str, Any]]:
    """A line for each comparison of one mitigation, after Holm over all of them."""
    weights, differences = sampling.weights(len(y)), {}
    for key, (own, other) in asked.items():
        where = y == 1 if key[-1] == SENSITIVITY else None
        found = intervals.paired_difference(own, other, weights, sampling.confidence, where)
        differences[key] = Difference(found["difference"], found["se"])
    told = verdict_columns(
        differences, patients=sampling.patients(len(y)), confidence=sampling.confidence
    )
    names = ("name", "against", "figure")
    return [
        {**head, **dict(zip(names, key, strict=True)), **columns} for key, columns in told.items()
    ]
