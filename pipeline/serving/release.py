"""The release model as an MLflow model: raw records in, probabilities and a decision out.

Of networks of images raw grey levels are what goes in, as an array.

MLflow stores this file as the model's code ("models from code") and runs it where the model is
loaded.
"""

import math
from pathlib import Path
from typing import Any, cast

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, TensorSpec
from mlflow.types import Schema as Columns
from mlflow.types.schema import AnyType
from numpy.typing import NDArray

from pipeline.config import FeatureConfig
from pipeline.data.schema import Schema, load_schema
from pipeline.data.tabular import checked_frame
from pipeline.files import BadInput
from pipeline.models.answers import log_odds
from pipeline.models.population import Population, load_population
from pipeline.statistics.operating_point import logistic

DECISION = "decision"  # the column of the class that the model decides for


def signature(schema: Schema) -> ModelSignature:
    """What goes in and out, from the schema alone: columns are required, values may be missing.

    Every column is required, every value may be missing. The columns are of any type, because
    MLflow would refuse whole numbers in a column of doubles, and a column of a CSV holds those as
    soon as no value is missing. `answers` checks the values. Of images an array of uint8 goes in,
    (N, H, W) where they have one channel, as a grey picture is read, else (N, C, H, W).
    """
    into: list[ColSpec | TensorSpec] = [ColSpec(AnyType(), name) for name in schema.names]
    if schema.image:
        into = [TensorSpec(np.dtype(np.uint8), (-1, *_as_read(schema)))]
    out = [ColSpec(DataType.double, name) for name in schema.classes]
    return ModelSignature(Columns(into), Columns([*out, ColSpec(DataType.string, DECISION)]))


def _as_read(schema: Schema) -> tuple[int, ...]:
    """The shape of one image as it goes in: a single channel is not told."""
    channels, *sides = schema.image
    return tuple(sides) if channels == 1 else (channels, *sides)


def input_example(schema: Schema) -> pd.DataFrame | NDArray[np.uint8]:
    """Two records of nobody: all values at their public centres; every other one missing (None).

    Of images one of plain mid grey, and one from the least level to the largest.
    """
    if schema.image:
        return _grey_images(schema)
    usual = [_usual(feature) for feature in schema.features]
    gaps = [None if place % 2 else value for place, value in enumerate(usual)]
    return pd.DataFrame([usual, gaps], columns=list(schema.names), dtype=object)


def _grey_images(schema: Schema) -> NDArray[np.uint8]:
    (pixel,) = schema.features
    shape = _as_read(schema)
    ramp = np.linspace(pixel.lower, pixel.upper, math.prod(shape)).round().reshape(shape)
    plain = np.full(shape, round((pixel.lower + pixel.upper) / 2))
    return np.stack([plain, ramp]).astype(np.uint8)


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


def answers(
    population: Population, schema: Schema, records: pd.DataFrame | NDArray[Any]
) -> pd.DataFrame:
    """What a population of one says of raw records: taken as float32, answered in float64.

    Args:
        population: M = 1.
        schema: of the records.
        records: one column per feature, in clinical units, in any order, whole numbers or not; a
            missing value is NaN, None or the schema's missing code. Of images whole grey levels,
            (N, C, H, W), or (N, H, W) where they have one channel.

    Returns:
        rows as given: one column per class, which add up to 1, and the class that the model decides
        for, by its own threshold.

    Raises:
        BadInput: a value is no number, is outside the plausible range, or not a whole number where
            it must be; or a record holds no measurement; or images are of another shape.
        KeyError: a column is missing (MLflow's own check of the signature comes first).
    """
    index = None
    if schema.image:
        values = checked_images(records, schema)
    else:
        frame = cast(pd.DataFrame, records)  # MLflow hands over what the signature names
        values, index = checked_frame(frame, schema, "records", first_line=0), frame.index
    x = torch.from_numpy(values.astype(np.float32))
    ill = log_odds(population, x[None])[0].numpy()
    healthy, called = schema.classes
    chances = {healthy: logistic(-ill), called: logistic(ill)}
    decided = np.where(ill > float(population.cut[0]), called, healthy)
    return pd.DataFrame({**chances, DECISION: decided}, index=index)


def checked_images(images: Any, schema: Schema) -> NDArray[Any]:
    """Images (N, C, H, W) as they were given, of this shape and with whole levels of the range.

    Raises:
        BadInput: they are not; it names the first image, from 0.
    """
    given, (pixel,) = np.asarray(images), schema.features
    x = given[:, None] if given.ndim == 3 and schema.image[0] == 1 else given
    if x.shape[1:] != tuple(schema.image):
        sides = " x ".join(map(str, schema.image))
        raise BadInput(
            f"images: an array of {' x '.join(map(str, given.shape)) or 'no'} values; expected any "
            f"number of images of {sides} (channels, height, width)"
        )
    if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating)):
        raise BadInput(f"images: of type {x.dtype}; grey levels are whole numbers, uint8")
    inside = (x >= pixel.lower) & (x <= pixel.upper) & (x == np.round(x))
    if not inside.all():
        number = int(np.flatnonzero(~inside.reshape(len(x), -1).all(1))[0])
        level = x[number][~inside[number]][0]
        raise BadInput(
            f"images: image {number}: grey level {level:g}; expected whole numbers from "
            f"{pixel.lower:g} to {pixel.upper:g}"
        )
    return x


class ReleaseModel(mlflow.pyfunc.PythonModel):
    """Loads weights (safetensors) and schema (JSON) and gives `answers`."""

    def load_context(self, context: Any) -> None:
        """Reads the folder that was logged beside this code."""
        place = Path(context.artifacts["release"])
        self.population, self.schema = load_population(place), load_schema(place)

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,  # or an array of images: a hint that says both is refused
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Probabilities and decisions for raw records: a data frame, or an array of images."""
        return answers(self.population, self.schema, model_input)


mlflow.models.set_model(ReleaseModel())
