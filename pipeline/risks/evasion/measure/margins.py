"""What the attacks did to one defense, as arrays for whoever judges or compares them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outcome:
    """What one threat model's attacks did to one defense.

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
        """(E, S, N): the smallest margin over the suite and all smaller radii: boxes lie inside."""
        return np.minimum.accumulate(np.minimum.reduce(list(self.margins.values())), axis=0)

    @property
    def accuracy(self) -> dict[str, Array]:
        """For each attack, (E,): the share of patients still answered rightly, seeds averaged."""
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
        result[str(threat)] = Outcome(
            eps, of_threat["y"].to_numpy()[:patients].astype(np.int64), margins
        )
    return result
