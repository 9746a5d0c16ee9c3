"""Small made-up scans, their configuration, and the files that they may come in."""

from pathlib import Path

import numpy as np
import torch
import yaml

import tiny
from pipeline.config import DataConfig
from pipeline.data.schema import Dataset, Schema
from pipeline.validation import checked_model

SHAPE = (1, 8, 8)
PIXEL = {
    **{"unit": "grey level", "kind": "integer", "lower": 0.0, "upper": 255.0, "step": 1.0},
    **{"mutable": True, "private": False, "center": 127.5, "scale": 1.0, "source": "made up"},
    **{"error": None, "error_source": None},
}


def described(**changes) -> DataConfig:
    """The configuration of made-up scans, with changes."""
    values = {
        **{"name": "scans", "title": "Scans", "source": "npz", "file": "scans.npz"},
        **{"image": {"shape": [*SHAPE]}, "target": "ill", "classes": ["normal", "tumour"]},
        **{"auroc_ceiling": None, "bands": {}, "features": {"pixel": PIXEL}},
    }
    return checked_model(DataConfig, {**values, **changes}, "conf")


def configured(name: str) -> DataConfig:
    """The configuration of a data set of the project."""
    values = yaml.safe_load((tiny.ROOT / "conf/data" / f"{name}.yaml").read_text())
    return checked_model(DataConfig, values, "conf")


def drawn(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scans (n, 8, 8) uint8 and labels (n, 1): of the ill a bright spot stands in one corner."""
    generator = np.random.default_rng(seed)
    y = (np.arange(n) % 2).astype(np.uint8)
    x = generator.integers(0, 120, (n, 8, 8)).astype(np.uint8)
    x[y == 1, :3, :3] += 110
    return x, y[:, None]


def archive(path: Path, *, sizes=(40, 20, 24), **changes: np.ndarray) -> None:
    """An archive in the layout of MedMNIST, some of its arrays exchanged, or left out (None)."""
    held = {}
    for seed, (part, size) in enumerate(zip(("train", "val", "test"), sizes, strict=True)):
        held[f"{part}_images"], held[f"{part}_labels"] = drawn(size, seed=seed)
    held |= changes
    np.savez(path, **{name: array for name, array in held.items() if array is not None})


def dataset(n: int, *, seed: int, split: bool = False) -> Dataset:
    """Made-up scans in memory; with a split, half train, a quarter tune, the rest test."""
    x, y = drawn(n, seed=seed)
    parts = (torch.arange(n) >= n // 2).long() + (torch.arange(n) >= 3 * n // 4).long()
    return Dataset(
        torch.from_numpy(x[:, None]).float(),
        torch.from_numpy(y[:, 0]).long(),
        Schema.of(described()),
        split=parts if split else None,
    )
