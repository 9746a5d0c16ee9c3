"""Reading images, and saying in one line each what is wrong with them.

An archive in the layout of MedMNIST, a set of scikit-learn's, or a folder of pictures with a file
of labels. Whatever a file says, class 1 is *disease present*: the configuration maps its labels.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipeline.config import DataConfig, same_cell
from pipeline.data.cells import Cells
from pipeline.data.checking import Origins, told
from pipeline.data.pictures import read_pictures
from pipeline.data.provenance import PROVENANCE, hold
from pipeline.data.schema import SPLITS, Dataset, Schema
from pipeline.data.tabular import cells_of, kept_together
from pipeline.data.values import Fault, classes_of
from pipeline.files import BadInput
from pipeline.validation import nearest

PARTS = ("train", "val", "test")  # as MedMNIST calls the parts of its split
ADVICE = "MedMNIST+ offers it (https://medmnist.com); data.file=<path> names where it lies"

Bytes = NDArray[np.uint8]


class Read(NamedTuple):
    """Images (N, C, H, W) as whole grey levels, their labels, and what a file says of each."""

    x: Bytes
    labels: NDArray[Any]
    split: NDArray[np.int64] | None
    origins: dict[str, torch.Tensor]


def read_images(cfg: DataConfig, root: Path) -> tuple[Dataset, dict[str, Any]]:
    """Reads images and checks them against the schema.

    Args:
        cfg: names the file, the shape of an image, and the labels of both classes.
        root: the folder that the file's path starts from.

    Returns:
        the dataset, and a JSON-able report: see `_report`, and `hold` for `provenance`.

    Raises:
        BadInput: a line for each fault, with the file, what is wrong and what would be right.
    """
    assert cfg.image is not None
    read = _READERS[cfg.source](cfg, root / cfg.file)
    name = cfg.file if cfg.source != "sklearn" else f"scikit-learn's {cfg.name}"
    y = _classes(read.labels, cfg, name)
    _check_levels(read.x, cfg, name)
    x = torch.from_numpy(read.x.astype(np.float32))
    split = None if read.split is None else torch.from_numpy(read.split)
    equal = _equal(read.x)
    dataset = Dataset(
        x,
        torch.from_numpy(y),
        Schema.of(cfg),
        together=_together(read, equal),
        split=split,
        **read.origins,
    )
    if len(dataset.y.unique()) < 2:
        only = cfg.classes[int(dataset.y[0])]
        raise BadInput(f"{name}: every label is {only!r}; a model needs both classes")
    report = _report(dataset, equal) | {PROVENANCE: hold(cfg, root)}
    return _kept_apart(dataset, equal), report


def _npz(cfg: DataConfig, path: Path) -> Read:
    """An archive in the layout of MedMNIST: `<part>_images` and `<part>_labels`."""
    assert cfg.image is not None
    if not path.exists():
        raise BadInput(f"{cfg.file}: not found; {ADVICE}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            held = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise BadInput(f"{cfg.file}: cannot be read as an npz archive ({error})") from error
    except Exception as error:  # zipfile's own kinds
        raise BadInput(f"{cfg.file}: damaged: no npz archive ({error})") from error
    wanted = [f"{part}_{what}" for part in PARTS for what in ("images", "labels")]
    if lacking := [name for name in wanted if name not in held]:
        raise BadInput(
            f"{cfg.file}: holds no array {', '.join(lacking)}; the layout of MedMNIST has "
            f"{', '.join(wanted)}"
        )
    faults: list[str] = []
    for part in PARTS:
        faults += _faults_of_part(held, part, cfg.image.shape)
    if faults:
        raise BadInput("\n".join(f"{cfg.file}: {fault}" for fault in faults))
    x = np.concatenate([_channels_first(held[f"{part}_images"]) for part in PARTS])
    labels = np.concatenate([held[f"{part}_labels"].reshape(-1) for part in PARTS])
    sizes = [len(held[f"{part}_images"]) for part in PARTS]
    return Read(x, labels, np.repeat(np.arange(len(SPLITS), dtype=np.int64), sizes), {})


def _faults_of_part(held: Mapping[str, NDArray[Any]], part: str, shape: list[int]) -> list[str]:
    """What is wrong with one part of an archive, a line each."""
    images, labels = held[f"{part}_images"], held[f"{part}_labels"]
    channels, height, width = shape
    right = [height, width] if channels == 1 else [height, width, channels]
    faults = []
    if images.dtype != np.uint8:
        faults.append(f"{part}_images: is {images.dtype}; grey levels are uint8")
    if list(images.shape[1:]) not in (right, [height, width, channels]):
        found = " x ".join(map(str, images.shape[1:]))
        faults.append(
            f"{part}_images: are {found}; data.image.shape says "
            f"{' x '.join(map(str, right))} (height, width, channels)"
        )
    if labels.size != len(images):
        faults.append(
            f"{part}_labels: {labels.size} labels of {len(images)} images; one label an image"
        )
    if not len(images):
        faults.append(f"{part}_images: holds no image")
    return faults


def _channels_first(images: NDArray[Any]) -> Bytes:
    images = images[..., None] if images.ndim == 3 else images
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _sklearn(cfg: DataConfig, path: Path) -> Read:
    """A set of images of scikit-learn's, by its name: no split, whole grey levels."""
    from sklearn import datasets

    loader = getattr(datasets, f"load_{cfg.name}", None)
    bundle = None if loader is None else loader()
    if bundle is None or not hasattr(bundle, "images"):
        raise BadInput(f"data.name: scikit-learn has no images {cfg.name!r}; known: digits")
    images = np.asarray(bundle.images)
    assert cfg.image is not None
    if list(images.shape[1:]) != list(cfg.image.shape[1:]) or cfg.image.shape[0] != 1:
        raise BadInput(
            f"data.image.shape: {cfg.name} is 1 x {' x '.join(map(str, images.shape[1:]))}, not "
            f"{' x '.join(map(str, cfg.image.shape))}"
        )
    return Read(_channels_first(images).astype(np.uint8), bundle.target, None, {})


