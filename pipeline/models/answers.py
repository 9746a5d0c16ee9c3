"""From what a model says of two classes to who is answered rightly."""

import numpy as np
import torch
from torch import Tensor

from pipeline.models.population import Population
from pipeline.statistics import Array, rates
from pipeline.statistics.operating_point import logistic


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """How far the true class is ahead of the best other one: positive = right (a tie is wrong).

    Args:
        logits: (..., C) with C >= 2.
        y: class indices, broadcastable to (...).

    Returns:
        (...), in logits.
    """
    if logits.shape[-1] == 2:  # the same in a third of the time
        return (logits[..., 1] - logits[..., 0]) * (2 * y - 1)
    index = y.expand(logits.shape[:-1])[..., None]
    own = logits.gather(-1, index)[..., 0]
    return own - logits.scatter(-1, index, -torch.inf).amax(-1)


def as_said(population: Population, logits: Tensor) -> Tensor:
    """The logits (..., M, B, C) behind what the models say, wherever they draw the line."""
    line = torch.zeros_like(logits)
    line[..., 1] = population.cut[:, None]
    return logits + line


@torch.no_grad()
def log_odds(population: Population, x: Tensor) -> Tensor:
    """(..., M, B) float64: the log-odds of class 1 of two, wherever the models draw the line.

    Args:
        population: M models.
        x: (..., M, B, *event) records in clinical units, NaN = missing.
    """
    logits = population.double()(x.double())
    return logits[..., 1] - logits[..., 0] + population.cut[:, None]


def predicted(margins: Array, y: Array) -> Array:
    """The predicted class of a two-class model, from the margin of the true one."""
    return np.where(margins > 0, y, 1 - y)


def disease_score(margins: Array, y: Array, cut: Array | float = 0.0) -> Array:
    """The log-odds of class 1 of a two-class model, from the margin of the true one.

    Args:
        margins: (..., N) in logits, counted from where the model draws the line.
        y: (N,) class indices.
        cut: (..., N) log-odds at which it does.

    What ranks patients: a saturated model's probabilities round to 0 and 1, and ties would cost it
    AUROC that it has.
    """
    return np.asarray(np.where(y == 1, margins, -margins).astype(np.float64) + cut)


def disease_probability(margins: Array, y: Array, cut: Array | float = 0.0) -> Array:
    """P(class 1) of a two-class model; arguments as those of `disease_score`."""
    return logistic(disease_score(margins, y, cut))


def clean_metrics(margins: Array, y: Array, cut: Array | float = 0.0) -> dict[str, float]:
    """Out-of-fold figures of the unchanged records, from margins (1, S, N) and cuts (S, N)."""
    answer, score = predicted(margins[0], y), disease_score(margins[0], y, cut)
    chosen = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
    figures = {name: rates.classification(answer, y)[name] for name in chosen}
    figures |= {"auroc": rates.auroc(score, y), "brier": rates.brier(logistic(score), y)}
    return {name: round(float(value), 4) for name, value in figures.items()}
