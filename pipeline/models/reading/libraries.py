"""Fitted estimators of XGBoost and LightGBM in memory, through the formats that they save."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading import lightgbm_files, xgboost_files
from pipeline.models.reading.asking import Cells
from pipeline.models.reading.assembly import coded
from pipeline.models.reading.refusal import NotReadable
from pipeline.models.reading.scikit import Grown
from pipeline.statistics import Array


def grown(model: Any) -> Grown | None:
    """The trees of such an estimator of two classes, or of what it holds; None where it is none.

    Nothing is imported.

    Raises:
        NotReadable: it does what is not read.
    """
    read = READERS.get(f"{type(model).__module__}.{type(model).__qualname__}")
    try:
        return read(model) if read else None
    except BadInput as error:  # in a file; in memory it can still be asked
        raise NotReadable(str(error)) from error


def categories_of(model: Any) -> Sequence[Cells]:
    """Of each column of such an estimator the categories of pandas that it was trained on.

    Empty where there are none, or it is no such estimator.

    Raises:
        NotReadable: as `grown`.
    """
    found = grown(model)
    told = found.categories if found else ()
    return told if any(told) else ()


@dataclass(frozen=True)
class Codes:
    """What such a library makes of the cells of columns, as a step before its trees.

    Attributes:
        categories: of each column, in the order of their codes; empty = numbers, as they are.
    """

    categories: Sequence[Cells]

    def transform(self, given: Any) -> Array:
        """(R, W) float64 of a table of cells; NaN = missing, or not known."""
        columns = [given[name] for name in given.columns]
        return np.stack(
            [
                coded(np.asarray(one), told)
                for one, told in zip(columns, self.categories, strict=True)
            ],
            1,
        )


def _xgboost(model: Any) -> Grown:
    if not (isinstance(model.missing, float) and np.isnan(model.missing)):
        raise NotReadable(f"XGBClassifier: missing = {model.missing!r} is not read: only NaN is")
    return _of_xgboost(model.get_booster(), "XGBClassifier", scikit_learn="")  # by its best round


def _of_xgboost(booster: Any, kind: str, **attributes: str) -> Grown:
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    learner["attributes"].update(attributes)
    return xgboost_files.ensemble_of(learner, kind)[0]


def _of_lightgbm(booster: Any, kind: str) -> Grown:
    return lightgbm_files.ensemble_of(booster.model_to_string(), kind)[0]


READERS: dict[str, Callable[[Any], Grown]] = {
    "xgboost.sklearn.XGBClassifier": _xgboost,
    "xgboost.core.Booster": lambda model: _of_xgboost(model, "Booster"),
    "lightgbm.sklearn.LGBMClassifier": lambda model: _of_lightgbm(model.booster_, "LGBMClassifier"),
    "lightgbm.basic.Booster": lambda model: _of_lightgbm(model, "Booster"),
}
