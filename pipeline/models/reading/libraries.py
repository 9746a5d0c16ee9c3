"""Fitted estimators of XGBoost and LightGBM in memory, through the formats that they save."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.files import BadInput
from pipeline.models.reading import lightgbm_files, xgboost_files
from pipeline.models.reading.refusal import NotReadable
from pipeline.models.reading.scikit import Grown


def grown(model: Any) -> Grown | None:
    """The trees of such an estimator of two classes; None where it is none. Nothing is imported.

    Raises:
        NotReadable: it does what is not read.
    """
    read = READERS.get(f"{type(model).__module__}.{type(model).__qualname__}")
    try:
        return read(model) if read else None
    except BadInput as error:  # in a file; in memory it can still be asked
        raise NotReadable(str(error)) from error


def _xgboost(model: Any) -> Grown:
    if not (isinstance(model.missing, float) and np.isnan(model.missing)):
        raise NotReadable(f"XGBClassifier: missing = {model.missing!r} is not read: only NaN is")
    learner = json.loads(bytes(model.get_booster().save_raw("json")))["learner"]
    learner["attributes"]["scikit_learn"] = ""  # it answers by its best round
    return xgboost_files.ensemble_of(learner, "XGBClassifier")[0]


def _lightgbm(model: Any) -> Grown:
    return lightgbm_files.ensemble_of(model.booster_.model_to_string(), "LGBMClassifier")[0]


READERS: dict[str, Callable[[Any], Grown]] = {
    "xgboost.sklearn.XGBClassifier": _xgboost,
    "lightgbm.sklearn.LGBMClassifier": _lightgbm,
}
