"""The rows of a text: how it is written is found out where nobody says it."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pipeline.files import BadInput

Rows = list[tuple[int, list[str]]]  # the place of each row, and its cells

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a |", " ": "blanks"}

SAMPLE = 2000  # lines that the separator is found out from; every line is held against it

CONFLICT = re.compile(r"(<<<<<<< .*|=======|>>>>>>> .*|\|\|\|\|\|\|\| .*)")


def text_rows(
    content: bytes, name: str, given: str | None, encoding: str | None
) -> tuple[Rows, list[str]]:
    """The rows of a CSV that hold anything, and what was found out about it.

    Args:
        content: the file.
        name: what messages call it.
        given: the separator; None = as the file shows.
        encoding: by its usual name; None = as the file shows.

    Raises:
        BadInput: this is no table; the message names the line.
    """
    text, taken = _decoded(content, name, encoding)
    if not text.strip():
        raise BadInput(f"{name}: the file is empty; expected a header and records")
    beginning = text.lstrip()[:200].lower()
    if beginning.startswith(("<!doctype html", "<html", "<table", "<?xml")):
        raise BadInput(f"{name}: this is a web page or XML; export the table as CSV")
    if re.match(r'[\[{]\s*(["{\[]|$)', beginning):
        raise BadInput(f"{name}: this is JSON; export the table as CSV")
    if beginning.startswith("@relation"):
        raise BadInput(f"{name}: this is an ARFF or KEEL file; export the table as CSV")
    lines = re.split("\r\n|\n|\r", text)
    found = [f"encoding {taken}"] if taken != "UTF-8" else []
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise BadInput(
                f"{name}: line {number}: holds a byte without a sign (NUL): the file is damaged; "
                "export it again"
            )
        if line[:1] in "<=>|" and CONFLICT.fullmatch(line):
            raise BadInput(
                f"{name}: line {number}: {line[:7]!r} is a mark of a merge in git that was not "
                "finished; resolve it"
            )
    start, separator, quote = dialect(lines, given, name)
    if separator != ",":
        found.append(f"separator {SEPARATORS.get(separator, repr(separator))}")
    rows = _parsed(lines, start, separator, quote, name)
    if given is not None and max(len(row) for _, row in rows) == 1:
        other = _separator(lines[start:], quote)
        hint = f"; by {SEPARATORS[other]} it has more" if other else ""
        raise BadInput(
            f"{name}: line {rows[0][0]}: only one column when separated by {separator!r} "
            f"(`reading.separator`){hint}"
        )
    return rows, found


def dialect(lines: list[str], given: str | None, name: str) -> tuple[int, str, str]:
    """How lines are cut: the number of the first one, from 0, the separator, the quotation mark.

    Args:
        lines: of a file, its first `SAMPLE` + 1 at least.
        given: the separator; None = as the file shows.
        name: what messages call it.

    Raises:
        BadInput: no separator separates them.
    """
    start, announced = 0, re.fullmatch(r'"?sep=(.)"?[,;\t]*', lines[0].strip(" "), re.I)
    if announced:
        start = 1
    separator, quote = _asked(given, name), _quote(lines)
    if separator is None:
        separator = announced[1] if announced else _separator(lines[start:], quote)
        if separator is None:
            raise BadInput(
                f"{name}: line {start + 1}: only one column; cells are to be separated by a comma, "
                "a semicolon, a tab or a |"
            )
    return start, separator, quote


def _asked(separator: str | None, name: str) -> str | None:
    separator = "\t" if separator == "tab" else separator
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise BadInput(
            f"{name}: reading.separator: must be one sign, or `tab`, not {separator!r}; "
            "leave it out to have it found out"
        )
    return separator


def _decoded(content: bytes, name: str, encoding: str | None) -> tuple[str, str]:
    """The text of a file, and the plain name of its encoding."""
    if encoding is not None:
        try:
            return content.decode(encoding).removeprefix("\ufeff"), encoding
        except LookupError:
            raise BadInput(
                f"{name}: reading.encoding: {encoding!r} is no encoding; known are utf-8, utf-16, "
                "latin-1, cp1252 and others"
            ) from None
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            raise BadInput(
                f"{name}: line {_line_of(content, start)}: cannot be read as {encoding} "
                "(`reading.encoding`); leave it out to have it found out"
            ) from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _utf16(content, "utf-16", name), "UTF-16"
    half = content[:4000]
    for zeros, codec in ((half[1::2], "utf-16-le"), (half[::2], "utf-16-be")):
        if len(half) > 3 and zeros.count(0) > 0.7 * len(zeros):  # Latin letters have a zero half
            return _utf16(content, codec, name), "UTF-16"
    try:
        return content.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError as error:
        text = content.decode("utf-8", "replace")
        wrong = text.count("\ufffd")
        right = sum(sign > "\x7f" for sign in text) - wrong
        if right > wrong:  # a file of UTF-8 that something else got into
            raise BadInput(
                f"{name}: line {_line_of(content, error.start)}: holds a sign that is not UTF-8, "
                "though the rest of the file is; save the file as UTF-8"
            ) from error
    try:
        return content.decode("cp1252"), "Windows-1252 (Latin-1)"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "Latin-1"


def _utf16(content: bytes, codec: str, name: str) -> str:
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{name}: begins like UTF-16, but is cut off or damaged; save it as UTF-8"
        ) from error


def _line_of(content: bytes, byte: int) -> int:
    """The line that a byte stands in; of LF, CRLF and CR."""
    return len(re.findall(b"\r\n|\n|\r", content[:byte])) + 1


def _quote(lines: list[str]) -> str:
    """The quotation mark: `'` where no `"` occurs and lines are full of cells in single quotes."""
    sample = [line for line in lines[:SAMPLE] if line.strip()]
    if any('"' in line for line in sample):
        return '"'
    single = sum(
        bool(re.search(r"(^|[,;\t| ])\s*'[^',;\t|]*'\s*($|[,;\t| ])", line)) for line in sample
    )
    return "'" if single > 0.5 * len(sample) else '"'


def _separator(lines: list[str], quote: str) -> str | None:
    """The separator by which most lines have as many cells as the first; None = one column."""
    sample = [line for line in lines[:SAMPLE] if line.strip()]
    best: tuple[float, int, str] | None = None
    for separator in SEPARATORS:
        if separator == " " and best is not None:
            break  # names and texts hold blanks, too
        widths = [
            len(row) for row in csv.reader(_split(sample, separator), **_csv(separator, quote))
        ]
        width, count = Counter(widths).most_common(1)[0]
        if width < 2 or (separator == " " and count < len(widths)):
            continue
        # Decimal commas split the records alike, but not the header.
        agrees = count / len(widths) if width == widths[0] else 0.5 * count / len(widths)
        if best is None or (agrees, width) > best[:2]:
            best = (agrees, width, separator)
    return best[2] if best else None


def _csv(separator: str, quote: str) -> dict[str, Any]:
    return {"delimiter": separator, "quotechar": quote, "skipinitialspace": separator != " "}


def _split(lines: Iterable[str], separator: str) -> Iterable[str]:
    """Lines as the reader wants them: each ends, and runs of blanks are one separator."""
    if separator == " ":
        return (re.sub(r"\s+", " ", line.strip()) + "\n" for line in lines)
    return (line + "\n" for line in lines)


def _parsed(lines: list[str], start: int, separator: str, quote: str, name: str) -> Rows:
    """The rows that hold anything, each with the line that it begins on.

    A quoted cell may go on over several lines; an open quote that swallows records may not.
    """
    reader = csv.reader(_split(lines[start:], separator), **_csv(separator, quote))
    rows: Rows = []
    begun = start + 1
    try:
        for row in reader:
            ended = start + reader.line_num
            if ended > begun or ended == len(lines):
                width = len(rows[0][1]) if rows else len(row)
                pieces = [piece for cell in row for piece in cell.rstrip("\n").split("\n")[1:]]
                swallowed = any(piece.count(separator) >= max(width - 1, 1) for piece in pieces)
                uneven = ended > begun and len(row) != width
                if swallowed or uneven or _is_open(lines[begun - 1 : ended], separator, quote):
                    raise csv.Error
            cells = [" ".join(cell.split("\n")).strip() for cell in row]
            if any(cells):
                rows.append((begun, cells))
            begun = ended + 1
    except csv.Error as error:  # also of a cell of more than 131 072 signs
        raise BadInput(
            f"{name}: line {begun}: a quoted cell goes on to line {start + reader.line_num}; "
            "close the quote"
        ) from error
    if not rows:
        raise BadInput(f"{name}: the file is empty; expected a header and records")
    return rows


def plain_rows(lines: list[str], separator: str, quote: str) -> list[list[str]] | None:
    """The cells of lines of which each is a row; None where one is not, or some quote is open."""
    reader = csv.reader(_split(lines, separator), **_csv(separator, quote))
    try:
        rows = list(reader)
    except csv.Error:
        return None
    if len(rows) != len(lines) or _is_open(lines[-1:], separator, quote):
        return None
    return [[cell.strip() for cell in row] for row in rows]


def _is_open(lines: list[str], separator: str, quote: str) -> bool:
    """Whether a quote is still open behind the last of these lines of one record."""
    try:
        list(csv.reader(_split(lines, separator), **_csv(separator, quote), strict=True))
    except csv.Error as error:
        return "end of data" in str(error)
    return False