def _folder(cfg: DataConfig, path: Path) -> Read:
    """Pictures, and a CSV file that names each, beside its label."""
    assert cfg.image is not None
    cells = cells_of(cfg, path)
    target, faults = classes_of(cells.columns[cfg.target], cfg)
    origins = Origins(cfg)
    wrong = origins.add(cells)
    split, unknown = _split_of(cells, cfg.image.split)
    names = cells.columns[cfg.image.column]
    x, unread = read_pictures(path.parent, names, cfg.image.column, cfg.image.shape)
    if faults := faults + wrong + unknown + unread:
        raise BadInput(told(faults, cells.lines, cells.place, cfg.file))
    return Read(
        x, np.array([cfg.classes[place] for place in target], object), split, origins.known[0]
    )


def _split_of(cells: Cells, column: str | None) -> tuple[NDArray[np.int64] | None, list[Fault]]:
    """(N,) places in `SPLITS`, as the column says them; `val` and `validation` are `tune`."""
    if column is None:
        return None, []
    words = {**{name: place for place, name in enumerate(SPLITS)}, "val": 1, "validation": 1}
    said = [str(cell).lower() for cell in cells.columns[column]]
    places = np.array([words.get(one, -1) for one in said], dtype=np.int64)
    strange = np.flatnonzero(places < 0)
    if not len(strange):
        return places, []
    known = ", ".join(SPLITS)
    return places, [Fault(column, strange, f"{said[strange[0]]!r} is no part; known: {known}")]


_READERS = {"npz": _npz, "sklearn": _sklearn, "folder": _folder}


def _classes(labels: NDArray[Any], cfg: DataConfig, name: str) -> NDArray[np.int64]:
    """(N,) class indices; class 1 = disease present, as `outcomes` maps what the file says."""
    if cfg.source == "folder":  # its labels were read as any table's
        return np.array([cfg.classes.index(label) for label in labels], dtype=np.int64)
    given = cfg.outcomes or {0: cfg.classes[0], 1: cfg.classes[1]}
    places = {same_cell(cell): cfg.classes.index(label) for cell, label in given.items()}
    cells = [same_cell(one) for one in labels.tolist()]
    if unknown := sorted({cell for cell in cells if cell not in places}):
        raise BadInput(
            f"{name}: label {', '.join(unknown[:5])}: data.outcomes says of "
            f"{', '.join(map(str, given))} which class they are; {nearest(unknown[0], places)}"
        )
    return np.array([places[cell] for cell in cells], dtype=np.int64)


