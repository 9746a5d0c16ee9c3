"""What may be concluded from paired differences: rules, not readings. Pure functions of figures.

A difference is told from 0 by its p-value (normal), corrected after Holm (1979) over all
comparisons of one question, so that the chance of even one wrong "better" or "worse" among them is
at most 1 - confidence. What is not told apart is not equal: it comes with the smallest difference
that would have shown, and with the number of patients that would settle it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, erfc, inf, sqrt
from statistics import NormalDist
from typing import Any, Literal, TypeVar

from pipeline.statistics.intervals import POWER

Verdict = Literal["better", "worse", "not told apart"]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Difference:
    """One figure of one defense less that of another, on the same patients.

    Attributes:
        value: the difference; HIGHER = BETTER (turn the sign of a rate of misses).
        se: its standard error, at least 0.
    """

    value: float
    se: float

    @property
    def p(self) -> float:
        """Two-sided, normal; without any spread 0 where there is a difference, else 1."""
        if self.se == 0:
            return float(self.value == 0)
        return erfc(abs(self.value) / self.se / sqrt(2))


@dataclass(frozen=True)
class Compared:
    """What one difference says, as one of the comparisons of a question.

    Attributes:
        difference: what was compared.
        p: corrected after Holm.
        verdict: of the first against the second.
        smallest_detectable: difference that 80 of 100 such comparisons would tell apart, were it
            the hardest of them all.
        patients_to_settle: how many patients would tell this difference apart as often, the
            standard error falling as 1 / sqrt(n); infinite for no difference; at most those there
            are where it is told apart with such power.
    """

    difference: Difference
    p: float
    verdict: Verdict
    smallest_detectable: float
    patients_to_settle: float


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the order given (Holm 1979)."""
    corrected, largest = [0.0] * len(p), 0.0
    for place, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - place) * p[index]))
        corrected[index] = largest
    return corrected


def compare(
    differences: Mapping[Key, Difference], *, patients: int, confidence: float = 0.95
) -> dict[Key, Compared]:
    """Judges all comparisons of one question together.

    Args:
        differences: by what they are called.
        patients: how many these differences were measured on.
        confidence: that none of the verdicts "better" and "worse" is wrong.
    """
    alpha = 1 - confidence
    corrected = holm([one.p for one in differences.values()])
    z = NormalDist().inv_cdf(1 - alpha / 2 / max(len(differences), 1)) + NormalDist().inv_cdf(POWER)
    return {
        key: Compared(
            difference=one,
            p=p,
            verdict=_verdict(one.value, p, alpha),
            smallest_detectable=z * one.se,
            patients_to_settle=(
                ceil(patients * (z * one.se / one.value) ** 2) if one.value else inf
            ),
        )
        for (key, one), p in zip(differences.items(), corrected, strict=True)
    }


def verdict_columns(
    differences: Mapping[Key, Difference], *, patients: int, confidence: float = 0.95
) -> dict[Key, dict[str, Any]]:
    """`compare` as a line of a table for each comparison.

    Returns:
        `difference, se, p, verdict, smallest_detectable`, by what the comparisons are called.
    """
    return {
        key: {
            "difference": one.difference.value,
            "se": one.difference.se,
            "p": one.p,
            "verdict": one.verdict,
            "smallest_detectable": one.smallest_detectable,
        }
        for key, one in compare(differences, patients=patients, confidence=confidence).items()
    }


def _verdict(value: float, p: float, alpha: float) -> Verdict:
    if p > alpha or value == 0:
        return "not told apart"
    return "better" if value > 0 else "worse"


@dataclass(frozen=True)
class Best:
    """Who leads in one figure, and whether that may be said.

    Attributes:
        leader: the one with the largest figure.
        proved: told apart from every other one.
        rivals: those who are not told apart from the leader, in the order of their figures; empty
            where `proved`.
        closest: the comparison of the leader with the strongest rival, or with the next one.
    """

    leader: str
    proved: bool
    rivals: tuple[str, ...]
    closest: Compared


def best(
    figures: Mapping[str, float],
    pairs: Mapping[tuple[str, str], Difference],
    *,
    patients: int,
    confidence: float = 0.95,
) -> Best:
    """Who is best in one figure, corrected over all pairs: the leader was chosen by looking.

    Args:
        figures: by defense, at least two; HIGHER = BETTER.
        pairs: the difference of each pair of defenses, first less second, in either order.
        patients: how many they were measured on.
        confidence: that none of the order that is claimed is wrong.

    Raises:
        ValueError: fewer than two defenses, or a pair without its difference.
    """
    if len(figures) < 2:
        raise ValueError("one defense alone is not the best")
    ordered = sorted(figures, key=lambda name: -figures[name])
    judged = compare(
        {(a, b): oriented(pairs, a, b) for a, b in combinations(ordered, 2)},
        patients=patients,
        confidence=confidence,
    )
    leader, *others = ordered
    rivals = tuple(name for name in others if judged[leader, name].verdict != "better")
    closest = judged[leader, rivals[0] if rivals else others[0]]
    return Best(leader, not rivals, rivals, closest)


def oriented(pairs: Mapping[tuple[str, str], Difference], a: str, b: str) -> Difference:
    """The difference a - b, whichever way it was written down.

    Raises:
        ValueError: it is missing.
    """
    if (a, b) in pairs:
        return pairs[a, b]
    if (b, a) in pairs:
        return Difference(-pairs[b, a].value, pairs[b, a].se)
    raise ValueError(f"the difference of {a} and {b} is missing")


def dominated(
    figures: Mapping[str, Mapping[str, float]],
    pairs: Mapping[str, Mapping[tuple[str, str], Difference]],
    *,
    patients: int,
    confidence: float = 0.95,
) -> dict[str, tuple[str, ...]]:
    """Who need not be chosen, whatever one cares for, and because of whom.

    One defense dominates another where it is at least as good in every figure as they were
    measured, and told to be better in at least one, corrected over all pairs and figures. So two
    defenses never dominate each other, and somebody is always left.

    Args:
        figures: figure -> defense -> value; HIGHER = BETTER; the same defenses in each.
        pairs: figure -> pair -> difference, as for `best`.
        patients: how many they were measured on.
        confidence: that none of the differences that are claimed is wrong.

    Returns:
        each defense -> those who dominate it; nobody for those on the Pareto front.
    """
    names = list(next(iter(figures.values())))
    judged = compare(
        {
            (figure, a, b): oriented(pairs[figure], a, b)
            for figure in figures
            for a, b in combinations(names, 2)
        },
        patients=patients,
        confidence=confidence,
    )

    def told_better(figure: str, a: str, b: str) -> bool:
        if (figure, a, b) in judged:
            return judged[figure, a, b].verdict == "better"
        return judged[figure, b, a].verdict == "worse"

    def dominates(a: str, b: str) -> bool:
        nowhere_behind = all(values[a] >= values[b] for values in figures.values())
        return nowhere_behind and any(told_better(figure, a, b) for figure in figures)

    return {b: tuple(a for a in names if a != b and dominates(a, b)) for b in names}


def pareto_front(
    figures: Mapping[str, Mapping[str, float]],
    pairs: Mapping[str, Mapping[tuple[str, str], Difference]],
    *,
    patients: int,
    confidence: float = 0.95,
) -> tuple[str, ...]:
    """The defenses that nobody dominates; `dominated` says what is asked for."""
    found = dominated(figures, pairs, patients=patients, confidence=confidence)
    return tuple(name for name, by in found.items() if not by)
