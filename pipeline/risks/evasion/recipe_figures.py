"""Figures of a recipe and paired differences of two, with the spread between trainings."""

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
    right = [side > 0 for side in recipe]
    if against is not None:
        right = [mine * 1.0 - (theirs > 0) for mine, theirs in zip(right, against, strict=True)]
    found: dict[Figure, Estimate] = {
        figure: estimate_mean(*right, train, asked(figure, y), models=models) for figure in MEANS
    }
    scores = [disease_score(side, y) for side in recipe]
    others = None if against is None else tuple(disease_score(side, y) for side in against)
    found["auroc"] = estimate_auroc(*scores, train, y, models=models, against=others)
    return found
