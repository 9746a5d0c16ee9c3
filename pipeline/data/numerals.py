"""What people write for numbers, limits, dates, and for nothing measured."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# What people write where nothing was measured; a schema says which of them a column uses.
MISSING_SIGNS = (
    "?",
    "-",
    "--",
    ".",
    "..",
    "*",
    "#n/a",
    "#na",
    "#null!",
    "#div/0!",
    "#value!",
    "#num!",
)

MISSING_WORDS = frozenset(
    (
        *MISSING_SIGNS,
        *("na", "n/a", "<na>", "nan", "nil", "none", "null", "(null)", "missing", "unk", "unknown"),
        *("nd", "n.d.", "not done", "not_done", "not available", "not measured"),
    )
)

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"

NUMBER = re.compile(_NUMBER)

COMMA_NUMBER = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")

POINT_NUMBER = re.compile(r"[+-]?[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?")

THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")

LIMIT = re.compile(r"(?:[<>≤≥]=?|~)\s*[+-]?[0-9]+(?:[.,][0-9]+)?")  # of an assay

DATE = re.compile(
    r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([ T][0-9]{1,2}:[0-9]{2}.*)?"
    r"|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2})([ T][0-9]{1,2}:[0-9]{2}.*)?"
)


def number_text(cell: str, decimal: str = ".") -> str | None:
    """A cell as a program writes a number, or None where it is none.

    Args:
        cell: stripped.
        decimal: the file's decimal sign.
    """
    text = cell.replace("\u2212", "-")  # the typographic minus
    if decimal != ".":
        if "." in text:
            return None
        text = text.replace(decimal, ".")
    return text if NUMBER.fullmatch(text) else None


def numbers(cells: NDArray[np.object_], decimal: str = ".") -> NDArray[np.float64]:
    """(N,) cells as numbers; NaN where a cell is none."""
    known: dict[str, float] = {}
    for cell in set(cells.tolist()):
        text = number_text(cell, decimal)
        known[cell] = np.nan if text is None else float(text)
    return np.array([known[cell] for cell in cells.tolist()], dtype=np.float64)


def not_a_number(cell: str, decimal: str = ".") -> str:
    """Why a cell is no number, and what would be right: the end of a message."""
    compact = re.sub(r"\s", "", cell)
    number = r"[+-]?[0-9]+(?:[.,][0-9]+)?"
    if compact.lower().lstrip("+-") in ("inf", "infinity", "∞"):
        return "is infinite"
    if cell.lower() in MISSING_WORDS:
        return f"is not a number; if it means 'not measured', name it: `missing: ['{cell}']`"
    if LIMIT.fullmatch(cell):
        return (
            "is not a number but a limit; write the limit itself, or name the cell as not measured "
            f"(`missing: ['{cell}']`)"
        )
    if DATE.fullmatch(cell):
        return "is not a number but a date; put the column under `ignore`, or name it as `time`"
    if re.fullmatch(rf"{number}%", compact):
        return "is not a number; take the % out of the cells, it is the unit of the schema"
    if compact != cell and re.fullmatch(number, compact):
        return "is not a number; take the blank out"
    if decimal == "." and THOUSANDS.fullmatch(cell):
        return (
            "is not a number; is its comma a decimal sign (`reading.decimal: ','`) or between "
            "thousands (take it out)?"
        )
    if decimal == "." and COMMA_NUMBER.fullmatch(cell):
        return "is not a number; others have a decimal point, so write a point here, too"
    if decimal == "," and POINT_NUMBER.fullmatch(cell):
        return "is not a number; the decimal sign is a comma here, so write a comma, too"
    if re.fullmatch(rf"{number}[^0-9,.]+(/[^/]+)?", compact):
        return "is not a number; take the unit out of the cells, it belongs into the schema"
    return "is not a number"


def decimal_sign(columns: Iterable[NDArray[np.object_]]) -> str:
    """The decimal sign: a comma where numbers have commas, none a point, and it is no thousands."""
    return decimal_shown(columns) or "."


def decimal_shown(columns: Iterable[NDArray[np.object_]]) -> str | None:
    """The decimal sign that some number shows, a point before any comma; None = none shows one.

    `1,234` may be either, so one number must show that its comma is a decimal sign.
    """
    shown = None
    for column in columns:
        for cell in set(column.tolist()):
            if "." in cell and POINT_NUMBER.fullmatch(cell):
                return "."
            if "," in cell and COMMA_NUMBER.fullmatch(cell) and not THOUSANDS.fullmatch(cell):
                shown = ","
    return shown
