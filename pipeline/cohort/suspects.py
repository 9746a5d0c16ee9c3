"""What makes a figure too good: columns that know the outcome, and records of one patient."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.data.repeats import cell_numbers
from pipeline.statistics.separation import auroc

Values = NDArray[np.float64]

LEAK = 0.95  # AUROC of one column alone, from which on it is asked whether it is the outcome
PAIRS = 10  # times as many near-equal pairs as chance makes of unrelated columns are suspect


@dataclass(frozen=True)
class Lookalikes:
    """Records that may be of one patient.

    Attributes:
        equal: records of which another one has the same values, whatever its outcome.
        contradictory: those of them that have both outcomes.
        near: records of which another one differs in one column only.
        by_chance: how many pairs would, were the columns unrelated.
    """

    equal: int
    contradictory: int
    near: int
    by_chance: float

    @property
    def suspect(self) -> bool:
        """Whether there are many more near-equal pairs than chance makes."""
        return self.near >= 10 and self.near / 2 > PAIRS * self.by_chance


def separation(values: Values, ill: NDArray[np.bool_], *, categories: bool = False) -> float:
    """How well one column tells the ill from the healthy all by itself, by its better direction.

    Args:
        values: (N,), NaN = missing.
        ill: (N,).
        categories: the numbers have no order; a category counts as the share of ill among the
            *other* records of it.

    Returns:
        the AUROC of its values where they are known, or that of being known at all; NaN of neither.
    """
    known = ~np.isnan(values)
    areas = [_either(known.astype(float), ill)]
    if known.any():
        scores = values[known]
        if categories:
            ones, place = ill[known].astype(float), np.unique(scores, return_inverse=True)[1]
            total, count = np.bincount(place, ones)[place], np.bincount(place)[place]
            scores = (total - ones + 0.5) / count
        areas.append(_either(scores, ill[known]))
    return float(np.nanmax(areas)) if not np.isnan(areas).all() else float("nan")


def _either(scores: Values, ill: NDArray[np.bool_]) -> float:
    area = auroc(scores[ill], scores[~ill])
    return max(area, 1 - area)


def lookalikes(values: Values, ill: NDArray[np.bool_]) -> Lookalikes:
    """Counts records that equal others, in all columns or in all but one.

    Args:
        values: (N, D), NaN = missing.
        ill: (N,).
    """
    codes = np.stack([pd.factorize(column, use_na_sentinel=False)[0] for column in values.T], 1)
    parts = cell_numbers(values)  # a record is their sum, in which one can be left out
    whole = parts.sum(1, dtype=np.uint64)
    equal = pd.Series(whole).duplicated(keep=False).to_numpy()
    by_record = pd.Series(ill).groupby(whole).transform("nunique").to_numpy() > 1
    distinct = ~pd.Series(whole).duplicated().to_numpy()
    near = np.zeros(len(whole), dtype=bool)
    for column in parts.T:
        without = whole[distinct] - column[distinct]
        near[distinct] |= pd.Series(without).duplicated(keep=False).to_numpy()
    return Lookalikes(int(equal.sum()), int(by_record.sum()), int(near.sum()), _by_chance(codes))


def _by_chance(codes: NDArray[np.int64]) -> float:
    """Expected pairs of records that differ in exactly one column, were the columns unrelated."""
    pairs = len(codes) * (len(codes) - 1) / 2
    counts = [np.bincount(column) for column in codes.T]
    same = np.array([(count * (count - 1.0)).sum() / 2 for count in counts]) / max(pairs, 1)
    same = np.clip(same, 1e-12, 1)
    return float(pairs * np.exp(np.log(same).sum()) * ((1 - same) / same).sum())
