"""A large table, read piece by piece: no more of it is held as text than one piece.

Only what is plain is read so: UTF-8, a header that names every column, a line for each record. What
is unusual about a file, the reader of the whole (`pipeline.data.cells`) reads, or says what is
wrong with it.
"""

import gzip
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.data.cells import Cells, Reading, arrow_texts, cells_in, text_array
from pipeline.data.numerals import decimal_shown
from pipeline.data.text_table import CONFLICT, SAMPLE, dialect, plain_rows
from pipeline.files import BadInput

PIECE = 2**22  # bytes of text; a file that is no larger is read at once
RECORDS = 50_000  # of a piece of a Parquet file
PLAIN = (None, "utf-8", "utf8", "utf-8-sig")
MARK = "\ufeff"  # of UTF-8, at the beginning


class Unusual(Exception):
    """The file is to be read as a whole."""


def pieces_of(path: Path, name: str, reading: Reading) -> Iterator[Cells]:
    """A CSV, also compressed by gzip, or a Parquet file, in pieces that together are `read_cells`.

    Args:
        path: the file.
        name: what messages call it.
        reading: how it is written.

    Raises:
        Unusual: it is not plain; pieces that came before may be wrong.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
        if beginning == b"PAR1":
            yield from _of_parquet(path, name, reading)
        elif beginning.startswith(b"\x1f\x8b"):
            with gzip.open(path) as unpacked:
                yield from _of_text(unpacked, name, reading)
        else:
            with path.open("rb") as file:
                yield from _of_text(file, name, reading)
    except (BadInput, OSError, EOFError, ValueError, NotImplementedError, zlib.error) as error:
        raise Unusual(str(error)) from error


def _of_text(file: IO[bytes] | gzip.GzipFile, name: str, reading: Reading) -> Iterator[Cells]:
    if reading.encoding not in PLAIN:
        raise Unusual("another encoding")
    head = b"".join(islice(file, SAMPLE + 1))
    found = cells_in(head, name, reading)
    start, separator, quote = dialect(_lines(head), reading.separator, name)
    file.seek(0)
    number, header = 1, list(found.header)
    shown: str | None = None
    waiting = True  # for the header
    while raw := file.readlines(PIECE):
        lines = _lines(b"".join(raw))
        first = start if number == 1 else 0
        rows = plain_rows(lines[first:], separator, quote)
        if rows is None:
            raise Unusual("a record of several lines")
        places = np.arange(number + first, number + len(lines), dtype=np.int64)
        full = [any(row) for row in rows]
        rows, places = [row for row, own in zip(rows, full, strict=True) if own], places[full]
        if waiting and rows:
            if rows[0] != header:
                raise Unusual("a header that does not name every column")
            rows, places, waiting = rows[1:], places[1:], False
        if any(len(row) != len(header) for row in rows):
            raise Unusual("records of different lengths")
        number += len(lines)
        if not rows:
            continue
        columns = dict(zip(header, map(text_array, zip(*rows, strict=True)), strict=True))
        if any((column == title).any() for title, column in columns.items()):
            raise Unusual("a cell that says what its column is called")
        cells = Cells(found.header, columns, places, "line", found.decimal)
        shown = _decimal(cells, shown) if reading.decimal is None else shown
        yield cells


def _lines(raw: bytes) -> list[str]:
    """Whole lines without their ends."""
    text = raw.decode("utf-8").removeprefix(MARK).replace("\r\n", "\n")
    lines = text.removesuffix("\n").split("\n")
    if "\r" in text or "\0" in text:
        raise Unusual("a sign that is none of a text, or ends lines otherwise")
    if any(line[:1] in "<=>|" and CONFLICT.fullmatch(line) for line in lines):
        raise Unusual("a merge that was not finished")
    return lines


def _decimal(cells: Cells, shown: str | None) -> str | None:
    """The decimal sign that was shown so far; a point is final, a comma only as long as none is."""
    now = shown if shown == "." else decimal_shown(cells.columns.values()) or shown
    if now not in (None, cells.decimal):
        raise Unusual("a decimal sign that the beginning does not show")
    return now


def _of_parquet(path: Path, name: str, reading: Reading) -> Iterator[Cells]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        names = tuple(file.schema_arrow.names)
        plain = [one for one in names if one and one == one.strip() and not one.startswith("__")]
        if len({*plain}) < len(names) or not file.metadata.num_rows:
            raise Unusual("columns without a name, or no records")
        begun, shown, sign = 1, None, reading.decimal or "."
        for batch in file.iter_batches(RECORDS):
            columns = {
                one: text_array(arrow_texts(values, one, name))
                for one, values in zip(names, batch.columns, strict=True)
            }
            lines = np.arange(begun, begun + batch.num_rows, dtype=np.int64)
            cells = Cells(names, columns, lines, "record", sign)
            shown = _decimal(cells, shown) if reading.decimal is None else shown
            begun += batch.num_rows
            yield cells
