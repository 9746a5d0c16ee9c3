"""Columns of texts and codes: which levels they have, and in which order."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from pipeline.cohort.dictionary import Entry
from pipeline.cohort.measured import ABOVE_ALL, BELOW_ZERO
from pipeline.cohort.proposed import Column, named_cells, with_missing
from pipeline.cohort.words import ordered, pair
from pipeline.config import same_cell
from pipeline.config.cohort import Kind, Origin
from pipeline.data.numerals import MISSING_WORDS, number_text
from pipeline.presentation.numbers import few

MOST = 30  # different texts that may well be levels


def texts_of(column: Column, counts: Counter[str], words: set[str]) -> Column:
    """A column of texts, or of codes that look like numbers but have leading zeros."""
    shown = _merged(counts)
    # "none" is a level beside "mild", a "-" one beside a "+"; the rest stands for nothing known.
    signs = {"+"} & set(shown)
    missing = tuple(
        cell
        for cell in sorted(words)
        if cell.lower() not in ("none", "nil") and not (cell == "-" and signs)
    )
    levels = {cell: count for cell, count in shown.items() if cell not in missing}
    measured = sum(levels.values())
    column = replace(column, missing=missing, measured=measured)
    column = with_missing(column, counts)
    if not levels:
        return replace(column, ignored="no value")
    if len(levels) == 1:
        return replace(column, ignored="one value only")
    if len(levels) > MOST or any(len(cell) > 60 for cell in levels):
        return replace(column, ignored=f"free text: {len(levels)} different cells")
    return _levelled(column, list(levels), {}, "data")


def coded(column: Column, counts: Counter[str], entry: Entry) -> Column:
    """Codes or labels of a dictionary; cells that it does not name are added, or are missing."""
    known = {same_cell(cell).lower(): cell for cell in entry.levels}
    labelled = {label.lower(): cell for cell, label in entry.levels.items()}
    unknown: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for cell, count in counts.items():
        key = same_cell(cell).lower()
        level = known.get(key, labelled.get(cell.lower()))
        if level is None:
            unknown[cell] += count
        else:
            used[level] += count
    codes = {same_cell(code) for code in entry.missing}
    missing = sorted(
        cell
        for cell in unknown
        if same_cell(cell) in codes or cell.lower() in MISSING_WORDS or _is_code(cell)
    )
    more = _merged(Counter({cell: n for cell, n in unknown.items() if cell not in missing}))
    missing_labels = [
        cell for cell, label in entry.levels.items() if label.lower() in MISSING_WORDS
    ]
    column = replace(column, missing=(*missing, *missing_labels))
    column = with_missing(column, counts, (*entry.missing, *missing_labels))
    asked = list(column.asked)
    if missing_labels:
        column = replace(column, source=column.source | {"missing": "guess"})
        names = ", ".join(f"{cell} ({entry.levels[cell]})" for cell in missing_labels)
        asked.append(("words for missing", f"{names}: a level, or not measured?"))
    if more:
        named = named_cells(list(more), more)
        asked.append(("levels", f"{named} in {few(more.total())} records: not in the dictionary"))
    cells = [cell for cell in entry.levels if cell not in missing_labels] + list(more)
    measured = sum(n for cell, n in used.items() if cell in cells) + more.total()
    column = replace(column, asked=tuple(asked), measured=measured)
    if len(cells) < 2 or not measured:
        return replace(column, ignored="one value only" if measured else "no value")
    labels = {cell: entry.levels[cell] for cell in cells if cell in entry.levels}
    found = _levelled(column, cells, labels, "data" if more else "dictionary")
    if len(used + more) == 1:
        return replace(found, kind=None, ignored="one value only")
    if entry.kind in ("ordinal", "categorical") and len(cells) > 2:
        source = found.source | {"kind": "dictionary"}
        return replace(found, kind=entry.kind, source=source)
    return found


def _merged(counts: Counter[str]) -> Counter[str]:
    """Cells that a reader takes for one, under their commonest spelling."""
    spellings: dict[str, Counter[str]] = {}
    for cell, count in counts.items():
        spellings.setdefault(same_cell(cell).lower(), Counter())[cell] += count
    return Counter(
        {
            min(found, key=lambda cell: (-found[cell], cell)): sum(found.values())
            for found in spellings.values()
        }
    )


def _levelled(
    column: Column, cells: list[str], labels: Mapping[str, str], origin: Origin
) -> Column:
    """Levels in order: that of their words or numbers; else a category."""
    kind: Kind = "binary"
    said = [labels.get(cell, cell) for cell in cells]
    order = pair(said) if len(cells) == 2 else ordered(said)
    if len(cells) > 2:
        kind = "categorical" if order is None else "ordinal"
    if order is not None:
        in_order = [cells[said.index(word)] for word in order]
    elif labels and len(cells) > 2:
        in_order = cells  # a dictionary lists them in the order of its form
    else:
        in_order = sorted(cells, key=_natural)
    source = column.source | {"kind": "guess" if kind == "ordinal" else origin, "levels": origin}
    return replace(
        column, kind=kind, levels=_distinct({c: labels.get(c, c) for c in in_order}), source=source
    )


def _natural(cell: str) -> tuple[float, str]:
    text = number_text(cell)
    return (math.inf if text is None else float(text), cell)


def _distinct(levels: dict[str, str]) -> dict[str, str]:
    """Labels that differ from each other and from the cells of other levels, whatever capitals."""
    lowered = Counter(label.lower() for label in levels.values())
    cells = {same_cell(cell).lower(): cell for cell in levels}
    return {
        cell: label
        if lowered[label.lower()] == 1 and cells.get(same_cell(label).lower(), cell) == cell
        else f"{cell}: {label}"
        for cell, label in levels.items()
    }


def _is_code(cell: str) -> bool:
    text = number_text(cell)
    return text is not None and float(text) in BELOW_ZERO | ABOVE_ALL
