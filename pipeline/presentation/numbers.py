"""Numbers as people read them: never without their interval, and no count of a few patients."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

_Cell = tuple[int, str]  # line and column of a table

SMALL = 10  # counts of patients below it are not shown to others
COUNTS = ("patients", "ill", "support")  # columns of tables that count patients
ACROSS = ("patients", "learned", "left_out")  # counts that are everybody, line by line
# Columns side by side that count them too, and add up to a number that is known elsewhere.
CELLS = (("tn", "fp"), ("fn", "tp"))
NOT_TOLD = "not told"

NOTHING = 1e-9  # of all patients, up to rounding


def interval_text(value: float, low: float, high: float) -> str:
    """`0.593 (0.585 to 0.601)`, and a dash where nothing can be said."""
    return "-" if math.isnan(value) else f"{value:.3f} ({low:.3f} to {high:.3f})"


def with_interval(table: pd.DataFrame, name: str, low: str = "", high: str = "") -> list[str]:
    """A column of a table as `interval_text`, with the columns of its bounds.

    These are `<name>_low` and `<name>_high`, if not said otherwise.
    """
    columns = table[[name, low or f"{name}_low", high or f"{name}_high"]].astype(float)
    return [interval_text(*line) for line in columns.itertuples(index=False)]


def proved(lines: pd.DataFrame) -> list[str]:
    """`exact` where everything is decided; otherwise the share proved, and the share undecided."""
    figures = zip(lines["verified_accuracy"], lines["undecided"], strict=True)
    return [
        "exact" if open_ < NOTHING else f"{sure:.3f}, undecided {open_:.3f}"
        for sure, open_ in figures
    ]


def counted(count: float, thing: str) -> str:
    """`1 model`, `4 models`."""
    return f"{count:.0f} {thing}{'' if count == 1 else 's'}"


def few(count: int) -> str:
    """A count of patients as others may see it."""
    return f"fewer than {SMALL}" if 0 < count < SMALL else str(count)


def without_few(table: pd.DataFrame, parts: Sequence[str] = ()) -> pd.DataFrame:
    """A table without counts of 1 to 9 patients; a figure that is not told is not a number.

    Nor is a count of the ill told where it leaves so few healthy ones. Where one count of several
    that add up to what is known is hidden, the smallest other is, too, or a subtraction would tell
    it: among lines by `parts`, within a line among `ACROSS`. Shares stay: who knows of how many
    they are can work some counts out.

    Args:
        table: any; its columns `COUNTS` and `ACROSS` count patients, and so do those of `CELLS`: of
            two that add up to the healthy or the ill neither is told where one is few.
        parts: the columns that lines share whose `COUNTS` add up to what is known elsewhere.
    """
    table = table.reset_index(drop=True)  # lines are told apart by it below
    counted = [name for name in dict.fromkeys(COUNTS + ACROSS) if name in table]
    hidden = {name: _few(table[name]) for name in counted}
    if {"patients", "ill"} <= hidden.keys():
        hidden["ill"] |= _few(table["patients"] - table["ill"])
    counts = {(line, name): n for name in counted for line, n in enumerate(table[name].tolist())}
    untold = {(line, name) for line, name in counts if hidden[name][line]}
    sums = list(_sums(table, counted, parts))
    while any(_hide_another(counts, untold, cells) for cells in sums):
        pass
    for name in counted:
        hidden[name] = pd.Series([(line, name) in untold for line in table.index], dtype=bool)
    for pair in CELLS:
        own = [name for name in pair if name in table]
        hidden |= dict.fromkeys(own, _few(table[own]).any(axis=1))
    return table.assign(
        **{name: table[name].mask(which) for name, which in hidden.items() if which.any()}
    )


def _few(counts: Any) -> Any:
    return (counts > 0) & (counts < SMALL)


def _sums(
    table: pd.DataFrame, counted: Sequence[str], parts: Sequence[str]
) -> Iterator[Sequence[_Cell]]:
    """The counts that add up to what is known elsewhere."""
    if parts:
        for _, lines in table.groupby(list(parts), sort=False, observed=True):
            for name in counted:
                if name in COUNTS:
                    yield [(int(line), name) for line in lines.index.tolist()]
    if {*ACROSS} <= {*counted}:
        for line in range(len(table)):
            yield [(line, name) for name in ACROSS]


def _hide_another(
    counts: Mapping[_Cell, float], untold: set[_Cell], cells: Sequence[_Cell]
) -> bool:
    """Where one of these is not told alone, adds the smallest other; whether it did."""
    others = [cell for cell in cells if cell not in untold and counts[cell] > 0]
    if sum(cell in untold for cell in cells) != 1 or not others:
        return False
    untold.add(min(others, key=counts.__getitem__))
    return True


def as_told(counts: pd.Series) -> pd.Series:
    """Counts of patients for people: in words where one of them is not told."""
    if not counts.isna().any():
        return counts
    return counts.map(count_told)


def from_to(values: "pd.Series[float]", digits: int = 0) -> str:
    """The least and the largest: `131 to 164`; one number where they are the same."""
    least, most = values.min(), values.max()
    first = f"{least:.{digits}f}"
    return first if least == most else f"{first} to {most:.{digits}f}"


def count_told(count: float) -> str:
    """A count of patients of a table, for people."""
    return NOT_TOLD if math.isnan(count) else f"{count:.0f}"
