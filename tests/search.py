"""Looks for whole records of a cohort in files of any kind: no patient's record may lie there."""

import io
import json
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
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
Array = np.ndarray[Any, Any]


def records_in(place: Path, dataset: Dataset) -> dict[str, list[int]]:
    """Which patients' records stand in which file of a folder, in whatever layout.

    As rows, named rows, columns or text.
    """
    wanted, names = _wanted(dataset), list(dataset.schema.names)
    known = [
        np.array([value for value in values if value is not None])
        for values in zip(*wanted, strict=True)
    ]
    found: dict[str, list[int]] = {}
    seen: dict[tuple[str, bytes], list[int]] = {}  # many files are the same
    for file in sorted(
        path for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()
    ):
        content = (file.suffix, file.read_bytes())
        if content not in seen:
            tables = _tables(file, names)
            likely = (record for table in tables for record in _candidates(table, known))
            seen[content] = sorted({wanted[record] for record in likely if record in wanted})
        if seen[content]:
            found[str(file)] = seen[content]
    return found


def as_written(dataset: Dataset, row: int) -> list[float | None]:
    """A record as a person would type it: decimals of float32 rounded away, None = missing."""
    return [
        None if math.isnan(value) else round(value, 6) for value in dataset.x[row].double().tolist()
    ]


def _wanted(dataset: Dataset) -> dict[tuple[float | None, ...], int]:
    """Each record as it may stand there, a missing value as a gap or its code, and whose it is."""
    wanted = {}
    for row in range(len(dataset.y)):
        record = as_written(dataset, row)
        if sum(value is not None for value in record) >= ENOUGH:
            for one in (record, _coded(record, dataset.schema)):
                wanted[tuple(None if value is None else round(value, DIGITS) for value in one)] = (
                    row
                )
    return wanted


def _coded(record: Row, schema: Schema) -> list[float | None]:
    codes = [next(iter(feature.missing), None) for feature in schema.features]
    return [code if value is None else value for value, code in zip(record, codes, strict=True)]


def _numbers(cells: Iterable[Any]) -> Array:
    """Cells as rounded numbers; NaN for a gap, infinite for what is neither."""
    column = cells if isinstance(cells, pd.Series) else pd.Series(list(cells), dtype=object)
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy(float, na_value=np.nan)).round(DIGITS)
    codes, each = pd.factorize(column)  # texts repeat
    numbers = (
        pd.to_numeric(pd.Series(each, dtype=object), errors="coerce")
        .to_numpy(float, na_value=np.nan)
        .round(DIGITS)
    )
    strange = [
        bool(np.isnan(n)) and str(one).strip().lower() not in MISSING
        for n, one in zip(numbers, each, strict=True)
    ]
    return np.append(np.where(strange, np.inf, numbers), np.nan)[codes]  # -1: None


def _candidates(table: Array, known: list[Array]) -> Iterator[tuple[float | None, ...]]:
    """What stands side by side in a row and could be a record.

    That is where each value is one that some record has in its place.
    """
    if table.shape[1] < len(known):
        return
    beside = np.lib.stride_tricks.sliding_window_view(table, len(known), axis=1).reshape(
        -1, len(known)
    )
    for place, values in enumerate(known):
        beside = beside[np.isnan(beside[:, place]) | np.isin(beside[:, place], values)]
    for one in beside.tolist():
        yield tuple(None if math.isnan(value) else value for value in one)


def _tables(file: Path, names: list[str]) -> Iterator[Array]:
    """All that a file holds, as tables of numbers."""
    if file.suffix == ".parquet":
        yield from _of_frame(pd.read_parquet(file), names)
    elif file.suffix == ".safetensors":
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                table = np.atleast_2d(tensors.get_tensor(name).double().numpy())
                table = table.reshape(-1, table.shape[-1])
                yield from (table.round(DIGITS), table.T.round(DIGITS))
    elif file.suffix == ".db":
        with closing(sqlite3.connect(file)) as database:
            for (table,) in database.execute(
                "select name from sqlite_master where type = 'table'"
            ).fetchall():
                lines = database.execute(f'select * from "{table}"').fetchall()
                yield _of_text("\n".join(str(cell) for line in lines for cell in line))
    else:
        text = EMBEDDED.sub("", file.read_text(encoding="utf-8", errors="ignore"))
        yield _of_text(re.sub(r"<[/a-zA-Z!][^>]*>", " ", text))
        for line in re.findall(r"<tr.*?</tr>", text, re.DOTALL):
            yield _row(
                re.sub("<[^>]*>", "", cell)
                for cell in re.findall(r"<t[dh].*?</t[dh]>", line, re.DOTALL)
            )
        if file.suffix == ".csv":
            yield from _of_frame(
                pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False), names
            )
        elif file.suffix == ".json":
            yield from _of_json(json.loads(text), names)


def _row(cells: Iterable[Any]) -> Array:
    return _numbers("nested" if isinstance(cell, dict | list) else cell for cell in cells)[None]


def _of_text(text: str) -> Array:
    """Every number of a text, and every word for a gap, in their order."""
    return _row(TOKEN.findall(text))


def _of_frame(table: pd.DataFrame, names: list[str]) -> Iterator[Array]:
    columns = {name: _numbers(table[name]) for name in table}
    if columns:
        yield np.stack(list(columns.values()), 1)
    if set(names) <= set(columns):
        yield np.stack([columns[name] for name in names], 1)


def _of_json(value: Any, names: list[str]) -> Iterator[Array]:
    if isinstance(value, dict):
        yield from _of_columns([value[name] for name in names] if set(names) <= set(value) else [])
        yield from _of_json(list(value.values()), names)
    elif isinstance(value, list):
        yield _row(value)
        yield from _of_columns(value)
        for inner in value:
            yield from _of_json(inner, names)


def _of_columns(columns: list[Any]) -> Iterator[Array]:
    """Rows of one value each, of lists side by side, or of mappings from a row to its value."""
    if columns and all(isinstance(column, list) for column in columns):
        yield from (_row(cells) for cells in zip(*columns, strict=False))
    elif columns and all(isinstance(column, dict) for column in columns):
        yield from (_row(column.get(key) for column in columns) for key in columns[0])
    else:
        yield _row(columns)
