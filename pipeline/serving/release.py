"""The release model as an MLflow model: raw clinical records in, probabilities and a decision out.

MLflow stores this file as the model's code ("models from code") and runs it where the model is
loaded.
"""

import math
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType
from mlflow.types import Schema as Columns
from mlflow.types.schema import AnyType

from pipeline.config import FeatureConfig
from pipeline.data.schema import Schema, load_schema
from pipeline.data.tabular import checked_frame
from pipeline.models.answers import log_odds
from pipeline.models.networks import Networks
from pipeline.statistics.operating_point import logistic

DECISION = "decision"  # the column of the class that the model decides for


def signature(schema: Schema) -> ModelSignature:
    """What goes in and out, from the schema alone: columns are required, values may be missing.

    Every column is required, every value may be missing. The columns are of any type, because
    MLflow would refuse whole numbers in a column of doubles, and a column of a CSV holds those as
    soon as no value is missing. `answers` checks the values.
    """
    into = [ColSpec(AnyType(), name) for name in schema.names]
    out = [ColSpec(DataType.double, name) for name in schema.classes]
    return ModelSignature(Columns(into), Columns([*out, ColSpec(DataType.string, DECISION)]))


def input_example(schema: Schema) -> pd.DataFrame:
    """Two records of nobody: all values at their public centres; every other one missing (None)."""
    usual = [_usual(feature) for feature in schema.features]
    gaps = [None if place % 2 else value for place, value in enumerate(usual)]
    return pd.DataFrame([usual, gaps], columns=list(schema.names), dtype=object)


def _usual(feature: FeatureConfig) -> float | int | str:
    """The centre as a clinic would write it: on its grid, in its range, whole where it must be.

    Of levels, the cell of the one in the middle.
    """
    if feature.levels:
        return list(feature.levels)[round(feature.center)]
    step = feature.step or (1.0 if feature.kind == "integer" else None)
    if step is None:
        return min(max(feature.center, feature.lower), feature.upper)
    first, last = math.ceil(feature.lower / step - 1e-9), math.floor(feature.upper / step + 1e-9)
    value = round(min(max(round(feature.center / step), first), last) * step, 10)
    return int(value) if feature.kind == "integer" else value


def answers(population: Networks, schema: Schema, records: pd.DataFrame) -> pd.DataFrame:
    """What a population of one says of raw records: taken as float32, answered in float64.

    Args:
        population: M = 1.
        schema: of the records.
        records: one column per feature, in clinical units, in any order, whole numbers or not; a
            missing value is NaN, None or the schema's missing code.

    Returns:
        rows as given: one column per class, which add up to 1, and the class that the model decides
        for, by its own threshold.

    Raises:
        BadInput: a value is no number, is outside the plausible range, or not a whole number where
            it must be; or a record holds no measurement.
        KeyError: a column is missing (MLflow's own check of the signature comes first).
    """
    values = checked_frame(records, schema, "records", first_line=0)
    x = torch.from_numpy(values.astype(np.float32))
    ill = log_odds(population, x[None])[0].numpy()
    healthy, called = schema.classes
    chances = {healthy: logistic(-ill), called: logistic(ill)}
    decided = np.where(ill > float(population.cut[0]), called, healthy)
    return pd.DataFrame({**chances, DECISION: decided}, index=records.index)


class ReleaseModel(mlflow.pyfunc.PythonModel):
    """Loads weights (safetensors) and schema (JSON) and gives `answers`."""

    def load_context(self, context: Any) -> None:
        """Reads the folder that was logged beside this code."""
        place = Path(context.artifacts["release"])
        self.population, self.schema = Networks.load(place), load_schema(place)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Probabilities and decisions for a data frame of raw records."""
        return answers(self.population, self.schema, model_input)


mlflow.models.set_model(ReleaseModel())
