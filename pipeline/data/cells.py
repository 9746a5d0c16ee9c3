"""Any table file as text cells, each with the line that its owner finds it by.

One reader for `prepare`, `init` and `check`: how a file is written (separator, decimal sign,
encoding, quotes, line ends, with or without header) is found out from the file unless the
configuration says it. What a cell means is left to the schema.
"""

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.data.numerals import DATE, MISSING_SIGNS, decimal_sign, number_text
from pipeline.data.spreadsheet import Damaged, first_sheet
from pipeline.data.text_table import Rows, text_rows
from pipeline.files import BadInput

Place = Literal["line", "row", "record"]

SHOWN = 5  # faults of one kind that are shown with their places

COMMENT = ("#", "%", "//")

# How files of other kinds begin, and what to do with them.
FOREIGN = {
    b"\xd0\xcf\x11\xe0": "an Excel file of the old kind (.xls); save it as .xlsx or as CSV",
    b"$FL2": "an SPSS file; export it as CSV",
    b"$FL3": "an SPSS file; export it as CSV",
    b"<stata_dta>": "a Stata file; export it as CSV",
    b"%PDF": "a PDF; export the table behind it as CSV",
    b"\x00" * 12 + b"\xc2\xea\x81\x60": "a SAS file; export it as CSV",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"\xfd7zXZ": "compressed with xz; unpack it, or use gzip",
    b"BZh": "compressed with bzip2; unpack it, or use gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it, or use gzip",
    b"SQLite format 3": "a database; export the table as CSV",
    b"X\n\x00\x00\x00": "a file of R (.rds); export it by write.csv",
    b"RDX": "a file of R (.RData); export the table by write.csv",
    b"\x80\x04": "a pickle, and none is ever loaded; export the table as CSV",
    b"\x80\x05": "a pickle, and none is ever loaded; export the table as CSV",
}


class Reading(Protocol):
    """How a file is written; None = as the file shows."""

    @property
    def separator(self) -> str | None:
        """Between cells."""

    @property
    def decimal(self) -> str | None:
        """The decimal sign, `.` or `,`."""

    @property
    def encoding(self) -> str | None:
        """By its usual name, such as `utf-8` or `latin-1`."""

    @property
    def names(self) -> Sequence[str] | None:
        """Of the columns, in order, of a file without a header."""


@dataclass(frozen=True)
class Cells:
    """A table as it stands in its file.

    Attributes:
        header: the names of the columns, in order.
        columns: (N,) stripped texts of each column; an empty cell is "".
        lines: (N,) int64, where each record stands, as its owner counts.
        place: what `lines` counts: lines of a text, rows of a sheet, records of a Parquet file.
        decimal: the decimal sign of the numbers.
        unnamed: those of the columns whose name is made up, because the file gives none.
        found: what was found out about the file, in plain words.
    """

    header: tuple[str, ...]
    columns: dict[str, NDArray[np.object_]]
    lines: NDArray[np.int64]
    place: Place
    decimal: str = "."
    unnamed: tuple[str, ...] = ()
    found: tuple[str, ...] = ()

    def where(self, record: int) -> str:
        """The place of a record, such as `line 12`."""
        return f"{self.place} {self.lines[record]}"


