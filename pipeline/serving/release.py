"""The release model as an MLflow model: raw clinical records in, probabilities out, nothing unpickled.

MLflow stores this file as the model's code ("models from code") and runs it where the model is loaded.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch

from pipeline.data.schema import Schema, load_schema
from pipeline.data.tabular import checked_values
from pipeline.models.population import Population


def probabilities(population: Population, schema: Schema, records: pd.DataFrame) -> pd.DataFrame:
    """What a population of one says of raw records, rounded to float32 as records are, and answered in float64.

    Args:
        population: M = 1.
        schema: of the records.
        records: one column per feature, in clinical units, in any order; a missing value is NaN or the schema's missing code.

    Returns:
        one column per class, rows as given, each adding up to 1.

    Raises:
        BadInput: a value is outside the plausible range or not a whole number where it must be.
        KeyError: a column is missing (MLflow's own check of the signature comes first).
    """
    values = records[list(schema.names)].to_numpy(dtype=np.float64, copy=True)
    x = torch.from_numpy(checked_values(values, schema, "records", first_line=0).astype(np.float32))
    with torch.no_grad():
        answer = torch.softmax(population.double()(x[None].double())[0], -1).numpy()
    return pd.DataFrame(answer, columns=list(schema.classes), index=records.index)


class ReleaseModel(mlflow.pyfunc.PythonModel):
    """Loads weights (safetensors) and schema (JSON) and answers with `probabilities`."""

    def load_context(self, context: Any) -> None:
        """Reads the folder that was logged beside this code."""
        place = Path(context.artifacts["release"])
        self.population, self.schema = Population.load(place), load_schema(place)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Probabilities of each class for a data frame of raw records."""
        return probabilities(self.population, self.schema, model_input)


mlflow.models.set_model(ReleaseModel())
