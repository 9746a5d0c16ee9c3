"""From what the cells of a column say to values, and to what is wrong with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config import DataConfig, FeatureConfig, same_cell
from pipeline.data.numerals import not_a_number, numbers

Values = NDArray[np.float64]
Text = NDArray[np.object_]
EMPTY = ("", "nan", "na")  # in small letters: cells that are a missing value everywhere
LONG = 40  # signs of a cell that a message shows
FEW = 8  # levels that a message names


@dataclass(frozen=True)
class Fault:
    """What is wrong with some cells of a column.

    Attributes:
        column: its name.
        rows: (n,) int64, the records at fault.
        said: what the first of them holds, and what would be right.
        way: in which they are wrong, the same for all of them.
    """

    column: str
    rows: NDArray[np.int64]
    said: str
    way: str = ""


def as_text(cells: Iterable[object]) -> Text:
    """(N,) cells of any type as stripped text; None and NaN are empty."""
    column = pd.Series(cells, dtype=object)
    text = column.where(column.notna(), "").astype(str).str.strip()
    return np.asarray(text, dtype=object)


def is_missing(cells: Text, codes: Iterable[str | int | float] = ()) -> NDArray[np.bool_]:
    """(N,) bool: cells that are empty, or one of the codes for "not measured"."""
    column = pd.Series(cells, dtype=object)
    wanted = {same_cell(code) for code in codes}
    found = column.str.lower().isin(EMPTY)
    if wanted:
        found |= column.map(same_cell).isin(wanted)
    return np.asarray(found)


def values_of(
    cells: Text, name: str, feature: FeatureConfig, decimal: str = "."
) -> tuple[Values, list[Fault]]:
    """Cells (N,) of one feature as values, NaN = missing; levels as their place, from 0.

    Args:
        cells: stripped text.
        name: of the column.
        feature: what it should hold.
        decimal: the sign between a whole number and its decimals.

    Returns:
        (N,) float64, and every fault; a cell at fault is NaN.
    """
    place, cells = different(cells)
    missing = is_missing(cells, feature.missing)
    if feature.levels:
        values, faults = _levels(cells, missing, name, feature.levels)
    else:
        values, faults = _numbers(cells, missing, name, feature, decimal)
    return values[place], _of_all(faults, place)


def different(cells: Text) -> tuple[NDArray[np.int64], Text]:
    """(N,) places in the (n,) different cells, in the order in which these come first."""
    place, found = pd.factorize(cells)
    return place, found


def _of_all(faults: list[Fault], place: NDArray[np.int64]) -> list[Fault]:
    """Faults of different cells as faults of all cells; the first at fault stays the first."""
    return [replace(one, rows=np.flatnonzero(np.isin(place, one.rows))) for one in faults]


def _levels(
    cells: Text, missing: NDArray[np.bool_], name: str, levels: Mapping[str | int | float, str]
) -> tuple[Values, list[Fault]]:
    """A cell is a level by what the file says, or by its label, whatever its capitals."""
    known = {label.lower(): place for place, label in enumerate(levels.values())}
    known |= {same_cell(cell).lower(): place for place, cell in enumerate(levels)}
    column = pd.Series(cells, dtype=object).map(same_cell).str.lower()
    values = np.array(column.map(known), dtype=np.float64)
    values[missing] = np.nan
    return values, _faults(name, cells, np.isnan(values) & ~missing, f"is no level: {said(levels)}")


def said(levels: Mapping[str | int | float, str]) -> str:
    """Levels for a message: the cells and what they mean."""
    named = [
        str(cell) if str(cell) == label else f"{cell} ({label})" for cell, label in levels.items()
    ]
    return ", ".join(named[:FEW]) + (", ..." if len(named) > FEW else "")


def _numbers(
    cells: Text, missing: NDArray[np.bool_], name: str, feature: FeatureConfig, decimal: str
) -> tuple[Values, list[Fault]]:
    values = numbers(np.where(missing, "", cells), decimal)
    faults = _faults(name, cells, np.isinf(values), "is infinite", way="overflow")
    missing = missing | np.isinf(values)
    values[missing] = np.nan
    wrong = np.isnan(values) & ~missing
    whys = pd.Series(cells[wrong], dtype=object).map(lambda cell: not_a_number(cell, decimal))
    for why in dict.fromkeys(whys):
        rows = np.flatnonzero(wrong)[(whys == why).to_numpy()]
        faults.append(Fault(name, rows, f"{shown(cells[rows[0]])} {why}", why))
    return values, faults + wrong_values(values, name, feature)


def wrong_values(values: Values, name: str, feature: FeatureConfig) -> list[Fault]:
    """Values (N,) outside the plausible range, or not whole where they must be."""
    outside = (values < feature.lower) | (values > feature.upper)
    broken = (feature.kind == "integer") & ~np.isnan(values) & (values != np.round(values))
    range_ = f"{digits(feature.lower)} to {digits(feature.upper)} {feature.unit}".strip()
    faults = []
    for wrong, right in (
        (outside, f"outside the plausible range {range_}"),
        (broken & ~outside, "not a whole number"),
    ):
        rows = np.flatnonzero(wrong)
        if len(rows):
            faults.append(Fault(name, rows, f"{digits(values[rows[0]])} is {right}", right))
    return faults


def digits(value: float) -> str:
    """A number with as many digits as tell it from its neighbours."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def classes_of(cells: Text, data: DataConfig) -> tuple[NDArray[np.int64], list[Fault]]:
    """Cells (N,) of the target as classes, 1 = disease present; -1 where a cell is none."""
    healthy, ill = data.classes
    outcomes: Mapping[str | int | float, str] = data.outcomes or {"0": healthy, "1": ill}
    known = {} if data.outcomes else {healthy.lower(): 0, ill.lower(): 1}
    known |= {same_cell(cell).lower(): int(label == ill) for cell, label in outcomes.items()}
    place, cells = different(cells)
    column = pd.Series(cells, dtype=object).map(same_cell).str.lower()
    values = np.array(column.map(known).fillna(-1), dtype=np.int64)
    allowed = " or ".join(f"{cell} ({label})" for cell, label in outcomes.items())
    faults = _faults(data.target, cells, values < 0, f"is not {allowed}")
    return values[place], _of_all(faults, place)


def _faults(
    name: str, cells: Text, wrong: NDArray[np.bool_], why: str, way: str = ""
) -> list[Fault]:
    """One fault for the cells that are wrong in one way; none where none is."""
    rows = np.flatnonzero(wrong)
    if not len(rows):
        return []
    return [Fault(name, rows, f"{shown(cells[rows[0]])} {why}", way or why)]


def shown(cell: str) -> str:
    """A cell for a message: quoted, and not longer than a line."""
    return repr(cell if len(cell) <= LONG else f"{cell[:LONG]}...")
