"""What the attacks did to one defence, as arrays: between an audit's rows and whoever judges or compares them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline import metrics

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outcome:
    """What one threat model's attacks did to one defence.

    Attributes:
        eps: (E,) radii.
        y: (N,) class indices; class 1 = disease present.
        margins: for each attack (E, S, N), the margin of the true class.
    """

    eps: Array
    y: Array
    margins: Mapping[str, Array]

    @property
    def worst(self) -> Array:
        """(E, S, N): the smallest margin over the suite and over all smaller radii, whose boxes lie inside."""
        return np.minimum.accumulate(np.minimum.reduce(list(self.margins.values())), axis=0)

    @property
    def accuracy(self) -> dict[str, Array]:
        """For each attack alone, (E,): the share of patients still answered rightly, seeds averaged."""
        return {name: (margins > 0).mean((1, 2)) for name, margins in self.margins.items()}


def outcomes(rows: pd.DataFrame) -> dict[str, Outcome]:
    """The rows of one audit, by threat model, as arrays."""
    result = {}
    for threat, of_threat in rows.groupby("threat", observed=True, sort=False):
        eps, patients = of_threat["eps"].unique(), of_threat["patient"].nunique()
        margins = {
            str(attack): group["margin"].to_numpy().reshape(len(eps), -1, patients)
            for attack, group in of_threat.groupby("attack", observed=True, sort=False)
        }
        result[str(threat)] = Outcome(eps, of_threat["y"].to_numpy()[:patients].astype(np.int64), margins)
    return result


def predicted(margins: Array, y: Array) -> Array:
    """The predicted class of a two-class model, from the margin of the true one."""
    return np.where(margins > 0, y, 1 - y)


def disease_score(margins: Array, y: Array) -> Array:
    """The log-odds of class 1 of a two-class model, from the margin of the true one.

    What ranks patients: a saturated model's probabilities round to 0 and 1, and ties would cost it AUROC that it has.
    """
    return np.asarray(np.where(y == 1, margins, -margins).astype(np.float64))


def disease_probability(margins: Array, y: Array) -> Array:
    """P(class 1) of a two-class model, from the margin of the true one."""
    return logistic(disease_score(margins, y))


def logistic(logit: Array) -> Array:
    """The probability of log-odds."""
    return np.asarray(0.5 * (1 + np.tanh(logit / 2)))


def clean_metrics(margins: Array, y: Array) -> dict[str, float]:
    """Out-of-fold figures of the unchanged records, from margins (1, S, N), as a training stage reports them."""
    answer, score = predicted(margins[0], y), disease_score(margins[0], y)
    chosen = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
    figures = {name: metrics.classification(answer, y)[name] for name in chosen}
    figures |= {"auroc": metrics.auroc(score, y), "brier": metrics.brier(disease_probability(margins[0], y), y)}
    return {name: round(float(value), 4) for name, value in figures.items()}
