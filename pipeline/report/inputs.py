"""What the patients of an audit are like, in sums, so that a later one tells how they drifted."""

from typing import Any

import torch
from torch import Tensor

from pipeline.config import Config
from pipeline.data.schema import Dataset

FEW = 10  # fewer patients than this are told to nobody where patients are hidden
DIGITS = 6
SCALES = 20.0  # more than any value is from any other


def inputs_of(dataset: Dataset, cfg: Config) -> list[dict[str, Any]]:
    """Mean, standard deviation and missing share of each measurement; of categories, shares.

    Where patients are hidden, null stands for what is of 1 to 9 records, and for what follows from
    them; and means and deviations are whole multiples of `step`, so wide that two audits which
    differ by one patient do not tell its value: n steps are `SCALES` scales. Of images there is
    none.
    """
    schema = dataset.schema
    if schema.image:
        return []
    hidden = cfg.report.patients == "hidden"
    found = []
    for place, (name, feature) in enumerate(zip(schema.names, schema.features, strict=True)):
        column = dataset.x[:, place].double()
        known = column[~column.isnan()]
        line: dict[str, Any] = {
            "measurement": name,
            "known": _told(len(known), len(column), hidden),
            "missing": _share(len(column) - len(known), len(column), hidden),
        }
        if feature.kind == "categorical":
            line["levels"] = _levels(known, hidden)
        elif len(known) >= (FEW if hidden else 2):
            step = SCALES * float(feature.scale) / len(known) if hidden else 0.0
            line |= {"mean": _round(known.mean(), step), "sd": _round(known.std(), step)}
            line["step"] = float(f"{step:.{DIGITS}g}")
        found.append(line)
    return found


def _told(count: int, among: int, hidden: bool) -> int | None:
    return None if hidden and (0 < count < FEW or 0 < among - count < FEW) else count


def _share(count: int, among: int, hidden: bool) -> float | None:
    told = _told(count, among, hidden)
    return None if told is None or not among else float(f"{told / among:.{DIGITS}g}")


def _levels(known: Tensor, hidden: bool) -> dict[str, float] | None:
    """The share of each level by its number; one of a few, and all are not told."""
    levels, counts = known.unique(return_counts=True)
    if hidden and bool((counts < FEW).any()):
        return None
    return {
        f"{float(level):g}": float(f"{int(count) / len(known):.{DIGITS}g}")
        for level, count in zip(levels, counts, strict=True)
    }


def _round(value: Tensor, step: float) -> float | None:
    number = float(value)
    if step and torch.isfinite(value):
        number = round(number / step) * step
    return float(f"{number:.{DIGITS}g}") if torch.isfinite(value) else None
