"""Records of a table, checked piece by piece: all that is wrong with them is told at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipeline.config import DataConfig
from pipeline.data.cells import Cells, Place
from pipeline.data.schema import Dataset, Schema
from pipeline.data.values import Fault, Text, Values, classes_of, different, is_missing, values_of

SHOWN = 5  # places of one fault that are told
MOST = 20  # faults that are told at once
EMPTY = "empty"  # the way in which a record without any measurement is wrong


@dataclass(frozen=True)
class Checked:
    """Records, and what is wrong with them.

    Attributes:
        dataset: the records, float64, with NaN where a cell is at fault.
        faults: all of them, whichever piece they stand in.
        lines: (N,) int64, where each record stands.
        place: what `lines` counts.
    """

    dataset: Dataset
    faults: list[Fault]
    lines: NDArray[np.int64]
    place: Place

    def told(self, name: str) -> str:
        """The faults for people, as `told`."""
        return told(self.faults, self.lines, self.place, name)


def checked(pieces: Iterable[Cells], cfg: DataConfig) -> Checked:
    """The records of a table whose header is right, and all that is wrong with its cells.

    Args:
        pieces: one at least; of each no more is kept than its numbers.
        cfg: describes the columns.
    """
    schema, origins = Schema.of(cfg), Origins(cfg)
    values: list[Values] = []
    targets: list[NDArray[np.int64]] = []
    lines: list[NDArray[np.int64]] = []
    faults: list[Fault] = []
    unreadable, at = False, 0
    place: Place = "line"
    for cells in pieces:
        place = cells.place
        x, found = records_of(cells.columns, schema, cfg.reading.decimal or cells.decimal)
        unreadable |= bool(found)
        y, wrong = classes_of(cells.columns[cfg.target], cfg)
        found += wrong + unmeasured(x, schema) + origins.add(cells)
        faults += [replace(one, rows=one.rows + at) for one in found]
        values.append(x)
        targets.append(y)
        lines.append(cells.lines)
        at += len(x)
    if unreadable:  # a record may be empty for a cell at fault
        faults = [one for one in faults if one.way != EMPTY]
    given, sites = origins.known
    dataset = Dataset(
        torch.from_numpy(_joined(values)),
        torch.from_numpy(_joined(targets)),
        replace(schema, sites=sites),
        **given,
    )
    if cfg.group is not None and not faults:
        faults += _recorded_twice(dataset, cfg.group)
    return Checked(dataset, _of_one_way(faults), _joined(lines), place)


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Parts as one array; the list is emptied."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _of_one_way(faults: list[Fault]) -> list[Fault]:
    """One fault for all cells of a column that are wrong in one way; they come in their order."""
    alike: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        alike.setdefault((fault.column, fault.way or fault.said), []).append(fault)
    return [
        replace(own[0], rows=np.concatenate([one.rows for one in own])) for own in alike.values()
    ]


def records_of(
    cells: Mapping[str, Text], schema: Schema, decimal: str = "."
) -> tuple[Values, list[Fault]]:
    """The features' cells as records (N, D), NaN where a cell is at fault, and the faults."""
    columns, faults = [], []
    for name, feature in zip(schema.names, schema.features, strict=True):
        values, wrong = values_of(cells[name], name, feature, decimal)
        columns.append(values)
        faults += wrong
    return np.stack(columns, 1), faults


def told(faults: list[Fault], lines: NDArray[np.int64], place: Place, name: str) -> str:
    """Faults for people, one line each, in the order of the file.

    Args:
        faults: at least one.
        lines: (N,) where each record stands.
        place: what `lines` counts.
        name: of the file.
    """
    faults = sorted(faults, key=lambda fault: int(fault.rows[0]))
    said = []
    for fault in faults[:MOST]:
        more = f" ({len(fault.rows)} in all)" if len(fault.rows) > 1 else ""
        where = f"{place} {', '.join(map(str, lines[fault.rows[:SHOWN]]))}"
        column = f", column {fault.column!r}" if fault.column else ""
        said.append(f"{name}: {where}{column}: {fault.said}{more}")
    if len(faults) > MOST:
        said.append(f"{name}: and {len(faults) - MOST} faults more")
    return "\n".join(said)


