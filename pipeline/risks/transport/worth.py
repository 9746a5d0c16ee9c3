"""What models are worth among some patients, and by how much less than among others.

Shapes: N records, S repetitions, R bootstrap resamples of patients.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.risks.pairs import Drawn
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.edges import Share
from pipeline.statistics.patients import effective_number, numbered


@dataclass(frozen=True)
class Told:
    """What models say of everybody whom they are asked about.

    Attributes:
        right: (S, N) 1 = answered rightly, 0 = not; NaN = not asked.
        score: (S, N) log-odds of class 1; NaN likewise.
        proved: (N,) 1 = right on every record within the radius, 0 = not, NaN = nobody looked.
    """

    right: Array
    score: Array
    proved: Array


@dataclass(frozen=True)
class Cohort:
    """Who the patients are, and how they are resampled.

    Attributes:
        y: (N,) class indices; 1 = ill.
        whose: (N,) the patient of each record, from 0.
        weights: (R, N), how often each record is drawn.
    """

    y: Array
    whose: Array
    weights: Array


@dataclass(frozen=True)
class Measure:
    """A figure of merit, HIGHER = BETTER.

    Attributes:
        values: what each patient adds, (N,), of those `where`; the figure is the mean over classes
            of the means over patients, or over all where `classes` is None.
        classes: of which patients it is.
        drawn: the figure among those `where` (N,), as measured and resampled.
    """

    values: Callable[[Told, Array, Array], Array]
    classes: tuple[int, ...] | None
    drawn: Callable[[Told, Array, Cohort], Drawn]

    def among(self, told: Told, where: Array, y: Array) -> Array:
        """(N,) bool: those `where` of whom this figure is."""
        chosen = where if self.classes is None else where & np.isin(y, self.classes)
        return np.asarray(chosen & ~np.isnan(self.values(told, chosen, y)))


def _right(told: Told, where: Array, y: Array) -> Array:
    return np.asarray(told.right.mean(0))


def _proved(told: Told, where: Array, y: Array) -> Array:
    return told.proved


def _placed(told: Told, where: Array, y: Array) -> Array:
    """(N,): the share of the other class that a patient outscores, or is outscored by."""
    found = np.full(len(y), np.nan)
    if where.any():
        found[where] = rates.placements(told.score[:, where], y[where])
    return found


def _mean_of(
    values: Callable[[Told, Array, Array], Array], label: int | None
) -> Callable[[Told, Array, Cohort], Drawn]:
    def drawn(told: Told, where: Array, cohort: Cohort) -> Drawn:
        each = values(told, where, cohort.y)
        inside = where & ~np.isnan(each)
        if label is not None:
            inside = inside & (cohort.y == label)
        samples = intervals.bootstrap_mean(np.where(inside, each, 0), cohort.weights, inside)
        share = Share(np.where(inside, each, np.nan), cohort.whose)
        return Drawn(intervals.mean_of(each[inside]), samples, share)

    return drawn


def _auroc(told: Told, where: Array, cohort: Cohort) -> Drawn:
    score, y = told.score[:, where], cohort.y[where]
    samples = intervals.bootstrap_auroc(score, y, cohort.weights[:, where])
    of = intervals.ranked(cohort.y, cohort.weights, where)
    return Drawn(rates.auroc(score, y), samples, of)


MEASURES = {
    "auroc": Measure(_placed, (0, 1), _auroc),
    "accuracy": Measure(_right, None, _mean_of(_right, None)),
    "sensitivity": Measure(_right, (1,), _mean_of(_right, 1)),
    "specificity": Measure(_right, (0,), _mean_of(_right, 0)),
    "proved_accuracy": Measure(_proved, None, _mean_of(_proved, None)),
}


def luck(measure: Measure, told: Told, where: Array, y: Array) -> float:
    """The variance of a figure between repetitions, which differ by their seeds, or their folds.

    NaN of a single one. What is proved is proved of one repetition: its luck is that of accuracy.
    """
    if len(told.right) < 2:
        return float("nan")
    if measure.values is _placed:
        figures = [rates.auroc(one[where], y[where]) for one in told.score]
    else:
        chosen = where if measure.classes is None else where & np.isin(y, measure.classes)
        figures = [float(one[chosen].mean()) for one in told.right]
    return float(np.var(figures, ddof=1))


def chance(
    measure: Measure, told: Told, known: Array, asked: Array, cohort: Cohort
) -> tuple[float, float]:
    """Standard errors of a figure among `asked` and among `known`, were they alike.

    Both from how far patients among `known` (N,) bool, who are many, differ from each other: a
    handful that all are answered alike has a bootstrap without any spread. Records of one patient
    count as if they said the same.
    """
    y, squares = cohort.y, np.zeros(2)
    inside = measure.among(told, known, y)
    values = measure.values(told, inside, y)
    for label in (None,) if measure.classes is None else measure.classes:
        own = np.ones(len(y), dtype=bool) if label is None else y == label
        variance = float(np.var(values[inside & own])) if (inside & own).any() else np.nan
        for place, rows in enumerate((asked, known)):
            records = cohort.whose[rows & own]
            number = effective_number(numbered(records)) if len(records) else np.nan
            squares[place] += variance / number
    return float(squares[0] ** 0.5), float(squares[1] ** 0.5)


def at_least(se: float, least: float) -> float:
    """A standard error, or the least that is believed."""
    return se if np.isnan(se) or np.isnan(least) else max(se, least)
