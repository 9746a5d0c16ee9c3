"""Figures of a recipe and paired differences of two, with the spread between trainings."""

import numpy as np

from pipeline.models.answers import disease_score
from pipeline.statistics import Array
from pipeline.statistics.trainings import Estimate, Figure, asked, estimate_auroc, estimate_mean

MEANS: tuple[Figure, ...] = ("accuracy", "sensitivity", "specificity")
Sides = tuple[Array, Array]  # margins of the reported models (S, N), of the half models (M, N)


def recipe_figures(
    recipe: Sides, train: Array, y: Array, *, models: int, against: Sides | None = None
) -> dict[Figure, Estimate]:
    """Accuracy, sensitivity, specificity and AUROC of a recipe at one radius.

    Args:
        recipe: margins of the true class, out of fold (S, N), and of half models (M, N); those of
            half models for patients whom they saw are not read.
        train: (M, N) bool, who trained each half model.
        y: (N,) 0 or 1.
        models: that the reported margins come from, each with a seed of its own.
        against: the margins of another recipe on the same plans, which is subtracted.
    """
    sides = [recipe] if against is None else [recipe, against]
    right, right_halves = (
        _less([(margins > 0).astype(float) for margins in each])
        for each in zip(*sides, strict=True)
    )
    found: dict[Figure, Estimate] = {
        figure: estimate_mean(right, right_halves, train, asked(figure, y), models=models)
        for figure in MEANS
    }
    scores, *others = [
        (disease_score(one, y), disease_score(of_halves, y)) for one, of_halves in sides
    ]
    found["auroc"] = estimate_auroc(
        *scores, train=train, y=y, models=models, against=others[0] if others else None
    )
    return found


def _less(sides: list[Array]) -> Array:
    return sides[0] if len(sides) == 1 else np.asarray(sides[0] - sides[1])