class Origins:
    """Whose each record is, where it was made and when, as far as the table says."""

    def __init__(self, cfg: DataConfig) -> None:
        """Of nobody yet."""
        self._time = cfg.time
        self._named = {
            what: column
            for what, column in (("patient", cfg.group), ("site", cfg.site))
            if column is not None
        }
        self._numbers: dict[str, dict[str, int]] = {what: {} for what in self._named}
        self._parts: dict[str, list[NDArray[Any]]] = {}

    def add(self, cells: Cells) -> list[Fault]:
        """What more records say, and what is wrong with it."""
        faults = []
        for what, column in self._named.items():
            place, found = different(cells.columns[column])
            known = self._numbers[what]
            numbers = [known.setdefault(str(one), len(known)) for one in found.tolist()]
            self._parts.setdefault(what, []).append(np.array(numbers, dtype=np.int64)[place])
            empty = np.flatnonzero(np.isin(place, np.flatnonzero(is_missing(found))))
            if len(empty):
                faults.append(Fault(column, empty, f"empty: no {what}; every record needs one"))
        if self._time is not None:
            days, wrong = _days(cells.columns[self._time], self._time)
            self._parts.setdefault("time", []).append(days)
            faults += wrong
        return faults

    @property
    def known(self) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
        """`patient`, `site` and `time` of `Dataset`, where they are, and the names of the sites.

        Numbers of patients are from 0, in the order in which they come; names do not leave here.
        """
        given = {what: np.concatenate(parts) for what, parts in self._parts.items()}
        sites = sorted(self._numbers.get("site", ()))
        if "site" in given:
            place = {name: number for number, name in enumerate(sites)}
            order = np.array([place[name] for name in self._numbers["site"]], dtype=np.int64)
            given["site"] = order[given["site"]]
        return {what: torch.from_numpy(one) for what, one in given.items()}, tuple(sites)


def _days(cells: Any, name: str) -> tuple[Values, list[Fault]]:
    """Dates as `2024-05-31` (with or without a time of day), or numbers, as days."""
    numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
    dates = pd.to_datetime(pd.Series(cells, dtype=object), errors="coerce", format="ISO8601")
    days = (dates.dt.tz_localize(None) - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    values = numbers.fillna(days) if numbers.isna().any() else numbers
    rows = np.flatnonzero(values.isna())
    way = "is no date like 2024-05-31"
    said = f"{str(cells[rows[0]])!r} {way}" if len(rows) else ""
    return np.array(values, dtype=np.float64), ([Fault(name, rows, said, way)] if len(rows) else [])


def _recorded_twice(dataset: Dataset, group: str) -> list[Fault]:
    """The same record of the same patient, of the same time where there is one."""
    rows = pd.DataFrame(np.column_stack([dataset.x, dataset.y, dataset.patient]))
    if dataset.time is not None:
        rows["time"] = dataset.time.numpy()
    again = np.flatnonzero(rows.duplicated())
    if not len(again):
        return []
    said = "the same patient and the same record as before; remove one"
    return [Fault(group, again, f"{said}, or name the column of its date as data.time")]


def unmeasured(values: Values, schema: Schema) -> list[Fault]:
    """Records whose every mutable value is missing: nothing about them was measured.

    A model would answer from what it imputes, with a chance that looks like any other. Age and the
    like are no measurement: they are known of everybody.
    """
    measured = np.array([feature.mutable for feature in schema.features])
    if not measured.any():
        measured[:] = True
    empty = np.flatnonzero(np.isnan(values[:, measured]).all(1))
    if not len(empty):
        return []
    wanted = [one for one, own in zip(schema.names, measured, strict=True) if own]
    among = f"{', '.join(wanted[:8])}{', ...' if len(wanted) > 8 else ''}"
    said = f"no measurement; at least one of {among} must be known"
    return [Fault("", empty, said, EMPTY)]