def read_cells(path: Path, name: str, reading: Reading, *, number_columns: bool = False) -> Cells:
    """Reads a table: CSV in any of its spellings, also compressed by gzip, Parquet, or XLSX.

    Args:
        path: the file.
        name: what messages call it.
        reading: how it is written.
        number_columns: a file without a header gets `column 1`, `column 2`, ...; else it is
            refused, unless `reading.names` gives the names.

    Raises:
        BadInput: one line with the file, the line and what would be right.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{name}: not found") from None
    except IsADirectoryError:
        raise BadInput(f"{name}: a folder; name the file in it") from None
    except OSError as error:
        raise BadInput(f"{name}: cannot be read ({error.strerror})") from error
    return cells_in(content, name, reading, number_columns=number_columns)


def cells_in(content: bytes, name: str, reading: Reading, *, number_columns: bool = False) -> Cells:
    """As `read_cells`, of the bytes of a file.

    Raises:
        BadInput: one line with the file, the line and what would be right.
    """
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(
                f"{name}: begins like a file of gzip, but is damaged or cut off; copy it again"
            ) from error
    if content.startswith(b"PAR1"):
        return _parquet(content, name, reading)
    for beginning, what in FOREIGN.items():
        if content.startswith(beginning):
            raise BadInput(f"{name}: this is {what}")
    place: Place
    if content.startswith(b"PK\x03\x04"):
        place = "row"
        rows, found = _sheet(content, name)
    else:
        place = "line"
        rows, found = text_rows(content, name, reading.separator, reading.encoding)
    return _table(rows, name, reading, place, found, number_columns)


def _sheet(content: bytes, name: str) -> tuple[Rows, list[str]]:
    if b"xl/workbook.xml" not in content:
        raise BadInput(f"{name}: this is a zip archive, no workbook; unpack it")
    try:
        title, others, rows = first_sheet(content)
    except Damaged as error:
        raise BadInput(
            f"{name}: the workbook cannot be read ({error}); save it again as .xlsx or as CSV"
        ) from error
    if not rows:
        raise BadInput(f"{name}: sheet {title!r} is empty; expected a header and records")
    found = [f"sheet {title!r}; not read: {', '.join(map(repr, others))}"] if others else []
    return rows, found


def _parquet(content: bytes, name: str, reading: Reading) -> Cells:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(content))
    except (OSError, pyarrow.ArrowException) as error:
        raise BadInput(f"{name}: a Parquet file, but damaged or cut off; copy it again") from error
    if not table.num_rows:
        raise BadInput(f"{name}: columns but no records")
    names = tuple(
        "" if column.startswith("__index_level_") else column.strip()  # an index of pandas
        for column in table.column_names
    )
    cells = [
        text_array(arrow_texts(values, column, name))
        for column, values in zip(names, table.columns, strict=True)
    ]
    lines = np.arange(1, table.num_rows + 1, dtype=np.int64)
    return _named(names, cells, lines, f"{name}: the file", reading, "record", [])


def arrow_texts(values: Any, column: str, name: str) -> list[str]:
    """Cells of a Parquet column; a number with as many digits as its type tells apart."""
    from pyarrow import types

    kind = values.type
    if types.is_dictionary(kind):
        kind = kind.value_type
        values = values.cast(kind)
    if types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        raise BadInput(f"{name}: column {column!r} holds {kind}, not single values; take it out")
    if types.is_float32(kind) or types.is_float16(kind):
        cast = np.float32 if types.is_float32(kind) else np.float16
        return ["" if one is None or one != one else str(cast(one)) for one in values.to_pylist()]
    return [
        "" if one is None or one != one else str(one).strip()  # NaN differs from itself
        for one in values.to_pylist()
    ]


def _table(
    rows: Rows, name: str, reading: Reading, place: Place, found: list[str], number_columns: bool
) -> Cells:
    rows = _without_empty_ends(rows)
    names = None if reading.names is None else tuple(reading.names)
    _check_widths(rows, name, place, names)
    table = [text_array(column) for column in zip(*(cells for _, cells in rows), strict=True)]
    why = _no_header(table)
    if names is not None:
        if [column[0] for column in table] == list(names):
            names = None
        elif why is None:
            raise BadInput(
                f"{name}: {place} {rows[0][0]}: looks like a header, but `reading.names` gives "
                "other names; take the names out of the configuration, or the header out of the "
                "file"
            )
    if names is None and why is not None:
        if not number_columns:
            raise BadInput(
                f"{name}: {place} {rows[0][0]}: looks like a record, not a header ({why}); put the "
                "columns' names into a first line, or give them as `reading.names`"
            )
        names = tuple(f"column {number}" for number in range(1, len(table) + 1))
        found = [*found, "no header: columns are numbered"]
    header = rows[0][0]
    if names is None:
        names = tuple(str(column[0]) for column in table)
        _check_repeated(rows, name, place)
        table, rows = [column[1:] for column in table], rows[1:]
        if not rows:
            raise BadInput(f"{name}: a header but no records")
    lines = np.array([line for line, _ in rows], dtype=np.int64)
    return _named(names, table, lines, f"{name}: {place} {header}", reading, place, found)


def _named(
    names: tuple[str, ...],
    table: list[NDArray[np.object_]],
    lines: NDArray[np.int64],
    where: str,
    reading: Reading,
    place: Place,
    found: list[str],
) -> Cells:
    """Columns with their names; what has neither a name nor a cell is left out."""
    for given, count in Counter(names).items():
        if given and count > 1:
            places = [str(number) for number, other in enumerate(names, 1) if other == given]
            raise BadInput(
                f"{where}: column {given!r} occurs {count} times (as columns "
                f"{', '.join(places)}); keep one"
            )
    columns: dict[str, NDArray[np.object_]] = {}
    unnamed = []
    for number, (given, column) in enumerate(zip(names, table, strict=True), 1):
        if not given and number in (1, len(names)) and _counts(column):
            found = [*found, f"column {number} has no name and counts the records: left out"]
        elif given:
            columns[given] = column
        elif column.astype(bool).any():
            title = f"column {number}"
            while title in names:
                title += "'"
            columns[title] = column
            unnamed.append(title)
    decimal = reading.decimal or decimal_sign(columns.values())
    found = [*found, "decimal comma"] if decimal == "," else found
    return Cells(tuple(columns), columns, lines, place, decimal, tuple(unnamed), tuple(found))


def text_array(cells: Iterable[str]) -> NDArray[np.object_]:
    """(N,) texts as they are, however long each is."""
    return np.array(list(cells), dtype=object)


def _without_empty_ends(rows: Rows) -> Rows:
    """Rows without the empty cells at their ends that all of them have beyond the header's last.

    Spreadsheets write a separator behind every row of a sheet that once was wider.
    """
    width = len(rows[0][1])
    if any(len(cells) != width for _, cells in rows):
        return rows
    full = max(index for _, cells in rows for index, cell in enumerate(cells, 1) if cell)
    return [(line, cells[:full]) for line, cells in rows]


def _check_widths(rows: Rows, name: str, place: Place, names: tuple[str, ...] | None) -> None:
    """Refuses rows of another length than the header's, and says which line is to blame."""
    first = len(rows[0][1])
    usual = Counter(len(cells) for _, cells in rows).most_common(1)[0][0]
    if names is not None:
        if usual != len(names):
            raise BadInput(
                f"{name}: {place} {rows[0][0]}: {first} cells, but `reading.names` names "
                f"{len(names)} columns"
            )
        first = len(names)
    line, cells = rows[0]
    filled = sum(map(bool, cells))
    title = first != usual or (filled == 1 and usual > 2)  # sheets are as wide in every row
    if names is None and title and filled == 1 < usual and len(rows) > 2:
        what = "a comment" if cells[0].startswith(COMMENT) else "a title"
        raise BadInput(
            f"{name}: {place} {line}: one cell, but the rest has {usual} columns; is this {what}? "
            f"Take out every {place} above the header"
        )
    wrong = [(line, cells) for line, cells in rows if len(cells) != first]
    if not wrong:
        return
    line, cells = wrong[0]
    if cells[0].startswith(COMMENT):
        raise BadInput(f"{name}: {place} {line}: looks like a comment; take it out")
    everyone = len(wrong) == len(rows) - 1 > 1 and len({len(cells) for _, cells in wrong}) == 1
    hint = f" ({len(wrong)} such {place}s)" if len(wrong) > 1 else ""
    if everyone and usual == first + 1:
        hint += (
            "; do the records end with a separator, which the header does not?"
            if not any(cells[-1] for _, cells in wrong)
            else "; does the header lack the name of a column, such as that of row numbers?"
        )
    elif len(cells) > first:
        hint += "; is there a separator inside a cell, such as a decimal comma? Put it in quotes"
    elif line == rows[-1][0]:
        hint = "; is this a footer? Take it out"
    counted = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
    header = "`reading.names`" if names is not None else "the header"
    raise BadInput(f"{name}: {place} {line}: {counted}, but {header} names {first} columns{hint}")


