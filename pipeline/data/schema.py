"""Records in clinical units, what their columns mean, and how both are kept."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.config import DataConfig, FeatureConfig
from pipeline.files import BadInput, read_json, read_tensors, write_json, write_tensors

RECORDS, IMAGES, SCHEMA = "records.parquet", "images.safetensors", "schema.json"
ORIGINS = "origins.safetensors"
SPLITS = ("train", "tune", "test")  # what an official split sets records apart for


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
        sites: names of the places where records were made; empty = nobody says.
        relations: what the values of a record keep, as text; see `pipeline.config.formulas`.
        derived: names of values that follow from others, and how, as text.
    """

    names: tuple[str, ...]
    features: tuple[FeatureConfig, ...]
    target: str
    classes: tuple[str, ...]
    image: tuple[int, ...] = ()
    sites: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    derived: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, cfg: DataConfig) -> "Schema":
        """The schema of a data configuration."""
        return cls(
            tuple(cfg.features),
            tuple(cfg.features.values()),
            cfg.target,
            tuple(cfg.classes),
            tuple(cfg.image.shape) if cfg.image else (),
            relations=tuple(cfg.relations),
            derived=tuple(cfg.derived.items()),
        )

    @property
    def hot(self) -> Tensor:
        """(H, 2) int64, feature and level of each input that a category becomes; H = 0 of none."""
        pairs = [
            (place, level)
            for place, feature in enumerate(self.features)
            if feature.kind == "categorical"
            for level in range(feature.columns)
        ]
        return torch.tensor(pairs, dtype=torch.int64).view(-1, 2)

    @property
    def inputs(self) -> int:
        """How many inputs a record becomes: its values, and a column for each level."""
        return len(self.features) + len(self.hot)

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
        patient: (N,) int64, whose record it is, from 0; by default everybody has one.
        together: (N,) int64, records of one number stay on one side of every split: those of one
            patient, and equal ones, whosever they are; by default as `patient`.
        site: (N,) int64 places in `schema.sites`; None = nobody says.
        time: (N,) float64 days of the record from any one day on; None = nobody says.
        split: (N,) int64 places in `SPLITS`, of the split that the data set came with; None = it
            came without one.
    """

    x: Tensor
    y: Tensor
    schema: Schema
    patient: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    together: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    site: Tensor | None = None
    time: Tensor | None = None
    split: Tensor | None = None

    def __post_init__(self) -> None:
        """Without a word about patients, each record is one."""
        if len(self.patient) != len(self.y):
            object.__setattr__(self, "patient", torch.arange(len(self.y)))
        if len(self.together) != len(self.y):
            object.__setattr__(self, "together", self.patient)

    def narrowed(self, rows: Tensor) -> "Dataset":
        """These records (indices) alone, numbered from 0."""
        site, time, split = (
            None if one is None else one[rows] for one in (self.site, self.time, self.split)
        )
        own = self.x[rows], self.y[rows], self.schema, self.patient[rows], self.together[rows]
        return Dataset(*own, site, time, split)

    @property
    def records_of_a_patient(self) -> int:
        """How many records one patient has, at most."""
        return int(self.patient.unique(return_counts=True)[1].max())

    @property
    def digest(self) -> str:
        """The SHA-256 of the records, their diagnoses, and whose they are, as in memory."""
        digest = hashlib.sha256(repr(tuple(self.x.shape)).encode())
        for tensor in (self.x, self.y, self.patient):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def origins(self) -> dict[str, Tensor]:
        """Whose each record is, where it was made and when, as far as anybody says."""
        named = {"patient": self.patient, "together": self.together.clone()}
        given = {"site": self.site, "time": self.time, "split": self.split}
        return named | {name: tensor for name, tensor in given.items() if tensor is not None}


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Writes `records.parquet` (features and target; of images a safetensors) and `schema.json`.

    And `origins.safetensors`: whose each record is, where it was made and when, as numbers alone.
    """
    schema = dataset.schema
    write_tensors(folder / ORIGINS, dataset.origins)
    if schema.image:
        write_tensors(folder / IMAGES, {"x": dataset.x.to(torch.uint8), "y": dataset.y})
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
    lists: dict[str, Any] = {"image": list(schema.image), "sites": list(schema.sites)}
    lists |= {"relations": list(schema.relations), "derived": dict(schema.derived)}
    others = {name: values for name, values in lists.items() if values}
    described = {"target": schema.target, "classes": list(schema.classes), "features": features}
    write_json(folder / SCHEMA, described | others)


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
            tuple(described.get("sites", ())),
            tuple(described.get("relations", ())),
            tuple(described.get("derived", {}).items()),
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

    schema, advice = load_schema(folder), "run `dvc repro prepare`"
    origins, _ = read_tensors(folder / ORIGINS, advice)
    if schema.image:
        tensors, _ = read_tensors(folder / IMAGES, advice)
        return Dataset(tensors["x"].float(), tensors["y"], schema, **origins)
    try:
        table = read_table(folder / RECORDS)
        columns = [table.column(name).to_numpy() for name in (*schema.names, schema.target)]
        x = np.stack(columns[:-1], 1).astype(np.float32, copy=False)
        y = columns[-1].astype(np.int64)
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise BadInput(f"{folder / RECORDS}: cannot be read ({error}); {advice}") from error
    return Dataset(torch.from_numpy(x), torch.from_numpy(y), schema, **origins)
