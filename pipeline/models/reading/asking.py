"""How a fitted estimator of somebody else's is asked about records of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading.columns import Columns, through, unfolded
from pipeline.models.reading.refusal import NotReadable
from pipeline.statistics import Array
from pipeline.validation import nearest

DECIMALS = 4  # to which a float32 is written as it was typed, where that is the same number
ELSEWHERE = -1  # place of a column that records lack and the model does not look at


def typed(x: Array) -> Array:
    """Values float32 as float64 numbers that somebody typed: 27.1, not 27.100000381."""
    wide = x.astype(np.float64)
    short = np.round(wide, DECIMALS)
    return np.asarray(np.where(short.astype(np.float32) == x, short, wide))


@dataclass(frozen=True, eq=False)
class Asked:
    """A fitted estimator beside the columns that records have.

    Attributes:
        estimator: of scikit-learn, or what behaves like one.
        names: of its columns; None where it was fitted without.
        place: (W,) int64: the record's column of each of its W.
    """

    estimator: Any
    names: tuple[str, ...] | None
    place: Array

    @classmethod
    def of(cls, estimator: Any, inputs: Sequence[str]) -> "Asked":
        """Its columns by name where it knows names, else by position.

        Raises:
            BadInput: it looks at a column that records lack, or takes another number of columns.
        """
        steps, model = unfolded(estimator)
        first = (*steps, model)[0]
        named = getattr(first, "feature_names_in_", None)
        if named is None:
            width = int(getattr(first, "n_features_in_", len(inputs)))
            if width != len(inputs):
                raise BadInput(
                    f"{type(model).__name__}: takes {width} columns without names, and the records "
                    f"have {len(inputs)}"
                )
            return cls(estimator, None, np.arange(width))
        names = tuple(str(name) for name in named)
        return cls(estimator, names, places(names, inputs, _looked_at(first, len(names))))

    def given(self, x: Array) -> Any:
        """Records (R, D) as the estimator takes them: as a table read from a file, in float64."""
        wide = np.concatenate([typed(x), np.full((len(x), 1), np.nan)], 1)
        columns = wide[:, self.place]
        if self.names is None:
            return columns
        import pandas as pd

        return pd.DataFrame(columns, columns=list(self.names))

    def __call__(self, x: Array) -> Array:
        """(R,) the probability of class 1, the second of its labels, of records (R, D)."""
        said = np.asarray(self.estimator.predict_proba(self.given(x)), dtype=np.float64)
        return said[:, 1]


def places(names: Sequence[str], inputs: Sequence[str], needed: Sequence[bool]) -> Array:
    """Where the columns of a model stand in a record: (W,) int64.

    Args:
        names: of the model's columns.
        inputs: of the record's.
        needed: whether the model looks at it; of the others those that lack are `ELSEWHERE`.

    Raises:
        BadInput: the record lacks one that is needed, or a name occurs twice.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise BadInput(f"column {twice!r}: the model has two of this name")
    for name, looked_at in zip(names, needed, strict=True):
        if looked_at and name not in inputs:
            raise BadInput(
                f"column {name!r}: the model looks at it, and the records have none of this name; "
                f"{nearest(name, inputs)}"
            )
    known = list(inputs)
    return np.array([known.index(name) if name in known else ELSEWHERE for name in names])


def _looked_at(first: Any, width: int) -> list[bool]:
    """Which columns a first step passes on; where that cannot be said, all of them."""
    from sklearn.compose import ColumnTransformer

    if type(first) is not ColumnTransformer:
        return [True] * width
    try:
        passed = set(through(first, Columns.of(width)).source.tolist())
    except NotReadable:
        return [True] * width
    return [place in passed for place in range(width)]
