"""What a dictionary says of columns: one exported from REDCap, or a code book as a table.

REDCap's export has eighteen columns under two sets of names (that of its pages, that of its API).
A code book is any table with a row for each column of the cohort.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path

from pipeline.cohort.words import looks_like_unit
from pipeline.config import ReadingConfig
from pipeline.config.cohort import NUMBERS, Kind
from pipeline.data.cells import Cells, read_cells
from pipeline.data.numerals import number_text
from pipeline.files import BadInput
from pipeline.validation import nearest


@dataclass(frozen=True)
class Entry:
    """What a dictionary says of one column of the file; None, "" and empty = nothing.

    Attributes:
        name: of the column.
        label: what it is, in words.
        kind: of its values.
        levels: cell -> label, in the order of the form.
        lower, upper, step, center, scale: in `unit`.
        unit: of its numbers.
        missing: cells that mean "not measured".
        mutable, private: whether a forger can change it, whether a patient would rather keep it.
        ignored: why it can be no feature.
        formula: of a value that a program computes from others.
        condition: under which it is asked at all.
        first: whether it is the first field of a REDCap project, which numbers the patients.
    """

    name: str
    label: str = ""
    kind: Kind | None = None
    levels: dict[str, str] = field(default_factory=dict)
    lower: float | None = None
    upper: float | None = None
    step: float | None = None
    center: float | None = None
    scale: float | None = None
    unit: str = ""
    missing: tuple[str, ...] = ()
    mutable: bool | None = None
    private: bool | None = None
    ignored: str = ""
    formula: str = ""
    condition: str = ""
    first: bool = False


# What REDCap calls its columns, in the API; then on its pages, in small letters.
REDCAP = {
    "field_name": "variable / field name",
    "form_name": "form name",
    "field_type": "field type",
    "field_label": "field label",
    "select_choices_or_calculations": "choices, calculations, or slider labels",
    "field_note": "field note",
    "text_validation_type_or_show_slider_number": "text validation type or show slider number",
    "text_validation_min": "text validation min",
    "text_validation_max": "text validation max",
    "identifier": "identifier?",
    "branching_logic": "branching logic (show field only if...)",
}
NEEDED = ("field_name", "field_type")
# Columns that REDCap adds to its export, and that no dictionary names.
ADDED = {
    "redcap_event_name": "the visit of a longitudinal project",
    "redcap_repeat_instrument": "which form is repeated",
    "redcap_repeat_instance": "the number of a repetition",
    "redcap_data_access_group": "who may see a record",
    "redcap_survey_identifier": "who answered a survey",
    "redcap_survey_timestamp": "when a survey was answered",
}

COMPLETE = "whether a form was filled in"

# What the columns of a code book are called.
CODE_BOOK = {
    "name": ("name", "variable", "column", "field", "variable name", "column name", "field name"),
    "label": ("label", "description", "meaning", "question", "variable label"),
    "kind": ("kind", "type", "data type", "datatype", "scale of measurement"),
    "unit": ("unit", "units"),
    "lower": ("min", "minimum", "lower", "lower limit", "plausible min", "low"),
    "upper": ("max", "maximum", "upper", "upper limit", "plausible max", "high"),
    "step": ("step", "resolution", "precision"),
    "center": ("center", "centre"),
    "scale": ("scale", "sd"),
    "levels": ("levels", "values", "codes", "choices", "categories", "coding", "value labels"),
    "missing": ("missing", "missing codes", "missing values", "na codes", "missing code"),
    "mutable": ("mutable", "can be forged"),
    "private": ("private", "sensitive"),
    "identifier": ("identifier", "identifying", "phi", "pii"),
}
KINDS: dict[str, Kind] = {
    "integer": "integer", "int": "integer", "whole number": "integer", "count": "integer",
    "real": "real", "float": "real", "number": "real", "numeric": "real", "double": "real",
    "decimal": "real", "continuous": "real",
    "binary": "binary", "boolean": "binary", "bool": "binary", "yes/no": "binary",
    "dichotomous": "binary",
    "ordinal": "ordinal", "ordered": "ordinal", "ordered factor": "ordinal",
    "categorical": "categorical", "nominal": "categorical", "factor": "categorical",
    "category": "categorical",
}  # fmt: skip
NO_FEATURE = {
    "id": "an identifier", "identifier": "an identifier", "date": "dates", "datetime": "dates",
    "time": "dates", "text": "free text", "free text": "free text", "ignore": "left out",
}  # fmt: skip
YES = ("y", "yes", "true", "1", "x")


def read_dictionary(path: Path, name: str) -> dict[str, Entry]:
    """Reads a dictionary of REDCap or a code book.

    Args:
        path: the file, in any spelling that `read_cells` reads.
        name: what messages call it.

    Returns:
        what it says, by the name of the column in the file of records.

    Raises:
        BadInput: it can be read as neither.
    """
    cells = read_cells(path, name, ReadingConfig())
    headers = {re.sub(r"\s+", " ", column.lower()): column for column in cells.header}
    redcap = {
        key: headers.get(key, headers.get(page))
        for key, page in REDCAP.items()
        if key in headers or page in headers
    }
    if all(key in redcap for key in NEEDED):
        found = _entries(cells, name, redcap, _redcap_fields)
        forms = redcap.get("form_name")
        added = {} if forms is None else dict.fromkeys(cells.columns[forms].tolist(), COMPLETE)
        added = {f"{form}_complete": why for form, why in added.items()} | ADDED
        return {column: Entry(column, ignored=why) for column, why in added.items()} | found
    spaced = {re.sub(r"[_\s]+", " ", header): column for header, column in headers.items()}
    book = {
        key: next((spaced[word] for word in words if word in spaced), None)
        for key, words in CODE_BOOK.items()
    }
    if book["name"] is None or not any(column for key, column in book.items() if key != "name"):
        known = ", ".join(words[0] for words in CODE_BOOK.values())
        raise BadInput(
            f"{name}: neither a dictionary of REDCap (columns such as 'Variable / Field Name', "
            f"'Field Type') nor a code book (columns {known})"
        )
    return _entries(cells, name, book, _code_book_fields)


def _entries(
    cells: Cells,
    name: str,
    columns: Mapping[str, str | None],
    fields: Callable[[Mapping[str, str], str, str], list[Entry]],
) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for record in range(len(cells.lines)):
        row = {
            key: "" if column is None else str(cells.columns[column][record])
            for key, column in columns.items()
        }
        where = f"{name}: {cells.where(record)}"
        for entry in fields(row, cells.decimal, where):
            if entry.name in found:
                raise BadInput(f"{where}: {entry.name!r} is described twice; keep one")
            found[entry.name] = replace(entry, first=entry.first and not found)
    return found


# --- REDCap --------------------------------------------------------------------------------------


def _redcap_fields(row: Mapping[str, str], decimal: str, where: str) -> list[Entry]:
    """The columns that one field of REDCap becomes: none, one, or one for each choice."""
    kind = row["field_type"].lower()
    name = row["field_name"]
    if not name or kind == "descriptive":
        return []
    choices = row.get("select_choices_or_calculations", "")
    note = row.get("field_note", "")
    entry = Entry(
        name,
        label=_plain(row.get("field_label", "")),
        unit=note if looks_like_unit(note) else "",
        condition=_plain(row.get("branching_logic", "")),
        ignored="its dictionary calls it an identifier"
        if row.get("identifier", "").lower() in YES
        else "",
        first=True,
    )
    if kind in ("radio", "dropdown", "select"):
        return [replace(entry, levels=_choices(choices, where))]
    if kind == "yesno":
        return [replace(entry, levels={"0": "No", "1": "Yes"}, kind="binary")]
    if kind == "truefalse":
        return [replace(entry, levels={"0": "False", "1": "True"}, kind="binary")]
    if kind == "checkbox":
        return [
            replace(
                entry,
                name=f"{name}___{re.sub('[^a-z0-9]', '_', code.lower())}",
                label=f"{entry.label}: {label}",
                levels={"0": "Unchecked", "1": "Checked"},
                kind="binary",
            )
            for code, label in _choices(choices, where).items()
        ]
    if kind in ("notes", "file", "signature", "sql"):
        return [replace(entry, ignored=entry.ignored or f"REDCap keeps {kind} in it")]
    if kind == "calc":
        return [replace(entry, formula=_plain(choices))]
    if kind == "slider":
        limited = _limited(replace(entry, lower=0.0, upper=100.0), row)
        return [replace(limited, kind="integer", step=1.0)]
    return [_text_field(entry, row)]


def _text_field(entry: Entry, row: Mapping[str, str]) -> Entry:
    kind = row.get("text_validation_type_or_show_slider_number", "").lower()
    decimals = re.fullmatch(r"number_(\d)dp(_comma_decimal)?", kind)
    if kind in ("integer", "int"):
        return replace(_limited(entry, row), kind="integer", step=1.0)
    if decimals:
        step = round(0.1 ** int(decimals[1]), 9)
        return replace(_limited(entry, row), kind="real", step=step)
    if kind in ("number", "float", "number_comma_decimal"):
        return replace(_limited(entry, row), kind="real")
    if kind.startswith(("date", "time")):
        return replace(entry, ignored=entry.ignored or "dates")
    if kind.startswith(("email", "phone", "zip", "postalcode", "ssn", "mrn", "vmrn")):
        return replace(entry, ignored=entry.ignored or f"its dictionary calls it {kind}")
    return entry


def _limited(entry: Entry, row: Mapping[str, str]) -> Entry:
    """With the limits that are numbers; others are dates, `today`, or fields as `[visit][bmi]`."""
    texts = (
        number_text(cell) or number_text(cell, ",")
        for cell in (row.get("text_validation_min", ""), row.get("text_validation_max", ""))
    )
    lower, upper = (None if text is None else float(text) for text in texts)
    return replace(
        entry,
        lower=entry.lower if lower is None else lower,
        upper=entry.upper if upper is None else upper,
    )


def _choices(text: str, where: str) -> dict[str, str]:
    """`1, Yes | 2, No, or never`: split at each bar, with or without blanks, and the first comma.

    Raises:
        BadInput: a choice has no code, or a code occurs twice.
    """
    found: dict[str, str] = {}
    for choice in filter(None, (part.strip() for part in text.split("|"))):
        code, comma, label = choice.partition(",")
        code = code.strip()
        if not comma or not code:
            raise BadInput(
                f"{where}: choice {choice!r} has no code; choices are written `1, Yes | 2, No`"
            )
        if code in found:
            raise BadInput(f"{where}: code {code!r} stands for two choices; keep one")
        found[code] = _plain(label) or code
    return found


def _plain(text: str) -> str:
    """A label without the marks of a web page, on one line."""
    return " ".join(unescape(re.sub(r"<[^<>]*>", " ", text)).split())


# --- a code book ---------------------------------------------------------------------------------


def _code_book_fields(row: Mapping[str, str], decimal: str, where: str) -> list[Entry]:
    """The one column that a row of a code book speaks of."""
    if not row["name"]:
        return []
    given = row["kind"].lower()
    lower, upper, step, center, scale = (
        _number(row[key], key, decimal, where)
        for key in ("lower", "upper", "step", "center", "scale")
    )
    for key, number in (("step", step), ("scale", scale)):
        if number is not None and number <= 0:
            raise BadInput(f"{where}: {key} must be above 0, not {row[key]!r}")
    if lower is not None and upper is not None and lower >= upper:
        raise BadInput(f"{where}: the least value {lower:g} must be below the largest {upper:g}")
    ignored = NO_FEATURE.get(given, "")
    if given and not ignored and given not in KINDS:
        raise BadInput(f"{where}: kind {row['kind']!r}; {nearest(given, KINDS)}")
    levels = _level_list(row["levels"], where)
    kind = KINDS.get(given)
    if kind in NUMBERS and levels:
        kind = None  # numbers that are codes
    if row["identifier"].lower() in YES:
        ignored = "its code book calls it an identifier"
    entry = Entry(
        row["name"],
        label=_plain(row["label"]),
        kind=kind,
        levels=levels,
        unit=row["unit"],
        missing=tuple(filter(None, (code.strip() for code in re.split(r"[;|,]", row["missing"])))),
        mutable=_flag(row["mutable"], "mutable", where),
        private=_flag(row["private"], "private", where),
        ignored=ignored,
        lower=lower,
        upper=upper,
        step=step,
        center=center,
        scale=scale,
    )
    return [entry]


def _number(cell: str, key: str, decimal: str, where: str) -> float | None:
    if not cell:
        return None
    text = number_text(cell) or number_text(cell, decimal)
    if text is None:
        raise BadInput(f"{where}: {key}: {cell!r} is not a number")
    return float(text)


def _flag(cell: str, key: str, where: str) -> bool | None:
    if not cell:
        return None
    if cell.lower() in YES:
        return True
    if cell.lower() in ("n", "no", "false", "0"):
        return False
    raise BadInput(f"{where}: {key}: {cell!r} is neither yes nor no")


def _level_list(text: str, where: str) -> dict[str, str]:
    """`0=no; 1=yes`, `0, no | 1, yes`, `0: no, 1: yes`, or `low; medium; high`."""
    parts = [part.strip() for part in re.split(r"[;|]", text)]
    if len(parts) == 1 and "," in text:
        parts = [part.strip() for part in text.split(",")]
    found: dict[str, str] = {}
    for part in filter(None, parts):
        code, _, label = (piece.strip() for piece in _split_once(part))
        if code in found:
            raise BadInput(f"{where}: level {code!r} occurs twice; keep one")
        found[code] = _plain(label) or code
    return found


def _split_once(part: str) -> tuple[str, str, str]:
    """At the first sign that parts a code from its label."""
    match = re.search(r"\s*(=|:|,)\s*", part)
    if not match:
        return part, "", ""
    return part[: match.start()], match[1], part[match.end() :]
