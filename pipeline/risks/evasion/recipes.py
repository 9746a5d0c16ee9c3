"""Figures of a recipe and paired differences of two, with the spread between trainings."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, get_args

import numpy as np

from pipeline.models.answers import disease_score
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.half_models import HalfModels
from pipeline.risks.evasion.questions import OF_RECIPE
from pipeline.statistics import Array
from pipeline.statistics.intervals import Sampling, smallest_detectable
from pipeline.statistics.trainings import (
    Estimate,
    Figure,
    TooFewHalves,
    asked,
    estimate_auroc,
    estimate_mean,
    halves_of,
)

EVERY: tuple[Figure, ...] = get_args(Figure)
ATTACKED: tuple[Figure, ...] = ("accuracy", "sensitivity")  # whose coverage was put to the test
DIFFERENCE_LIMITS = (-1.0, 1.0)
# rules of decision that hold a figure where they want it
HELD: dict[str, Figure] = {"specificity": "specificity", "sensitivity": "sensitivity"}


@dataclass(frozen=True)
class Answers:
    """Margins of the true class of one recipe at one radius.

    Attributes:
        reported: (S, N), out of fold, counted from where each model draws the line.
        halves: (M, N), of half models; those of patients whom they saw are not read.
        cut: (S, N), the log-odds at which the reported models draw the line.
    """

    reported: Array
    halves: Array
    cut: Array | float = 0.0


@dataclass(frozen=True)
class Recipe:
    """What is known of a recipe beside its reported models.

    Attributes:
        clean: answers to unchanged records.
        attacked: answers under attack at the headline radius; None = half models were not attacked.
        eps: that radius.
        train: (M, N) bool, which of those who are asked trained each half model.
        half: (M,) int64, half models of one number trained on the same patients.
        y: (N,) 0 or 1.
        models: that the reported answers come from, each with a seed of its own.
        held: the figure of unchanged records that the rule of decision holds where it wants it, by
            cuts chosen on training rows; None = none, or the cut is one constant.
        whose: (N,) int64, the patient of each record; None = each is of somebody else.
    """

    clean: Answers
    attacked: Answers | None
    eps: float
    train: Array
    half: Array
    y: Array
    models: int
    held: Figure | None = None
    whose: Array | None = None


Figures = dict[Figure, Estimate]


class Found(NamedTuple):
    """Figures of a recipe on unchanged records, and under attack at its radius `eps`."""

    clean: Figures
    attacked: Figures
    eps: float


def recipes_of(
    examined: Mapping[str, Examination],
    halves: Mapping[str, HalfModels],
    headline: str,
    rule: str,
    sampling: Sampling,
) -> dict[str, Recipe]:
    """The recipe of each defense whose half models were asked; `rule` is the one they decide by."""
    return {
        name: _recipe(one, halves[name], headline, HELD.get(rule), sampling)
        for name, one in examined.items()
        if name in halves
    }


def _recipe(
    one: Examination, halves: HalfModels, headline: str, held: Figure | None, sampling: Sampling
) -> Recipe:
    margins, patients = one.margins[headline], one.told.patients
    left, attacked, eps = halves.margins[..., patients].numpy(), None, 0.0
    if len(left) > 1:
        at = margins.nearest(float(halves.eps[1]))
        eps = float(margins.eps[at])
        attacked = Answers(margins.worst[at], left[1], margins.cut)
    clean = Answers(margins.worst[0], left[0], margins.cut)
    half, train = halves_of(halves.train.numpy()), halves.train[:, patients].numpy()
    chosen = np.ptp(margins.cut) > 0  # a public cut is one constant
    models = len(one.told.models)
    whose = sampling.whose(len(margins.y))
    held = held if chosen else None
    return Recipe(clean, attacked, eps, train, half, margins.y, models, held, whose)


def figures_of(
    recipe: Recipe, against: Recipe | None = None, *, clean: Collection[Figure] = EVERY
) -> Found:
    """The figures that half models allow; those of `against`, on the same halves, subtracted.

    Args:
        recipe: of whom.
        against: of another one, whose halves and radius must be the same: nothing is found else.
        clean: the figures of unchanged records that are asked for; under attack it is `ATTACKED`.
    """
    same = against is None or (
        np.array_equal(recipe.train, against.train) and np.array_equal(recipe.half, against.half)
    )
    if not same:
        return Found({}, {}, recipe.eps)

    def found(
        side: Answers | None,
        other: Answers | None,
        figures: Collection[Figure],
        held: Figure | None = None,
    ) -> Figures:
        if side is None or (against is not None and other is None):
            return {}
        return recipe_figures(
            side,
            recipe.train,
            recipe.y,
            models=recipe.models,
            against=other,
            figures=figures,
            held=held,
            whose=recipe.whose,
            half=recipe.half,
        )

    theirs = against.attacked if against is not None and against.eps == recipe.eps else None
    held = recipe.held if against is None or against.held == recipe.held else None
    unchanged = found(recipe.clean, None if against is None else against.clean, clean, held)
    return Found(unchanged, found(recipe.attacked, theirs, ATTACKED), recipe.eps)


def recipe_figures(
    recipe: Answers,
    train: Array,
    y: Array,
    *,
    models: int,
    against: Answers | None = None,
    figures: Collection[Figure] = EVERY,
    held: Figure | None = None,
    whose: Array | None = None,
    half: Array | None = None,
) -> Figures:
    """Accuracy, sensitivity, specificity and AUROC of a recipe at one radius.

    A figure of which half models are too few to say anything is left out.

    Args:
        recipe: its answers.
        train: (M, N) bool, which of those who are asked trained each half model.
        y: (N,) 0 or 1.
        models: that the reported answers come from, each with a seed of its own.
        against: the answers of another recipe on the same plans, which is subtracted.
        figures: those that are asked for.
        held: the one among them that a rule holds where it wants it, of both sides.
        whose: (N,) int64, the patient of each record; None = each is of somebody else.
        half: (M,), which half models trained on the same patients; None = as `train` says.
    """
    sides = [recipe] if against is None else [recipe, against]
    right = [(side.reported > 0).astype(float) for side in sides]
    right_halves = _less([(side.halves > 0).astype(float) for side in sides])
    scores, *others = [
        (disease_score(side.reported, y, side.cut), disease_score(side.halves, y)) for side in sides
    ]
    found: Figures = {}
    for figure in figures:
        try:
            if figure == "auroc":
                found[figure] = estimate_auroc(
                    *scores,
                    train=train,
                    y=y,
                    models=models,
                    against=others[0] if others else None,
                    whose=whose,
                    half=half,
                )
            else:
                where = asked(figure, y)
                found[figure] = estimate_mean(
                    right[0],
                    right_halves,
                    train,
                    where,
                    models=models,
                    held=figure == held,
                    whose=whose,
                    half=half,
                    against=right[1] if against is not None else None,
                )
        except TooFewHalves:
            continue
    return found


def _less(sides: list[Array]) -> Array:
    return sides[0] if len(sides) == 1 else np.asarray(sides[0] - sides[1])


# ---- in the comparison ----

# the columns of a figure at a line's own radius, and the beginning of those of its bounds
AT_RADIUS: dict[Figure, tuple[str, str]] = {
    "accuracy": ("robust_accuracy", "robust"),
    "sensitivity": ("sensitivity", "sensitivity"),
    "specificity": ("specificity", "specificity"),
    "auroc": ("attacked_auc", "attacked_auc"),
}
UNCHANGED: dict[Figure, tuple[str, str]] = {
    "accuracy": ("clean_accuracy", "clean"),
    "auroc": ("auroc", "auroc"),
}
COMPLEMENT: dict[Figure, str] = {
    "sensitivity": "missed_diagnosis_rate",
    "specificity": "false_alarm_rate",
}
GAIN: dict[Figure, str] = {
    "accuracy": "",
    "sensitivity": "sensitivity_",
    "specificity": "specificity_",
    "auroc": "attacked_auc_",
}


def recipe_columns(
    own: Found | None, gain: Found | None, headline: bool, eps: float, *, confidence: float
) -> dict[str, float | str]:
    """What a line of the comparison says of the recipe instead of these models.

    Args:
        own: figures of the defense; None = its half models were not asked.
        gain: the same less those of the reference; None = there is none.
        headline: whether the line is of the headline threat.
        eps: its radius.
        confidence: of the intervals.

    Returns:
        bounds and smallest detectable differences that take the place of those of a bootstrap over
        patients; and `of_recipe`, the figures that they belong to.
    """
    columns: dict[str, float | str] = {}
    named: list[str] = []
    if own is not None:
        for figure, (name, prefix) in UNCHANGED.items():
            if figure in own.clean:
                columns |= _bounds(prefix, own.clean[figure].interval(confidence))
                named.append(name)
        for figure, estimate in _at(own, headline, eps).items():
            low, high = estimate.interval(confidence)
            name, prefix = AT_RADIUS[figure]
            columns |= _bounds(prefix, (low, high))
            named.append(name)
            if figure in COMPLEMENT:
                columns |= _bounds(COMPLEMENT[figure], (1 - high, 1 - low))
                named.append(COMPLEMENT[figure])
    if gain is not None:
        for figure, estimate in _at(gain, headline, eps).items():
            name = f"{GAIN[figure]}difference"
            columns |= _bounds(name, estimate.interval(confidence, limits=DIFFERENCE_LIMITS))
            named.append(name)
            if figure != "auroc":
                least = smallest_detectable(estimate.se(), confidence)
                columns[f"{GAIN[figure]}smallest_detectable"] = least
    return columns | {OF_RECIPE: " ".join(named)}


def _at(found: Found, headline: bool, eps: float) -> Figures:
    """The figures of the line of this radius: unchanged records are the same under all threats."""
    if eps == 0:
        return found.clean
    return found.attacked if headline and eps == found.eps else {}


def _bounds(prefix: str, interval: tuple[float, float]) -> dict[str, float]:
    return dict(zip((f"{prefix}_low", f"{prefix}_high"), interval, strict=True))


# ---- two by two ----


class Pair(NamedTuple):
    """One figure of one defense less that of another: these recipes on a new cohort."""

    figure: str
    defense: str
    other: str
    difference: float
    se: float


def recipe_pairs(recipes: Mapping[str, Recipe]) -> list[Pair]:
    """Every two recipes whose half models allow it, the later one less the earlier one.

    Returns:
        `missed_diagnosis_rate` and `robust_accuracy` at the headline radius, and
        `clean_missed_diagnosis_rate` and `clean_false_alarm_rate`: each as the rate itself is, so
        of misses and alarms LOWER = BETTER.
    """
    pairs = []
    for earlier, later in combinations(recipes, 2):
        found = figures_of(recipes[later], recipes[earlier], clean=("sensitivity", "specificity"))
        attacked, clean = found.attacked, found.clean
        for figure, estimate, sign in (
            ("missed_diagnosis_rate", attacked.get("sensitivity"), -1),
            ("robust_accuracy", attacked.get("accuracy"), 1),
            ("clean_missed_diagnosis_rate", clean.get("sensitivity"), -1),
            ("clean_false_alarm_rate", clean.get("specificity"), -1),
        ):
            if estimate is not None:
                pairs.append(Pair(figure, later, earlier, sign * estimate.value, estimate.se()))
    return pairs
