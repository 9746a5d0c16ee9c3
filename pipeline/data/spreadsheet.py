"""The first sheet of an XLSX workbook as text, by the standard library alone.

A workbook is a zip archive of XML (ECMA-376, part 1, section 18). Nothing here writes, computes a
formula or opens a link: what the last program stored of a cell is what is read.
"""

import datetime
import io
import re
import zipfile
from xml.etree import ElementTree

DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}  # built-in number formats
MOST = 1 << 30  # bytes that one part may unpack to: more is no table of a clinic


class Damaged(Exception):
    """A workbook that cannot be read: one clause that says why."""


def first_sheet(content: bytes) -> tuple[str, list[str], list[tuple[int, list[str]]]]:
    """The first sheet that is not hidden.

    Args:
        content: the file.

    Returns:
        its name, the names of the other sheets that are not hidden, and its rows that hold
        anything, each with its number in the sheet (from 1): cells as stripped text, all rows
        equally long. A whole number has no point, a date is written as in ISO 8601.

    Raises:
        Damaged: this is no workbook, or a part of it is missing or broken.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            book = _xml(archive, "xl/workbook.xml")
            links = {
                link.get("Id"): link.get("Target", "")
                for link in _xml(archive, "xl/_rels/workbook.xml.rels")
            }
            sheets = [
                (sheet.get("name", ""), next(v for k, v in sheet.attrib.items() if _is_link(k)))
                for sheet in book.iterfind("{*}sheets/{*}sheet")
                if sheet.get("state", "visible") == "visible"
            ]
            if not sheets:
                raise Damaged("every sheet is hidden")
            (title, link), *others = sheets
            since = 1904 if (_flag(book.find("{*}workbookPr"), "date1904")) else 1900
            target = links[link].lstrip("/")
            target = target if target.startswith("xl/") else f"xl/{target}"
            rows = _rows(_xml(archive, target), _strings(archive), _date_styles(archive), since)
    except (zipfile.BadZipFile, KeyError, StopIteration, ElementTree.ParseError, ValueError) as why:
        raise Damaged("not a workbook that can be read") from why
    return title, [other for other, _ in others], _rectangle(rows)


def _is_link(attribute: str) -> bool:
    """Whether this is `r:id`, in the transitional or in the strict namespace."""
    return attribute.endswith("relationships}id")


def _flag(element: ElementTree.Element | None, name: str) -> bool:
    return element is not None and element.get(name, "0") in ("1", "true")


def _xml(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if archive.getinfo(name).file_size > MOST:
        raise Damaged(f"{name} is larger than 1 GiB")
    return ElementTree.fromstring(archive.read(name))


def _strings(archive: zipfile.ZipFile) -> list[str]:
    """The texts that cells refer to by number; rich text without its looks, no phonetic hints."""
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    return [_text(item) for item in _xml(archive, "xl/sharedStrings.xml").iterfind("{*}si")]


def _text(item: ElementTree.Element) -> str:
    parts = [*item.iterfind("{*}t"), *item.iterfind("{*}r/{*}t")]
    return "".join(part.text or "" for part in parts)


def _date_styles(archive: zipfile.ZipFile) -> set[str]:
    """The numbers of the cell styles that show a number as a date or a time."""
    if "xl/styles.xml" not in archive.namelist():
        return set()
    styles = _xml(archive, "xl/styles.xml")
    own = {
        int(form.get("numFmtId", "0"))
        for form in styles.iterfind("{*}numFmts/{*}numFmt")
        # Quoted words, colours and escaped signs aside, a format of dates has letters of a date.
        if re.search(
            "[ymdhs]",
            re.sub(r'"[^"]*"|\[[^\]]*\]|\\.|[_*].', "", form.get("formatCode", "").lower()),
        )
    }
    return {
        str(index)
        for index, style in enumerate(styles.iterfind("{*}cellXfs/{*}xf"))
        if int(style.get("numFmtId", "0")) in DATES | own
    }


def _rows(
    sheet: ElementTree.Element, strings: list[str], dates: set[str], since: int
) -> list[tuple[int, dict[int, str]]]:
    rows = []
    number = 0
    for row in sheet.iterfind("{*}sheetData/{*}row"):
        number = int(row.get("r", number + 1))
        cells: dict[int, str] = {}
        column = -1
        for cell in row.iterfind("{*}c"):
            column = _column(cell.get("r", "")) if cell.get("r") else column + 1
            text = _cell(cell, strings, dates, since).strip()
            if text:
                cells[column] = text
        if cells:
            rows.append((number, cells))
    return rows


def _column(reference: str) -> int:
    """0 of `A7`, 26 of `AA7`."""
    index = 0
    for letter in reference.rstrip("0123456789"):
        index = 26 * index + ord(letter) - ord("A") + 1
    return index - 1


def _cell(cell: ElementTree.Element, strings: list[str], dates: set[str], since: int) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        inline = cell.find("{*}is")
        return "" if inline is None else _text(inline)
    value = cell.findtext("{*}v") or ""
    if not value:
        return ""
    if kind == "s":
        return strings[int(value)]
    if kind == "b":
        return "TRUE" if value == "1" else "FALSE"
    if kind == "n":
        return _date(float(value), since) if cell.get("s") in dates else _number(value)
    return value  # a formula's text, an error such as #N/A, a date in ISO 8601


def _number(value: str) -> str:
    """A number as people write it: the format stores 0.1 + 0.2 with all its digits, 50 as 50."""
    number = float(f"{float(value):.15g}")  # a spreadsheet shows and keeps 15 digits
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _date(days: float, since: int) -> str:
    """A day and time from a number of days, by a calendar in which 1900 had a 29 February."""
    first = datetime.datetime(1904, 1, 1) if since == 1904 else datetime.datetime(1899, 12, 30)
    try:
        moment = first + datetime.timedelta(seconds=round(days * 86400))
    except OverflowError as error:
        raise ValueError(f"{days} days are no date") from error
    if days < 1:
        return moment.time().isoformat()
    midnight = moment.time() == datetime.time()
    return moment.date().isoformat() if midnight else moment.isoformat(sep=" ")


def _rectangle(rows: list[tuple[int, dict[int, str]]]) -> list[tuple[int, list[str]]]:
    """Rows of equal length; columns without any cell to the left are no part of the table."""
    used = {column for _, cells in rows for column in cells}
    if not used:
        return []
    width = range(min(used), max(used) + 1)
    return [(number, [cells.get(column, "") for column in width]) for number, cells in rows]
