"""A proposal for one column, and what is asked about the cells that are no value."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from pipeline.config import same_cell
from pipeline.config.cohort import Kind, Origin
from pipeline.data.numerals import LIMIT, MISSING_SIGNS, MISSING_WORDS
from pipeline.presentation.numbers import SMALL, few

EMPTY = ("nan", "na")  # in small letters: cells that every reader takes for a missing value


@dataclass(frozen=True)
class Column:
    """A proposal for one column, and what is asked about it.

    Attributes:
        name: as the file has it.
        kind: None = no feature.
        ignored: why it is no feature; "" = it is one.
        label: what a dictionary calls it.
        unit: "" = unknown.
        levels: cell of the file -> label, in order; of kinds with levels.
        missing: cells that mean "not measured".
        lower, upper, step, center, scale: in `unit`, of numbers; step None = no grid.
        mutable, private: whether a forger can change it, whether a patient would rather keep it.
        source: of each of these, where it comes from.
        measured: how many records have a value.
        asked: (topic, what was seen) of the questions that only a person can answer; no cell that
            fewer than `SMALL` records have.
    """

    name: str
    kind: Kind | None = None
    ignored: str = ""
    label: str = ""
    unit: str = ""
    levels: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    lower: float = 0.0
    upper: float = 1.0
    step: float | None = None
    center: float = 0.0
    scale: float = 1.0
    mutable: bool = False
    private: bool = False
    source: dict[str, Origin] = field(default_factory=dict)
    measured: int = 0
    asked: tuple[tuple[str, str], ...] = ()


def with_missing(column: Column, counts: Counter[str], named: Collection[str] = ()) -> Column:
    """What is asked about cells that are no value; what is asked about is a guess.

    Args:
        column: with its cells that are no value.
        counts: how many records have each cell.
        named: codes that a dictionary says mean "not measured", about which nothing is asked.
    """
    asked, limits, texts = list(column.asked), [], []
    told = {same_cell(code) for code in named}
    for cell in column.missing:
        if same_cell(cell) in told:
            continue
        if LIMIT.fullmatch(cell):
            limits.append(cell)
        elif cell.lower() not in MISSING_SIGNS:
            texts.append(cell)
    if limits:
        asked.append(
            ("censored", f"{named_cells(limits, counts)} in {_sum(limits, counts)} records")
        )
    words = [cell for cell in texts if cell.lower() in MISSING_WORDS]
    if words:
        asked.append(("words for missing", f"{', '.join(words)} in {_sum(words, counts)} records"))
    strays = [cell for cell in texts if cell.lower() not in MISSING_WORDS]
    if strays:
        asked.append(("strays", f"{named_cells(strays, counts)} in {_sum(strays, counts)} records"))
    if not column.missing:
        return column
    # a sign such as "?" is plain
    known: Origin = "dictionary" if told & set(map(same_cell, column.missing)) else "data"
    origin: Origin = "guess" if limits or texts else known
    return replace(column, asked=tuple(asked), source=column.source | {"missing": origin})


def named_cells(cells: list[str], counts: Counter[str]) -> str:
    """The cells that enough records have, and how many others there are."""
    shown = [cell for cell in cells if counts[cell] >= SMALL]
    others = len(cells) - len(shown)
    rare = f"{others} rare cell{'s' if others > 1 else ''}"
    return ", ".join([*shown, rare] if others else shown)


def _sum(cells: list[str], counts: Counter[str]) -> str:
    return few(sum(counts[cell] for cell in cells))
