"""Steps before a model that act on each column alone and monotonely, as scikit-learn has them.

Behind such steps a question about a column that reaches the model is one about a column of the
record, and so a proof speaks of clinical units. Steps are known by their very class: one that was
derived from it may do something else.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from pipeline.models.reading.refusal import NotReadable
from pipeline.statistics import Array

Through = Callable[[Any, "Columns"], "Columns"]


class Columns(NamedTuple):
    """What the F columns are that a step receives: each comes of one column of the record.

    Attributes:
        source: (F,) int64, of which.
        slope: (F,) float64: a value x that is measured has become `slope * x + shift`; NaN where it
            is no line (clipped).
        shift: (F,) float64.
        fill: (F,) float64, what a missing value is taken for, as if it had been measured; NaN where
            it is still missing.
        coded: (F,) bool, whether it tells of categories: what each level becomes says all of it.
    """

    source: Array
    slope: Array
    shift: Array
    fill: Array
    coded: Array

    @classmethod
    def of(cls, count: int) -> "Columns":
        """A record as it is."""
        nothing = np.full(count, np.nan)
        return cls(
            np.arange(count), np.ones(count), np.zeros(count), nothing, np.zeros(count, bool)
        )

    def where(self, chosen: Any) -> "Columns":
        """Some of them."""
        return Columns(*(part[chosen] for part in self))

    def moved(self, slope: Any, shift: Any) -> "Columns":
        """After another line."""
        return self._replace(slope=self.slope * slope, shift=self.shift * slope + shift)

    def categories(self, each: Any = 1) -> "Columns":
        """After an encoder that makes so many columns of each."""
        made = self.where(np.repeat(np.arange(len(self.source)), each))
        return made._replace(slope=np.full_like(made.slope, np.nan), coded=np.ones_like(made.coded))


def through(step: Any, columns: Columns) -> Columns:
    """What a fitted step, or a pipeline of steps, makes of the columns.

    Raises:
        NotReadable: it is not known to act on each column alone and monotonely.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return columns
    known = _steps().get(type(step))
    if known is None:
        raise NotReadable(
            f"{type(step).__name__}: this step is not known to act on each column alone, "
            "ascending or descending"
        )
    return known(step, columns)


@cache
def _steps() -> dict[type, Through]:
    """Who reads which step."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        MaxAbsScaler,
        MinMaxScaler,
        OneHotEncoder,
        OrdinalEncoder,
        RobustScaler,
        StandardScaler,
    )

    return {
        Pipeline: _pipeline,
        ColumnTransformer: _side_by_side,
        SimpleImputer: _imputed,
        StandardScaler: lambda step, columns: _scaled(
            columns, step.with_mean and step.mean_, step.with_std and step.scale_
        ),
        RobustScaler: lambda step, columns: _scaled(
            columns, step.with_centering and step.center_, step.with_scaling and step.scale_
        ),
        MaxAbsScaler: _most_absolute,
        MinMaxScaler: _between,
        FunctionTransformer: _function,
        OneHotEncoder: lambda step, columns: columns.categories(_hot(step)),
        OrdinalEncoder: lambda _, columns: columns.categories(),
    }


def _pipeline(step: Any, columns: Columns) -> Columns:
    for _, part in step.steps:
        columns = through(part, columns)
    return columns


def _side_by_side(step: Any, columns: Columns) -> Columns:
    """The parts of a `ColumnTransformer`, in the order of their columns."""
    if step.transformer_weights is not None:
        raise NotReadable("ColumnTransformer: transformer_weights are not read")
    parts = [columns.where(slice(0))]
    for name, part, _ in step.transformers_:
        places = np.asarray(list(step._transformer_to_input_indices[name]), dtype=np.int64)
        if len(places) and not (isinstance(part, str) and part == "drop"):
            parts.append(through(part, columns.where(places)))
    return Columns(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _imputed(step: Any, columns: Columns) -> Columns:
    """A missing value becomes what was found in training; nothing else changes."""
    if step.add_indicator:
        raise NotReadable("SimpleImputer: add_indicator is not read: it makes columns of its own")
    if not (isinstance(step.missing_values, float) and np.isnan(step.missing_values)):
        raise NotReadable(
            f"SimpleImputer: missing_values = {step.missing_values!r} is not read: only NaN is "
            "missing"
        )
    every = np.asarray(step.statistics_, dtype=object)
    texts = np.array([isinstance(one, str) for one in every], dtype=bool)
    found = np.where(texts, 0.0, every).astype(np.float64)
    stays = np.ones(len(found), bool)
    if step.strategy != "constant" and not step.keep_empty_features:
        stays = ~np.isnan(found)  # a column without any value in training is dropped
    columns, found, texts = columns.where(stays), found[stays], texts[stays]
    filled = (found - columns.shift) / columns.slope
    fill = np.where(np.isnan(columns.fill), filled, columns.fill)
    return columns._replace(fill=fill, coded=columns.coded | texts)


def _scaled(columns: Columns, center: Any, scale: Any) -> Columns:
    """After a center was taken off (False = none) and what is left divided by a scale."""
    center = 0.0 if center is False else np.asarray(center, dtype=np.float64)
    scale = 1.0 if scale is False else np.asarray(scale, dtype=np.float64)
    return columns.moved(1.0 / scale, -center / scale)


def _most_absolute(step: Any, columns: Columns) -> Columns:
    scaled = _scaled(columns, False, step.scale_)
    return _clipped(scaled) if getattr(step, "clip", False) else scaled


def _between(step: Any, columns: Columns) -> Columns:
    moved = columns.moved(np.asarray(step.scale_), np.asarray(step.min_))
    return _clipped(moved) if step.clip else moved


def _clipped(columns: Columns) -> Columns:
    """Ascending still, but no line."""
    return columns._replace(slope=np.full_like(columns.slope, np.nan))


def _hot(step: Any) -> list[int]:
    """How many columns an encoder makes of each: of its categories, or fewer."""
    return list(step._n_features_outs)


def _function(step: Any, columns: Columns) -> Columns:
    """What scikit-learn puts where nothing is to be done."""
    if step.func is not None:
        raise NotReadable("FunctionTransformer: a function of somebody's own is not read")
    return columns


def unfolded(estimator: Any) -> tuple[list[Any], Any]:
    """The steps before the model, and the model; pipelines within pipelines are opened."""
    from sklearn.pipeline import Pipeline

    steps: list[Any] = []
    while type(estimator) is Pipeline:
        steps += [step for _, step in estimator.steps[:-1]]
        estimator = estimator.steps[-1][1]
    return [step for step in steps if not _nothing(step)], estimator


def _nothing(step: Any) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")


def transformed(steps: Sequence[Any], given: Any) -> Array:
    """What the steps themselves make of records, in their own precision: (R, F)."""
    for step in steps:
        given = step.transform(given)
    return np.asarray(given.toarray() if hasattr(given, "toarray") else given)
