"""Reading raw files of records, and saying in one line what is wrong with them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipeline.config import DataConfig
from pipeline.data.schema import Dataset, Schema
from pipeline.files import BadInput
from pipeline.validation import nearest

GRID_TOLERANCE = 1e-6  # of a step, for decimals as they were typed


def read_raw(cfg: DataConfig, root: Path) -> tuple[Dataset, dict[str, Any]]:
    """Reads the raw records and checks them against the schema.

    Args:
        cfg: names the file and describes its columns.
        root: the folder that the file's path starts from.

    Returns:
        the dataset, and a JSON-able report: `records, positives, missing, off_grid` (per feature),
        `duplicates, out_of_range`.

    Raises:
        BadInput: one line with file, column and line (as an editor counts, the header is line 1),
            and what would be right.
    """
    schema = Schema.of(cfg)
    if cfg.source == "sklearn":
        name, values, target = f"scikit-learn's {cfg.name}", *_bundled(cfg, schema)
    else:
        name = cfg.file
        cells = _cells(root / cfg.file, name, [*schema.names, schema.target])
        values = np.stack([_numbers(cells[column], column, name) for column in schema.names], 1)
        target = _target(cells[schema.target], schema, name)
    values = checked_values(values, schema, name, first_line=2)
    _refuse_duplicates(values, target, name)
    census = _census(values, schema, name)
    if len(np.unique(target)) < 2:
        raise BadInput(
            f"{name}: column {schema.target!r}: only class {int(target[0])}; "
            "a model needs both classes"
        )
    dataset = Dataset(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(target), schema)
    refused = {"duplicates": 0, "out_of_range": 0}  # one of either and there is no report
    return dataset, {
        "records": len(target),
        "positives": int((target == 1).sum()),
        **census,
        **refused,
    }


def _cells(path: Path, name: str, expected: list[str]) -> pd.DataFrame:
    """The file's cells as text, its header checked against the expected columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            header = next(reader, [])
            rows = []
            for line, row in enumerate(reader, start=2):
                if reader.line_num != line:
                    raise BadInput(
                        f"{name}: line {line}: a quoted cell goes on over several lines; "
                        "close the quote"
                    )
                if len(row) != len(header):
                    raise BadInput(
                        f"{name}: line {line}: {len(row)} cells, but the header names "
                        f"{len(header)} columns"
                    )
                rows.append(row)
        if not header:
            raise BadInput(f"{name}: the file is empty; expected a header and records")
        _check_header([column.strip() for column in header], expected, name)
        cells = pd.DataFrame(rows, columns=header, dtype=str)
    except FileNotFoundError:
        hint = "`dvc pull data.dvc` fetches data/pima.csv, your own files lie in data/local/"
        raise BadInput(f"{name}: not found; {hint}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{name}: cannot be read as CSV ({' '.join(str(error).split())})") from error
    if cells.empty:
        raise BadInput(f"{name}: a header but no records")
    cells.columns = cells.columns.str.strip()
    return cells


def _check_header(header: list[str], expected: list[str], name: str) -> None:
    for column in header:
        if header.count(column) > 1:
            raise BadInput(
                f"{name}: column {column!r} occurs {header.count(column)} times; keep one"
            )
    absent = [column for column in expected if column not in header]
    for column in header:
        if column not in expected:
            hint = nearest(column, absent or expected)
            raise BadInput(f"{name}: column {column!r} is not in the schema; {hint}")
    if absent:
        raise BadInput(
            f"{name}: column {absent[0]!r} is missing; the schema expects {', '.join(expected)}"
        )


