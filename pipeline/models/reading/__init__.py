"""Readers of models that somebody else fitted: what is read can be proved, and is held to account.

    read_estimator(estimator, inputs, probes, levels) -> Trees | Networks     fitted, in memory
    load_skops(path) -> estimator                                     nothing is unpickled
    read_xgboost(path, inputs, levels) -> Trees                       the JSON of save_model
    read_lightgbm(path, inputs, levels) -> Trees                      the text of save_model
    Asked.of(estimator, inputs)(records) -> probabilities             how it is asked itself
    held_against(read, ask, records, what=...)                        FailedCheck where they differ
    made_up(schema, seed) -> records

`inputs` are the names of the D columns of a record, `probes` and `records` (R, D) float32 arrays in
clinical units, NaN = missing; `levels` are the file's cells of columns that hold the place of one.
What cannot be looked into is `NotReadable`, by the name of the class
at fault: it still gives scores. Class 1 is the second label of the model.
"""

from pipeline.models.reading.agreement import (
    AGREES,
    AGREES_ROUNDED,
    Ask,
    chances,
    held_against,
    made_up,
    on_thresholds,
)
from pipeline.models.reading.asking import Asked, Levels, celled, typed, with_categories
from pipeline.models.reading.estimators import read_estimator
from pipeline.models.reading.libraries import categories_of
from pipeline.models.reading.lightgbm_files import read_lightgbm
from pipeline.models.reading.refusal import NotReadable
from pipeline.models.reading.skops_files import load_skops
from pipeline.models.reading.xgboost_files import read_xgboost

__all__ = [
    "AGREES",
    "AGREES_ROUNDED",
    "Ask",
    "Asked",
    "Levels",
    "NotReadable",
    "categories_of",
    "celled",
    "chances",
    "held_against",
    "load_skops",
    "made_up",
    "on_thresholds",
    "read_estimator",
    "read_lightgbm",
    "read_xgboost",
    "typed",
    "with_categories",
]
