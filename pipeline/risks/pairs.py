"""Defenses two by two: a figure of one less that of the other, on the same patients.

The one carrier between who measures and who concludes: each risk with a headline keeps such a
table, and `pipeline.risks.conclusions` reads nothing else of how sure a difference is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from pipeline.risks.columns import DEFENSE
from pipeline.statistics import Array, intervals
from pipeline.statistics.edges import Ranked, Share, error_of_difference, error_of_share, is_at_edge

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
        of: of a share or an AUROC, of whom; None: of neither, and nothing is known of its edges.
    """

    value: float
    samples: Array
    of: Share | Ranked | None = None

    def bounded(self, name: str, confidence: float) -> dict[str, float]:
        """The columns `<name>, <name>_low, <name>_high`; near 0 or 1 no interval is too narrow."""
        bounds = intervals.interval(self.value, self.samples, confidence)
        if self.of and is_at_edge(self.value, intervals.spread_of(self.samples)):
            bounds = self.of.widened(self.value, bounds, confidence)
        return {name: self.value, f"{name}_low": bounds[0], f"{name}_high": bounds[1]}

    @property
    def se(self) -> float:
        """The spread over resamples; of a share near 0 or 1 that of `edges`."""
        drawn = intervals.spread_of(self.samples)
        return error_of_share(self.of, drawn) if isinstance(self.of, Share) else drawn

    def less(self, other: "Drawn") -> "Apart":
        """This figure less another one, resampled together."""
        shares = [one.of for one in (self, other) if isinstance(one.of, Share)]
        both = (shares[0], shares[1]) if len(shares) == 2 else None
        return Apart(self.value - other.value, self.samples - other.samples, both)

    def distance_from_zero(self) -> "Drawn":
        """Of a figure that is good at 0.

        The draws are turned to the side where the estimate is, not folded: folded ones would pile
        up at 0 and look surer than they are.
        """
        side = -1.0 if self.value < 0 else 1.0
        return Drawn(side * self.value, side * self.samples)


@dataclass(frozen=True)
class Apart:
    """One figure less another, as measured and as resampled (R,); of two shares both of them."""

    value: float
    samples: Array
    shares: tuple[Share, Share] | None

    @property
    def se(self) -> float:
        """The spread over resamples; of shares that few patients tell apart that of `edges`."""
        drawn = intervals.spread_of(self.samples)
        return error_of_difference(*self.shares, drawn) if self.shares else drawn

    def bounded(self, name: str, confidence: float) -> dict[str, float]:
        """The columns `<name>, <name>_low, <name>_high`."""
        if self.shares is None:
            return intervals.bounded(name, self.value, self.samples, confidence)
        low, high, _ = intervals.difference_interval(
            self.value, self.samples, *self.shares, confidence
        )
        return {name: self.value, f"{name}_low": low, f"{name}_high": high}


def pairs_table(figures: Mapping[str, Mapping[str, Drawn]], patients: int) -> pd.DataFrame:
    """One row per figure and pair of defenses, the later one less the earlier one.

    Args:
        figures: figure -> defense -> what was drawn; the undefended models first, where they are
            among them.
        patients: of the cohort that was resampled.

    Returns:
        `figure, defense, other, difference, se, patients`. `se` is that of `Apart`, over resamples
        of patients, hence of these models on new patients.
    """
    lines = [
        {
            "figure": figure,
            "defense": later,
            "other": earlier,
            "difference": (apart := drawn[later].less(drawn[earlier])).value,
            "se": apart.se,
            "patients": patients,
        }
        for figure, drawn in figures.items()
        for earlier, later in combinations(drawn, 2)
    ]
    return pd.DataFrame(lines, columns=list(PAIRS))
