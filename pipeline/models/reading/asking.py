"""How a fitted estimator of somebody else's is asked about records of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading.columns import Columns, through, unfolded
from pipeline.models.reading.refusal import NotReadable
from pipeline.statistics import Array
from pipeline.validation import nearest

DECIMALS = 4  # to which a float32 is written as it was typed, where that is the same number
# Of columns of a record whose values are places of levels, by their place: the file's cells.
Levels = Mapping[int, Sequence[Any]]
NO_LEVELS: Levels = {}
Cells = tuple[Any, ...]  # numbers or texts
ELSEWHERE = -1  # place of a column that records lack and the model does not look at


def typed(x: Array) -> Array:
    """Values float32 as float64 numbers that somebody typed: 27.1, not 27.100000381."""
    wide = x.astype(np.float64)
    short = np.round(wide, DECIMALS)
    return np.asarray(np.where(short.astype(np.float32) == x, short, wide))


def celled(values: Array, cells: Sequence[Any], gap: Any = np.nan) -> Array:
    """Places of levels (R,), NaN = missing, as the cells of a file.

    Cells that all are numbers make a column of numbers, others one of objects; as pandas reads it.

    Args:
        values: a place between two counts as the lower one.
        cells: of the levels, in order.
        gap: the cell of a missing one.
    """
    place = np.clip(np.nan_to_num(values), 0, len(cells) - 1).astype(np.int64)
    numbers = all(isinstance(cell, int | float) for cell in (*cells, gap))
    every = np.array([*cells, gap], dtype=np.float64 if numbers else object)
    return every[np.where(np.isnan(values), len(cells), place)]


@dataclass(frozen=True, eq=False)
class Asked:
    """A fitted estimator beside the columns that records have.

    Attributes:
        estimator: of scikit-learn, or what behaves like one.
        names: of its columns; None where it was fitted without.
        place: (W,) int64: the record's column of each of its W.
        levels: of the record's columns.
        categories: of its columns by name that were categories of pandas in training, the cells.
    """

    estimator: Any
    names: tuple[str, ...] | None
    place: Array
    levels: Levels = field(default_factory=dict)
    categories: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        estimator: Any,
        inputs: Sequence[str],
        levels: Levels = NO_LEVELS,
        told: Sequence[Cells] = (),
    ) -> "Asked":
        """Its columns by name where it knows names, else by position.

        Args:
            estimator: of scikit-learn, or what behaves like one.
            inputs: names of the record's columns.
            levels: of the record's columns.
            told: of each column of the estimator the categories of pandas that it was trained on,
                empty = none.

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
            return cls(estimator, None, np.arange(width), levels)
        names = tuple(str(name) for name in named)
        place = places(names, inputs, _looked_at(first, len(names)))
        known = dict(zip(names, told, strict=False))
        cells = {
            name: levels.get(at, known[name])
            for name, at in zip(names, place.tolist(), strict=True)
            if known.get(name)
        }
        return cls(estimator, names, place, levels, cells)

    def given(self, x: Array) -> Any:
        """Records (R, D) as the estimator takes them: as a table read from a file, in float64."""
        wide = np.concatenate([typed(x), np.full((len(x), 1), np.nan)], 1)
        if not self.levels:
            columns = wide[:, self.place]
            return columns if self.names is None else _table(columns, self.names)
        each = [
            celled(wide[:, place], self.levels[place]) if place in self.levels else wide[:, place]
            for place in self.place.tolist()
        ]
        if self.names is not None:
            return _table(dict(zip(self.names, each, strict=True)), self.names)
        kind = object if any(one.dtype == object for one in each) else np.float64
        return np.stack([one.astype(kind) for one in each], 1)

    def __call__(self, x: Array) -> Array:
        """(R,) the probability of class 1, the second of its labels, of records (R, D)."""
        given = with_categories(self.given(x), self.categories)
        said = np.asarray(self.estimator.predict_proba(given), dtype=np.float64)
        return said[:, 1]


def with_categories(table: Any, cells: Mapping[str, Sequence[Any]]) -> Any:
    """A data frame whose columns of these names are categories of pandas, with all these cells.

    XGBoost and LightGBM ask for that where it was so in training; they say themselves what they
    make of a cell that they were not trained on.
    """
    if not cells:
        return table
    import pandas as pd

    return table.assign(
        **{name: pd.Categorical(table[name], categories=list(one)) for name, one in cells.items()}
    )


def _table(columns: Any, names: Sequence[str]) -> Any:
    import pandas as pd

    return pd.DataFrame(columns, columns=list(names))


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
