"""What a column of a file looks like: its kind, its range, its step, from all of its rows.

Nothing is decided by the share of different values, which changes with the number of records.
"""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.cohort.dictionary import Entry
from pipeline.cohort.levels import coded, texts_of
from pipeline.cohort.measured import FEW, numbers_of
from pipeline.cohort.proposed import EMPTY, Column
from pipeline.cohort.words import is_fixed, is_sensitive, names_person, unit_of
from pipeline.config.cohort import NUMBERS, Origin
from pipeline.data.numerals import DATE, MISSING_WORDS, POINT_NUMBER, number_text
from pipeline.presentation.numbers import few

SCARCE = 0.05  # of the records: a column with fewer values is nearly empty


def column_of(
    name: str, cells: NDArray[np.object_], decimal: str = ".", entry: Entry | None = None
) -> Column:
    """What one column looks like.

    Args:
        name: of the column.
        cells: (N,) stripped texts, "" = empty.
        decimal: the decimal sign of the file.
        entry: what a dictionary says of the column; it has the first word.
    """
    entry = entry or Entry(name)
    counts = Counter(cell for cell in cells.tolist() if cell and cell.lower() not in EMPTY)
    unit = entry.unit or unit_of(entry.label) or unit_of(name)
    origin: Origin = "dictionary" if entry.unit or unit_of(entry.label) else "guess"
    start = Column(name, label=entry.label, unit=unit, source={"unit": origin} if unit else {})
    why = entry.ignored or _no_feature(name, counts, len(cells))
    if why:
        return replace(start, ignored=why, measured=sum(counts.values()))
    found = coded(start, counts, entry) if entry.levels else _found(start, counts, decimal, entry)
    column = _judged(found, entry)
    if not column.ignored and column.measured < SCARCE * len(cells):
        return replace(column, kind=None, ignored=f"nearly empty: {few(column.measured)} values")
    return column


def _no_feature(name: str, counts: Counter[str], records: int) -> str:
    """Why a column cannot be a feature whatever it holds, or ""."""
    if not counts:
        return "no value"
    if names_person(name):
        return "its name says that it tells who a patient is"
    known = [cell for cell in counts if cell.lower() not in MISSING_WORDS]
    if known and all(DATE.fullmatch(cell) for cell in known):
        return "dates"
    if len(known) == records >= 50 and all(cell.isdigit() for cell in known):
        return "a number of its own for every record: an identifier?"
    return ""


def _found(column: Column, counts: Counter[str], decimal: str, entry: Entry) -> Column:
    texts = {cell: number_text(cell, decimal) for cell in counts}
    numeric = {cell: text for cell, text in texts.items() if text and _is_measurable(text)}
    words = {cell for cell in texts if cell not in numeric and cell.lower() in MISSING_WORDS}
    others = [cell for cell in texts if cell not in numeric and cell not in words]
    if decimal == "," and any(POINT_NUMBER.fullmatch(cell) for cell in others):
        return replace(column, ignored="decimal points in a file of decimal commas")
    different = {float(text) for text in numeric.values()}
    codes = any(re.fullmatch("0[0-9]+", cell) for cell in numeric)
    records = sum(counts[cell] for cell in numeric)
    stray = sum(counts[cell] for cell in others)
    if entry.kind in NUMBERS and different:
        return numbers_of(column, counts, numeric, [*words, *others], entry)
    if codes or (others and (len(different) <= FEW or stray > records)):
        return texts_of(column, counts, words)
    return numbers_of(column, counts, numeric, [*words, *others], entry)


def _is_measurable(text: str) -> bool:
    """Whether a number can be one of a clinic's: neither beyond all bounds nor next to nothing."""
    return float(text) == 0 or 1e-100 < abs(float(text)) < 1e100


def _judged(column: Column, entry: Entry) -> Column:
    """Whether it can be forged, and whether it is private: guesses, unless a dictionary says so."""
    if column.ignored:
        return replace(column, kind=None)
    source: dict[str, Origin] = column.source | {
        "mutable": "guess" if entry.mutable is None else "dictionary",
        "private": "guess" if entry.private is None else "dictionary",
    }
    named = f"{column.name} {entry.label}"
    mutable = column.kind in NUMBERS and not is_fixed(named)
    return replace(
        column,
        mutable=mutable if entry.mutable is None else entry.mutable,
        private=is_sensitive(named) if entry.private is None else entry.private,
        source=source,
    )