def _check_levels(x: Bytes, cfg: DataConfig, name: str) -> None:
    """Refuses grey levels outside the range of the schema."""
    ((feature, pixel),) = cfg.features.items()
    outside = (x < pixel.lower) | (x > pixel.upper)
    if outside.any():
        which = np.flatnonzero(outside.reshape(len(x), -1).any(1))
        raise BadInput(
            f"{name}: image {int(which[0])}: grey level {int(x[outside][0])} outside "
            f"{pixel.lower:g} to {pixel.upper:g} ({len(which)} images in all); correct "
            f"data.features.{feature}.lower and upper"
        )


def _equal(x: Bytes) -> NDArray[np.int64]:
    """(N,): equal images have one number."""
    return np.asarray(pd.factorize(np.array([one.tobytes() for one in x], dtype=object))[0])


def _together(read: Read, equal: NDArray[np.int64]) -> torch.Tensor:
    """(N,) int64: what stays on one side of every split: equal images, and those of one patient."""
    patient = read.origins.get("patient", torch.arange(len(equal)))
    return kept_together(patient, equal)


def _kept_apart(dataset: Dataset, equal: NDArray[np.int64]) -> Dataset:
    """The data set, but that no model of its split learns from or is tuned on what it is tested on.

    An image that occurs on both sides is left to the later one: test before tune before train. What
    is set aside so belongs to none of the three.
    """
    if dataset.split is None:
        return dataset
    split = dataset.split.clone()
    latest = np.zeros(int(equal.max()) + 1, dtype=np.int64)
    np.maximum.at(latest, equal, split.numpy())
    split[split.numpy() < latest[equal]] = len(SPLITS)
    return replace(dataset, split=split)


def _report(dataset: Dataset, equal: NDArray[np.int64]) -> dict[str, Any]:
    """What a reader wants to know of images before anything is learned from them.

    The counts of a cohort of records (see `pipeline.data.tabular`), and `splits`, of each part of
    the official split its images and its ill ones; `across_splits`, images that occur in two parts,
    as `train and tune`.
    """
    (name,) = dataset.schema.names
    counts = np.bincount(equal)
    found: dict[str, Any] = {
        "records": len(dataset.y),
        "positives": int((dataset.y == 1).sum()),
        "patients": len(dataset.patient.unique()),
        "sites": 0,
        "equal_rows": int(counts[counts > 1].sum()),
        "missing": {name: 0},
        "off_grid": {name: 0},
        "finer_step": {},
    }
    if dataset.split is not None:
        found |= _of_split(dataset.split.numpy(), dataset.y.numpy(), equal)
    return found


def _of_split(
    split: NDArray[np.int64], y: NDArray[np.int64], equal: NDArray[np.int64]
) -> dict[str, Any]:
    parts = [set(equal[split == place].tolist()) for place in range(len(SPLITS))]
    pairs = {
        f"{SPLITS[one]} and {SPLITS[other]}": len(parts[one] & parts[other])
        for one in range(len(SPLITS))
        for other in range(one + 1, len(SPLITS))
    }
    return {
        "splits": {
            name: {"images": int((split == place).sum()), "ill": int(y[split == place].sum())}
            for place, name in enumerate(SPLITS)
        },
        "across_splits": {names: count for names, count in pairs.items() if count},
    }


def split_in_words(report: Mapping[str, Any]) -> list[str]:
    """What a person should hear of an official split, one line for each kind of thing."""
    if "splits" not in report:
        return []
    each = [
        f"{name} {one['images']} images, {one['ill'] / max(1, one['images']):.0%} ill"
        for name, one in report["splits"].items()
    ]
    said = [f"official split: {'; '.join(each)}"]
    if report["across_splits"]:
        pairs = ", ".join(f"{names} {count}" for names, count in report["across_splits"].items())
        said.append(
            f"images that occur on two sides of the split: {pairs}; each is left to the later side"
        )
    return said