def _no_header(table: list[NDArray[np.object_]]) -> str | None:
    """Why the first row is no header, or None where it is one.

    A name of a column is no number, no date and no missing code; nor, where no column holds
    numbers, a value of its own column.
    """
    for column in table:
        cell = column[0]
        if number_text(cell) or number_text(cell, ","):
            return f"{cell!r} is a number"
        if DATE.fullmatch(cell):
            return f"{cell!r} is a date"
        if cell.lower() in MISSING_SIGNS:  # words may be names: Na is sodium
            return f"{cell!r} stands for a missing value"
    if any(_is_numeric(column[1:]) for column in table):
        return None
    for column in table:
        if column[0] and (column[1:] == column[0]).any():
            return f"{column[0]!r} is also a value of its column"
    return None


def _is_numeric(column: NDArray[np.object_]) -> bool:
    full = [cell for cell in column.tolist() if cell]
    return sum(bool(number_text(c) or number_text(c, ",")) for c in full) > 0.5 * len(full)


def _check_repeated(rows: Rows, name: str, place: Place) -> None:
    again = [line for line, cells in rows[1:] if cells == rows[0][1]]
    if again:
        raise BadInput(
            f"{name}: {place} {', '.join(map(str, again[:SHOWN]))}: repeats the header; were "
            "several files joined? Take it out"
        )


def _counts(column: NDArray[np.object_]) -> bool:
    """Whether a column numbers the records, from 0 or from 1."""
    return any(
        column.tolist() == [str(number) for number in range(first, first + len(column))]
        for first in (0, 1)
    )