def _numbers(cells: pd.Series, column: str, name: str) -> NDArray[np.float64]:
    """Cells as numbers; an empty cell is NaN."""
    empty = cells.str.strip().str.lower().isin(["", "nan", "na"])
    numbers = pd.to_numeric(cells.mask(empty), errors="coerce")
    for wrong, why in (
        (numbers.isna() & ~empty, "is not a number"),
        (np.isinf(numbers), "is infinite"),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise BadInput(f"{name}: line {row + 2}, column {column!r}: {cells.iloc[row]!r} {why}")
    return np.asarray(numbers, dtype=np.float64)


def _target(cells: pd.Series, schema: Schema, name: str) -> NDArray[np.int64]:
    numbers = _numbers(cells, schema.target, name)
    wrong = ~np.isin(numbers, np.arange(len(schema.classes)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        allowed = " or ".join(f"{index} ({label})" for index, label in enumerate(schema.classes))
        raise BadInput(
            f"{name}: line {row + 2}, column {schema.target!r}: {cells.iloc[row]!r} is not "
            f"{allowed}"
        )
    return numbers.astype(np.int64)


def _refuse_duplicates(values: NDArray[Any], target: NDArray[Any], name: str) -> None:
    rows = pd.DataFrame(np.column_stack([values, target])).fillna(
        np.inf
    )  # infinite cells were refused: inf = empty
    again = rows.duplicated()
    if again.any():
        second = int(np.flatnonzero(again)[0])
        first = int(np.flatnonzero((rows == rows.iloc[second]).all(axis=1))[0])
        raise BadInput(
            f"{name}: lines {first + 2} and {second + 2} are the same patient; "
            "a duplicate could be trained on and "
            f"tested on at once ({int(again.sum())} in all); remove one"
        )


def checked_values(
    values: NDArray[Any], schema: Schema, name: str, first_line: int
) -> NDArray[Any]:
    """Missing codes turned into NaN, in place; what no clinic would have written down is refused.

    Args:
        values: (N, D) in clinical units, as recorded.
        schema: of the columns.
        name: where the values come from, for the message.
        first_line: the number by which the reader knows the first row.

    Raises:
        BadInput: a value lies outside its plausible range, or is not whole where it must be; or a
            record holds no measurement at all.
    """
    for index, (column, feature) in enumerate(zip(schema.names, schema.features, strict=True)):
        cells = values[:, index]
        codes = [code for code in feature.missing if not isinstance(code, str)]
        cells[np.isin(cells, codes)] = np.nan
        outside = (cells < feature.lower) | (cells > feature.upper)
        broken = (feature.kind == "integer") & ~np.isnan(cells) & (cells != np.round(cells))
        for wrong, right in (
            (
                outside,
                f"outside the plausible range {feature.lower:g} to {feature.upper:g} "
                f"{feature.unit}",
            ),
            (broken, "not a whole number"),
        ):
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                raise BadInput(
                    f"{name}: line {row + first_line}, column {column!r}: {cells[row]:g} is {right}"
                )
    _refuse_unmeasured(values, schema, name, first_line)
    return values


def _refuse_unmeasured(values: NDArray[Any], schema: Schema, name: str, first_line: int) -> None:
    """Refuses records whose every mutable value is missing: nothing about them was measured.

    A model would answer from what it imputes, with a chance that looks like any other. Age and the
    like are no measurement: they are known of everybody.
    """
    measured = np.array([feature.mutable for feature in schema.features])
    if not measured.any():
        measured[:] = True
    empty = np.flatnonzero(np.isnan(values[:, measured]).all(1))
    if len(empty):
        wanted = [one for one, own in zip(schema.names, measured, strict=True) if own]
        places = ", ".join(str(row + first_line) for row in empty[:5])
        raise BadInput(
            f"{name}: line {places}: no measurement ({len(empty)} in all); at least one of "
            f"{', '.join(wanted[:8])}{', ...' if len(wanted) > 8 else ''} must be known"
        )


def _census(values: NDArray[Any], schema: Schema, name: str) -> dict[str, dict[str, int]]:
    """How many checked values of each feature are missing, and how many lie off the grid."""
    missing, off_grid = {}, {}
    for column, feature, cells in zip(schema.names, schema.features, values.T, strict=True):
        missing[column] = int(np.isnan(cells).sum())
        if missing[column] == len(cells):
            raise BadInput(
                f"{name}: column {column!r}: every value is missing; drop it from the schema"
            )
        ticks = cells / (feature.step or 1.0)
        stray = np.abs(ticks - np.round(ticks)) > GRID_TOLERANCE * np.maximum(
            1, np.abs(np.nan_to_num(ticks))
        )
        off_grid[column] = int(stray.sum()) if feature.step else 0
    return {"missing": missing, "off_grid": off_grid}


def _bundled(cfg: DataConfig, schema: Schema) -> tuple[NDArray[Any], NDArray[Any]]:
    """A data set of scikit-learn; its first class is the disease, so classes are turned round."""
    from sklearn import datasets

    loader = getattr(datasets, f"load_{cfg.name}", None)
    if loader is None:
        raise BadInput(
            f"data.name: scikit-learn has no data set {cfg.name!r}; known: breast_cancer"
        )
    bundle = loader()
    if bundle.data.shape[1] != len(schema.names):
        raise BadInput(
            f"data.features: {cfg.name} has {bundle.data.shape[1]} columns, the schema "
            f"{len(schema.names)}"
        )
    return bundle.data.astype(np.float64).copy(), 1 - bundle.target.astype(np.int64)
