"""Defenses two by two: a figure of one less that of the other, on the same patients.

The one carrier between who measures and who concludes: each risk with a headline keeps such a
table, and `pipeline.risks.conclusions` reads nothing else of how sure a difference is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from pipeline.risks.columns import DEFENSE
from pipeline.statistics import Array

PAIRS = {
    "figure": "which figure is compared; its values stand in another table of this risk",
    **DEFENSE,
    "other": "the recipe that it is compared with",
    "difference": "the figure of the defense less that of the other",
    "se": "its standard error: of evasion for the recipes on a new cohort of this size, where half "
    "models were asked; otherwise for these models on new patients",
    "patients": "who were drawn, or could have been",
}


@dataclass(frozen=True)
class Drawn:
    """One figure of one defense, as measured and as resampled.

    Attributes:
        value: as measured.
        samples: (R,), by the same weights over the same patients for every defense.
    """

    value: float
    samples: Array

    def distance_from_zero(self) -> "Drawn":
        """Of a figure that is good at 0.

        The draws are turned to the side where the estimate is, not folded: folded ones would pile
        up at 0 and look surer than they are.
        """
        side = -1.0 if self.value < 0 else 1.0
        return Drawn(side * self.value, side * self.samples)


def pairs_table(figures: Mapping[str, Mapping[str, Drawn]], patients: int) -> pd.DataFrame:
    """One row per figure and pair of defenses, the later one less the earlier one.

    Args:
        figures: figure -> defense -> what was drawn; the undefended models first, where they are
            among them.
        patients: of the cohort that was resampled.

    Returns:
        `figure, defense, other, difference, se, patients`. `se` is the spread over resamples of
        patients, hence of these models on new patients.
    """
    lines = [
        {
            "figure": figure,
            "defense": later,
            "other": earlier,
            "difference": drawn[later].value - drawn[earlier].value,
            "se": _spread(drawn[later].samples - drawn[earlier].samples),
            "patients": patients,
        }
        for figure, drawn in figures.items()
        for earlier, later in combinations(drawn, 2)
    ]
    return pd.DataFrame(lines, columns=list(PAIRS))


def _spread(samples: Array) -> float:
    """Over the resamples that say something; NaN where none does."""
    known = samples[~np.isnan(samples)]
    return float(known.std()) if len(known) else float("nan")
