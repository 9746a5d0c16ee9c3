"""The cohort as MLflow's dataset: a name, a digest, columns. Never a record, a sample, a place."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import DataConfig
from pipeline.data.schema import Dataset, Schema

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

CONTEXT = "audited"
DIGITS = 16  # of the digest; MLflow takes 36


def data_digest(dataset: Dataset) -> str:
    """The first digits of the cohort's digest."""
    return dataset.digest[:DIGITS]


def dataset_input(dataset: Dataset, cfg: DataConfig) -> "DatasetInput":
    """The cohort as an input of a run.

    Its source is the name of the file, and its profile counts records, patients and columns.
    """
    from mlflow.entities import Dataset as Entity
    from mlflow.entities import DatasetInput, InputTag

    entity = Entity(
        name=cfg.name,
        digest=data_digest(dataset),
        source_type="local",
        source=json.dumps({"uri": Path(cfg.file).name}),
        schema=json.dumps({"mlflow_colspec": columns(dataset.schema)}),
        profile=json.dumps(
            {
                "num_rows": len(dataset.y),
                "num_patients": len(dataset.patient.unique()),
                "num_features": len(dataset.schema.names),
            }
        ),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", CONTEXT)])


def columns(schema: Schema) -> list[dict[str, str | bool]]:
    """MLflow's description of the columns; a value may be missing, but not a diagnosis."""
    told: list[dict[str, str | bool]] = [
        {"name": name, "type": "string" if one.levels else "double", "required": False}
        for name, one in zip(schema.names, schema.features, strict=True)
    ]
    return [*told, {"name": schema.target, "type": "string", "required": True}]
