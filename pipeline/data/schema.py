"""Records in clinical units, what their columns mean, and how both are kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.config import DataConfig, FeatureConfig
from pipeline.files import BadInput, read_json, read_tensors, write_json, write_tensors

RECORDS, IMAGES, SCHEMA = "records.parquet", "images.safetensors", "schema.json"


@dataclass(frozen=True)
class Schema:
    """What the values of an event mean.

    Attributes:
        names: of the D features, in order; of an image the one name of all its values.
        features: unit, range, resolution and so on of each.
        target: the column of the diagnosis.
        classes: names of the classes; class 1 = disease present.
        image: (C, H, W) where an event is an image whose values all are the one feature; empty = an
            event is a record of the features.
    """

    names: tuple[str, ...]
    features: tuple[FeatureConfig, ...]
    target: str
    classes: tuple[str, ...]
    image: tuple[int, ...] = ()

    @classmethod
    def of(cls, cfg: DataConfig) -> "Schema":
        """The schema of a data configuration."""
        return cls(
            tuple(cfg.features), tuple(cfg.features.values()), cfg.target, tuple(cfg.classes)
        )

    def column(self, name: str) -> Tensor:
        """A public number of every value (`center`, `scale`, `lower`, `upper`), float64.

        (D,) of a record, (C, H, W) of an image.
        """
        numbers = [float(getattr(feature, name)) for feature in self.features]
        values = torch.tensor(numbers, dtype=torch.float64)
        return values.expand(self.image).clone() if self.image else values


@dataclass(frozen=True)
class Dataset:
    """Checked events.

    Attributes:
        x: (N, D) records or (N, C, H, W) images, float32, clinical units; NaN = missing.
        y: (N,) int64, class indices.
        schema: what the columns mean.
    """

    x: Tensor
    y: Tensor
    schema: Schema


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Writes `records.parquet` (features and target; of images a safetensors) and `schema.json`."""
    schema = dataset.schema
    if schema.image:
        write_tensors(folder / IMAGES, {"x": dataset.x, "y": dataset.y})
        save_schema(schema, folder)
        return
    import pandas as pd  # here: who reads records need not wait for it

    frame = pd.DataFrame(dataset.x.numpy(), columns=list(schema.names))
    frame[schema.target] = dataset.y.numpy()
    frame.to_parquet(folder / RECORDS, index=False)
    save_schema(schema, folder)


def save_schema(schema: Schema, folder: Path) -> None:
    """Writes `schema.json`."""
    features = {
        name: feature.model_dump()
        for name, feature in zip(schema.names, schema.features, strict=True)
    }
    image = {"image": list(schema.image)} if schema.image else {}
    described = {"target": schema.target, "classes": list(schema.classes), "features": features}
    write_json(folder / SCHEMA, described | image)


def load_schema(folder: Path) -> Schema:
    """Reads what `save_schema` wrote.

    Raises:
        BadInput: the file is missing or damaged.
    """
    described = read_json(folder / SCHEMA)
    try:
        features = {
            name: FeatureConfig.model_validate(value)
            for name, value in described["features"].items()
        }
        return Schema(
            tuple(features),
            tuple(features.values()),
            described["target"],
            tuple(described["classes"]),
            tuple(described.get("image", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{folder / SCHEMA}: damaged ({' '.join(str(error).split())}); run `dvc repro prepare`"
        ) from error


def load_dataset(folder: Path) -> Dataset:
    """Reads what `save_dataset` wrote, bit for bit.

    Raises:
        BadInput: a file is missing or damaged.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    schema = load_schema(folder)
    if schema.image:
        tensors, _ = read_tensors(folder / IMAGES, advice="run `dvc repro prepare`")
        return Dataset(tensors["x"], tensors["y"], schema)
    try:
        table = read_table(folder / RECORDS)
        columns = [table.column(name).to_numpy() for name in (*schema.names, schema.target)]
        x, y = np.stack(columns[:-1], 1).astype(np.float32), columns[-1].astype(np.int64)
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise BadInput(
            f"{folder / RECORDS}: cannot be read ({error}); run `dvc repro prepare`"
        ) from error
    return Dataset(torch.from_numpy(x), torch.from_numpy(y), schema)
