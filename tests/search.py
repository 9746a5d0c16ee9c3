"""Looks for whole records of a cohort in files of any kind: the test of "no patient's record lies here"."""

import csv
import io
import json
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open

from pipeline.data.schema import Dataset, Schema

ENOUGH = 3  # measurements that tell a record from any other row of numbers
DIGITS = 3
MISSING = ("", "-", "nan", "null", "none", "na", "<na>")
TOKEN = re.compile(
    r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|\b(?:nan|null|none|na)\b|<na>", re.IGNORECASE
)
EMBEDDED = re.compile(r"base64,[A-Za-z0-9+/=]+")

Row = Sequence[Any]


def records_in(place: Path, dataset: Dataset) -> dict[str, list[int]]:
    """Which patients' records stand in which file of a folder, in whatever layout: rows, named rows, columns, text."""
    wanted, names = _wanted(dataset), list(dataset.schema.names)
    found: dict[str, list[int]] = {}
    for file in sorted(
        path for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()
    ):
        patients = {
            wanted[window]
            for row in _rows(file, names)
            for window in _windows(row, len(names))
            if window in wanted
        }
        if patients:
            found[str(file)] = sorted(patients)
    return found


def as_written(dataset: Dataset, row: int) -> list[float | None]:
    """A record as a person would type it: decimals of float32 rounded away, None = missing."""
    return [
        None if math.isnan(value) else round(value, 6) for value in dataset.x[row].double().tolist()
    ]


def _wanted(dataset: Dataset) -> dict[tuple[float | None, ...], int]:
    """Each record as it may stand there, a missing value as a gap or as its code, and whose it is."""
    wanted = {}
    for row in range(len(dataset.y)):
        record = as_written(dataset, row)
        if sum(value is not None for value in record) >= ENOUGH:
            for one in (record, _coded(record, dataset.schema)):
                wanted[tuple(map(_normal, one))] = row
    return wanted


def _coded(record: Row, schema: Schema) -> list[float | None]:
    pairs = zip(record, schema.features, strict=True)
    return [feature.missing if value is None else value for value, feature in pairs]


def _normal(cell: Any) -> float | str | None:
    """A number, rounded; None for a gap; anything else as text, which no record holds."""
    if cell is None or cell is pd.NA or str(cell).strip().lower() in MISSING:
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return str(cell)
    return round(number, DIGITS) + 0.0 if math.isfinite(number) else None


def _windows(row: Row, width: int) -> Iterator[tuple[Any, ...]]:
    cells = [_normal(cell) for cell in row]
    return (tuple(cells[at : at + width]) for at in range(len(cells) - width + 1))


def _rows(file: Path, names: list[str]) -> Iterator[Row]:
    if file.suffix == ".parquet":
        yield from _of_table(pd.read_parquet(file), names)
    elif file.suffix == ".safetensors":
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_tensor(name)
                yield from tensor.flatten(0, -2).tolist() if tensor.dim() > 1 else [tensor.tolist()]
                yield from tensor.flatten(0, -2).T.tolist() if tensor.dim() > 1 else []
    elif file.suffix == ".db":
        with closing(sqlite3.connect(file)) as database:
            for (table,) in database.execute(
                "select name from sqlite_master where type = 'table'"
            ).fetchall():
                for line in database.execute(f'select * from "{table}"'):
                    yield from _of_text(" ".join(str(cell) for cell in line), names)
    else:
        yield from _of_text(file.read_text(encoding="utf-8", errors="ignore"), names)


def _of_text(text: str, names: list[str]) -> Iterator[Row]:
    """Every number in its order; and what the text is when it is read as JSON, as a table of HTML or as CSV."""
    text = EMBEDDED.sub("", text)
    yield TOKEN.findall(re.sub(r"<[/a-zA-Z!][^>]*>", " ", text))
    for line in re.findall(r"<tr.*?</tr>", text, re.DOTALL):
        yield [
            re.sub("<[^>]*>", "", cell)
            for cell in re.findall(r"<t[dh].*?</t[dh]>", line, re.DOTALL)
        ]
    try:
        yield from _of_json(json.loads(text), names)
    except ValueError:
        lines = list(csv.reader(io.StringIO(text.replace("\0", ""))))
        header = [cell.strip() for cell in lines[0]] if lines else []
        if len(set(header)) == len(header):
            whole = [line for line in lines[1:] if len(line) == len(header)]
            yield from _of_table(pd.DataFrame(whole, columns=header), names)
        yield from lines


def _of_table(table: pd.DataFrame, names: list[str]) -> Iterator[Row]:
    yield from table.to_numpy(dtype=object).tolist()
    if set(names) <= set(table.columns):
        yield from table[names].to_numpy(dtype=object).tolist()


def _of_json(value: Any, names: list[str]) -> Iterator[Row]:
    if isinstance(value, dict):
        yield from _of_columns([value[name] for name in names] if set(names) <= set(value) else [])
        yield from _of_json(list(value.values()), names)
    elif isinstance(value, list):
        yield [cell for cell in value if not isinstance(cell, dict | list)]
        yield from _of_columns(value)
        for inner in value:
            yield from _of_json(inner, names)


def _of_columns(columns: list[Any]) -> Iterable[Row]:
    """Rows of one value each, of lists side by side, or of mappings from a row's name to its value."""
    if columns and all(isinstance(column, list) for column in columns):
        return zip(*columns, strict=False)
    if columns and all(isinstance(column, dict) for column in columns):
        return ([column.get(key) for column in columns] for key in columns[0])
    return [columns]
