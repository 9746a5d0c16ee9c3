"""What the attacks did to one defense, as arrays: between rows and whoever judges or compares."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.models.answers import disease_score
from pipeline.statistics import Array


@dataclass(frozen=True)
class Margins:
    """What one threat model's attacks did to one defense.

    Attributes:
        eps: (E,) radii.
        y: (N,) class indices; class 1 = disease present.
        by_attack: for each attack (E, S, N), the margin of the true class, counted from where the
            model draws the line.
        cut: (S, N) log-odds at which it does.
    """

    eps: Array
    y: Array
    by_attack: Mapping[str, Array]
    cut: Array | float = 0.0

    @property
    def worst(self) -> Array:
        """(E, S, N): the smallest over the suite and over smaller radii, whose boxes lie inside."""
        least = np.minimum.reduce(list(self.by_attack.values()))
        return np.minimum.accumulate(least, axis=0)

    def nearest(self, eps: float) -> int:
        """The place of the radius that is nearest to `eps`."""
        return int(np.abs(self.eps - eps).argmin())

    def score(self, margins: Array) -> Array:
        """The log-odds of class 1 behind margins (..., S, N) of the true class."""
        return disease_score(margins, self.y, self.cut)

    @property
    def accuracy(self) -> dict[str, Array]:
        """For each attack alone (E,): the share of patients answered rightly, seeds averaged."""
        return {name: (margins > 0).mean((1, 2)) for name, margins in self.by_attack.items()}


def margins_by_threat(rows: pd.DataFrame, cut: Array | float = 0.0) -> dict[str, Margins]:
    """The rows of one examination, by threat model, as arrays; `cut` as in `Margins`."""
    result = {}
    for threat, of_threat in rows.groupby("threat", observed=True, sort=False):
        eps, patients = of_threat["eps"].unique(), of_threat["patient"].nunique()
        by_attack = {
            str(attack): group["margin"].to_numpy().reshape(len(eps), -1, patients)
            for attack, group in of_threat.groupby("attack", observed=True, sort=False)
        }
        y = of_threat["y"].to_numpy()[:patients].astype(np.int64)
        result[str(threat)] = Margins(eps, y, by_attack, cut)
    return result
