"""Two audits compared without raw data: each figure, the patients, and which of them has changed.

A difference of a figure is paired where both audits have verdicts on the same patients under one
salt; it then is of the models, on these patients. Otherwise the two intervals are taken as
independent. All figures are corrected together (Holm), and every planned look spends an equal part
of what the confidence leaves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.gate.addresses import short
from pipeline.gate.audits import Audit
from pipeline.gate.judging import Interval
from pipeline.gate.keyed import Keyed
from pipeline.statistics.conclusions import Compared, Difference, compare, holm
from pipeline.statistics.edges import Share, error_of_difference

LEAST = 30  # patients of both, for a normal interval of their differences
PAIRED, UNPAIRED = "paired", "unpaired"


@dataclass(frozen=True)
class Change:
    """One figure of both audits.

    Attributes:
        address: `<risk>/<figure>`.
        before: in the first.
        after: in the second.
        method: paired or unpaired.
        patients: of both, where paired.
        found: the second less the first; HIGHER = BETTER.
    """

    address: str
    before: Interval
    after: Interval
    method: str
    patients: int | None
    found: Compared


@dataclass(frozen=True)
class Drift:
    """What one measurement is like in both.

    Attributes:
        measurement: its name.
        said: what has changed, in words.
        p: after Holm over everything that was compared.
    """

    measurement: str
    said: str
    p: float


def common(a: Audit, b: Audit, of_a: str, of_b: str) -> dict[str, tuple[Any, Any]]:
    """The lines of each figure that both have, under the same threat, by its address."""

    def lines(audit: Audit, defense: str) -> dict[tuple[str, str, str], Any]:
        return {
            (one["risk"], one["figure"], one["threat"]): one
            for one in audit.content["figures"]
            if one["defense"] == defense
            and None not in (one["value"], one["low"], one["high"])
            and one["low"] < one["high"]  # an interval of no width proves nothing
        }

    first, second = lines(a, of_a), lines(b, of_b)
    return {
        f"{key[0]}/{short(key[1])}": (one, second[key])
        for key, one in first.items()
        if key in second
    }


def changes(
    a: Audit, b: Audit, of_a: str, of_b: str, keyed: tuple[Keyed | None, Keyed | None], looks: int
) -> list[Change]:
    """What has changed from one audit to the other, figure by figure.

    Args:
        a: the first audit.
        b: the second.
        of_a: whose figures of the first.
        of_b: whose of the second.
        keyed: the verdicts beside them.
        looks: how many times two audits of this sequence are compared, by plan.
    """
    both = common(a, b, of_a, of_b)
    differences, methods = {}, {}
    for address, (before, after) in both.items():
        told = paired(keyed, of_a, of_b, address.split("/")[1])
        value, se = _apart(before, after, a.confidence, b.confidence)
        if told is not None:
            value, se = told[:2]
        if before["good"] == "zero":
            value = abs(after["value"]) - abs(before["value"])
        sign = 1 if before["good"] == "high" else -1
        differences[address] = Difference(sign * value, se)
        methods[address] = None if told is None else told[2]
    level = 1 - (1 - min(a.confidence, b.confidence)) / looks
    found = compare(differences, patients=b.patients or 1, confidence=level)
    return [
        Change(
            address,
            _interval(before),
            _interval(after),
            UNPAIRED if methods[address] is None else PAIRED,
            methods[address],
            found[address],
        )
        for address, (before, after) in both.items()
    ]


def paired(
    keyed: tuple[Keyed | None, Keyed | None], of_a: str, of_b: str, figure: str
) -> tuple[float, float, int] | None:
    """Mean difference on the patients of both, its standard error, their number; None: too few."""
    a, b = keyed
    if a is None or b is None or a.salt != b.salt:
        return None
    first = a.verdicts.get(of_a, {}).get(figure, {})
    second = b.verdicts.get(of_b, {}).get(figure, {})
    keys = sorted(first.keys() & second.keys())
    if len(keys) < LEAST:
        return None
    each = [second[key] - first[key] for key in keys]
    mean = math.fsum(each) / len(each)
    spread = math.fsum((one - mean) ** 2 for one in each) / (len(each) - 1)
    after, before = (Share(np.array([one[key] for key in keys])) for one in (second, first))
    return mean, error_of_difference(after, before, math.sqrt(spread / len(each))), len(each)


def _interval(line: Mapping[str, Any]) -> Interval:
    return Interval(float(line["value"]), float(line["low"]), float(line["high"]))


def _apart(
    before: Mapping[str, Any], after: Mapping[str, Any], of_a: float, of_b: float
) -> tuple[float, float]:
    first, second = _interval(before), _interval(after)
    return second.value - first.value, math.hypot(first.se(of_a), second.se(of_b))


# ---- patients ----


def drifted(a: Audit, b: Audit, looks: int) -> list[Drift] | None:
    """The measurements whose mean, spread of levels or missing share has changed; None: not said.

    The two cohorts are taken as independent, which is careful where patients are in both.
    """
    first, second = (_inputs(one) for one in (a, b))
    if first is None or second is None:
        return None
    tests: list[tuple[str, str, float]] = _ill(a, b)
    for name in first.keys() & second.keys():
        tests += _tests(name, first[name], second[name], a.patients, b.patients)
    corrected = holm([p for _, _, p in tests])
    alpha = (1 - min(a.confidence, b.confidence)) / looks
    told = [
        Drift(name, said, p)
        for (name, said, _), p in zip(tests, corrected, strict=True)
        if p <= alpha
    ]
    order = {name: place for place, name in enumerate(first)}
    return sorted(told, key=lambda one: (order.get(one.measurement, -1), one.said))


def _inputs(audit: Audit) -> dict[str, Any] | None:
    told = audit.content["audited"]["cohort"].get("inputs")
    return {one["measurement"]: one for one in told} if told else None


def _ill(a: Audit, b: Audit) -> list[tuple[str, str, float]]:
    counts = [one.content["audited"]["cohort"] for one in (a, b)]
    if any(one.get("ill") is None or not one.get("patients") for one in counts):
        return []
    shares = [one["ill"] / one["patients"] for one in counts]
    return _shares("", "ill", shares, [one["patients"] for one in counts])


def _tests(
    name: str, one: Any, other: Any, of_a: int | None, of_b: int | None
) -> list[tuple[str, str, float]]:
    found = []
    if None not in (of_a, of_b, one.get("missing"), other.get("missing")):
        shares = [float(one["missing"]), float(other["missing"])]
        found += _shares(name, "missing", shares, [int(of_a or 0), int(of_b or 0)])
    counts = [one.get("known"), other.get("known")]
    if None in counts or min(counts) < 2:
        return found
    if one.get("levels") and other.get("levels"):
        for level in sorted({*one["levels"], *other["levels"]}):
            shares = [line["levels"].get(level, 0.0) for line in (one, other)]
            found += _shares(name, f"level {level}", shares, counts)
    if None not in (one.get("mean"), other.get("mean"), one.get("sd"), other.get("sd")):
        se = math.hypot(*(_error(x, n) for x, n in zip((one, other), counts, strict=True)))
        said = f"mean {one['mean']:.4g}, then {other['mean']:.4g} (SD {one['sd']:.3g})"
        found.append((name, said, Difference(other["mean"] - one["mean"], se).p))
    return found


def _error(line: Mapping[str, Any], known: int) -> float:
    """The standard error of a mean, and what rounding adds."""
    step = float(line.get("step") or 0)
    return math.hypot(max(float(line["sd"]), step) / math.sqrt(known), step / math.sqrt(12))


def _shares(
    name: str, what: str, shares: list[float], counts: list[int]
) -> list[tuple[str, str, float]]:
    whole = sum(share * n for share, n in zip(shares, counts, strict=True)) / sum(counts)
    se = math.sqrt(whole * (1 - whole) * sum(1 / n for n in counts))
    said = f"{what} {shares[0]:.1%}, then {shares[1]:.1%}"
    return [(name, said, Difference(shares[1] - shares[0], se).p)]


# ---- whose change it is ----


def attributed(a: Audit, b: Audit, of_a: str, of_b: str, overlap: bool) -> str:
    """Whether a difference is of the model, of the patients, or cannot be told apart."""
    models = a.model_sha256(of_a), b.model_sha256(of_b)
    cohorts = [one.content["audited"]["cohort"].get("sha256") for one in (a, b)]
    same_patients = cohorts[0] == cohorts[1]
    if "" in models:
        return "The audits do not say which models these are: nothing is attributed."
    if models[0] == models[1]:
        return (
            "The same model on the same patients: a difference is of attacks, settings or chance."
            if same_patients
            else "The same model, other patients: a difference is of the patients (or chance)."
        )
    if same_patients:
        return "Another model, the same patients: a difference is of the model."
    if overlap:
        return (
            "Another model and other patients: a paired difference, on the patients of both, is of"
            " the model; an unpaired one may be of either."
        )
    return "Another model and other patients: whose a difference is cannot be told apart."
