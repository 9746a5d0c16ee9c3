"""Small files with one fault each: read rightly, or one line that says where and what is right.

No traceback, no misleading line, no silent error: what a reader of cells cannot see (a code inside
the plausible range, an outcome turned round) is counted in the report, or asked by `init`.
"""

import gzip
import io
import re

import numpy as np
import pandas as pd
import pytest

from pipeline.cohort.command import init
from pipeline.config import DataConfig, FeatureConfig
from pipeline.data.columns import Columns
from pipeline.data.raw import read_raw
from pipeline.files import BadInput
from workbook import workbook

COLUMNS = ("age", "glucose", "bmi", "crp", "outcome")
DRAWN = np.random.default_rng(7)
ROWS = [
    [str(age), str(glucose), f"{bmi:.1f}", f"{crp:.1f}", str(row % 3 // 2)]
    for row, (age, glucose, bmi, crp) in enumerate(
        zip(
            DRAWN.integers(20, 90, 60),
            DRAWN.integers(60, 200, 60),
            DRAWN.normal(28, 4, 60),
            DRAWN.gamma(2, 3, 60) + 0.1,
            strict=True,
        )
    )
]


def feature(kind, lower, upper, step, unit):
    numbers = {"lower": lower, "upper": upper, "step": step, "center": upper / 3, "scale": 5.0}
    judged = {"mutable": True, "private": False, "source": "made up"}
    return FeatureConfig(kind=kind, unit=unit, error=None, error_source=None, **(numbers | judged))


FEATURES = {
    "age": feature("integer", -5.0, 1000.0, 1.0, "years"),
    "glucose": feature("integer", 40.0, 450.0, 1.0, "mg/dL"),
    "bmi": feature("real", 12.0, 80.0, 0.1, "kg/m2"),
    "crp": feature("real", 0.0, 300.0, 0.1, "mg/L"),
}


def schema(**changes):
    usual = {
        "name": "ward",
        "title": "A ward",
        "source": "file",
        "file": "ward.csv",
        "target": "outcome",
        "classes": ["no", "yes"],
        "auroc_ceiling": None,
        "bands": {},
        "features": FEATURES,
    }
    return DataConfig(**(usual | changes))


def text(rows=ROWS, header=COLUMNS, separator=",", end="\n"):
    return "".join(separator.join(row) + end for row in (header, *rows) if row)


def cell(row, column, new):
    """The rows with one cell changed."""
    rows = [list(old) for old in ROWS]
    rows[row][COLUMNS.index(column)] = new
    return rows


def column(name, change):
    at = COLUMNS.index(name)
    return [[*row[:at], change(row[at]), *row[at + 1 :]] for row in ROWS]


def parquet():
    out = io.BytesIO()
    pd.read_csv(io.StringIO(text())).to_parquet(out)
    return out.getvalue()


PLAIN = text()
COMMA = text([[one.replace(".", ",") for one in row] for row in ROWS], separator=";")
READ = {
    "plain": PLAIN,
    "CRLF": text(end="\r\n"),
    "CR": text(end="\r"),
    "byte order mark": "\ufeff" + PLAIN,
    "blanks round names": text(header=[f" {name} " for name in COLUMNS]),
    "45.0 for a whole number": text(column("age", "{}.0".format)),
    "exponents": text(column("crp", lambda one: f"{float(one) * 10:.0f}e-1")),
    "outcome 0.0 and 1.0": text(column("outcome", "{}.0".format)),
    "semicolon": text(separator=";"),
    "tab": text(separator="\t"),
    "semicolon and decimal comma": COMMA,
    "sep= line": "sep=,\n" + PLAIN,
    "UTF-16": PLAIN.encode("utf-16"),
    "gzip": gzip.compress(PLAIN.encode(), mtime=0),
    "Parquet": parquet(),
    "XLSX": workbook(("ward", [COLUMNS, *ROWS])),
    "separator behind every line": text(end=",\n"),
    "seven empty columns": text(end=",,,,,,,\n"),
    "pandas index": pd.read_csv(io.StringIO(PLAIN), dtype=str).to_csv(),
    "blank line inside": PLAIN.replace("\n", "\n\n", 7),
    "blank line at the end": PLAIN + "\n",
    "outcome yes and no": text(column("outcome", lambda one: ["no", "yes"][int(one)])),
    "outcome Yes and No": text(column("outcome", lambda one: ["No", "Yes"][int(one)])),
    "everything quoted": text(
        [[f'"{one}"' for one in row] for row in ROWS], [f'"{name}"' for name in COLUMNS]
    ),
}
EMPTY = {word: text(cell(2, "crp", word)) for word in ("NA", "nan", "")}
WORDS = ("?", "N/A", "null", "None", ".", "-", "#N/A", "#DIV/0!", "missing", "unk")

NO = "is not a number"
NOT_MEASURED = f"{NO}; if it means 'not measured', name it"
# One cell of line 4: (column, the cell, what is said of it behind the cell).
CELLS = [
    *(("crp", word, NOT_MEASURED) for word in WORDS),
    ("crp", "<0.2", f"{NO} but a limit"),
    ("crp", ">300", f"{NO} but a limit"),
    ("bmi", "29,2", f"{NO}; others have a decimal point"),
    ("glucose", "1,234", f"{NO}; is its comma a decimal sign"),
    ("bmi", "45%", f"{NO}; take the % out"),
    ("glucose", "120 mg/dL", f"{NO}; take the unit out"),
    ("glucose", "1\u00a020", f"{NO}; take the blank out"),
    ("age", "2024-01-05", f"{NO} but a date"),
    ("age", "old", NO),
    ("crp", "inf", "is infinite"),
    ("glucose", "999", "is outside the plausible range 40 to 450 mg/dL"),
    ("bmi", "80.0000001", "is outside the plausible range 12 to 80 kg/m2"),
    ("glucose", "120.5", "is not a whole number"),
    ("outcome", "", "is not 0 (no) or 1 (yes)"),
    ("outcome", "2", "is not 0 (no) or 1 (yes)"),
]
RECORD = "looks like a record, not a header"
FAULTS = {
    "no header": (text(header=()), f"line 1: {RECORD}"),
    "no header, equal values": (text(header="11111"), f"line 1: {RECORD} ('1' is a number)"),
    "comment": (
        "# of the ward\n" + PLAIN,
        "line 1: one cell, but the rest has 5 columns; is this a comment?",
    ),
    "conflict": ("<<<<<<< HEAD\n" + PLAIN, "line 1: '<<<<<<<' is a mark of a merge in git"),
    "separator behind records": (
        text([[*row, ""] for row in ROWS]),
        "line 2: 6 cells, but the header names 5 columns (60 such lines); do the records end with",
    ),
    "footer": (
        PLAIN + "Total: 60\n",
        "line 62: 1 cell, but the header names 5 columns; is this a footer? Take it out",
    ),
    "header repeated": (text([*ROWS[:30], COLUMNS, *ROWS[30:]]), "line 32: repeats the header"),
    "doubled name": (
        text(header=("age", "bmi", "bmi", "crp", "outcome")),
        "line 1: column 'bmi' occurs 2 times (as columns 2, 3); keep one",
    ),
    "other case": (
        text(header=("Age", *COLUMNS[1:])),
        "column 'Age' is not in the schema; did you mean 'age'?",
    ),
    "id column": (
        text([[f"p{i}", *row] for i, row in enumerate(ROWS)], ("id", *COLUMNS)),
        "column 'id' is not in the schema",
    ),
    "one class": (
        text(column("outcome", lambda _: "1")),
        "column 'outcome': only class 1; a model needs both classes",
    ),
    "no records": (text([]), "a header but no records"),
    "empty file": ("", "the file is empty; expected a header and records"),
    "open quote": (
        text(cell(2, "crp", '"3.1')),
        "line 4: a quoted cell goes on to line 62; close the quote",
    ),
    "NUL": (text(cell(2, "crp", "\x003.1")), "line 4: holds a byte without a sign (NUL)"),
    "outcome True and False": (
        text(column("outcome", lambda one: ["False", "True"][int(one)])),
        "column 'outcome': 'False' is not 0 (no) or 1 (yes)",
    ),
    "outcome 1 and 2": (
        text(column("outcome", lambda one: str(int(one) + 1))),
        "column 'outcome': '2' is not 0 (no) or 1 (yes)",
    ),
    "record without values": (text([["", "", "", "", "1"], *ROWS]), "line 2: no measurement"),
    "one column only": (text(separator="~"), "line 1: only one column; cells are to be separated"),
}
# What only counting or asking can show: (file, what the report, the remarks or `init` say).
TWICE = [*ROWS, *[[*row[:4], str(1 - int(row[4]))] for row in ROWS]]
VISITS = [*ROWS, *[[*row[:3], f"{float(row[3]) + 0.1:.1f}", row[4]] for row in ROWS]]
PEOPLE = [[*map(str, row), str(row[0])] for row in DRAWN.integers(0, 2, (2000, 4))]
SAID = {
    "999 inside the range": (text(cell(2, "age", "999")), "999 in fewer than 10 records"),
    "-1 inside the range": (text(cell(2, "age", "-1")), "-1 in fewer than 10 records"),
    "outcome turned round": (
        text(column("outcome", lambda one: str(1 - int(one)))),
        "1 is read as",
    ),
    "constant column": (text(column("crp", lambda _: "3.0")), "one value only"),
    "nearly empty column": (
        text([[*row[:3], row[3] if i == 5 else "", row[4]] for i, row in enumerate(ROWS)]),
        "one value only",
    ),
    "same values, other outcome": (text(TWICE), "120 of them with both outcomes"),
    "second visits": (text(VISITS), "120 records differ from another one in a single value"),
    "yes/no answers of 2 000": (text(PEOPLE), "2000 records have the values of another one"),
}


@pytest.fixture
def ward(tmp_path, monkeypatch):
    """Reads the bytes of a file as `prepare` does."""
    monkeypatch.chdir(tmp_path)

    def read(content, **changes):
        path = tmp_path / "ward.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_raw(schema(**changes), tmp_path)

    return read


EXPECTED = np.array([[float(one) for one in row] for row in ROWS])


def test_there_are_75_at_least():
    kinds = (READ, NAMED, EMPTY, CELLS, FAULTS, SAID)
    assert sum(map(len, kinds)) >= 75


@pytest.mark.parametrize("kind", READ)
def test_what_can_be_read_is_read(ward, kind):
    dataset, report = ward(READ[kind])
    assert np.allclose(dataset.x.numpy(), EXPECTED[:, :4], rtol=1e-6)
    assert dataset.y.tolist() == EXPECTED[:, 4].tolist()
    assert set(report["missing"].values()) == {0}


# In a name of a column: a sign beyond ASCII in three encodings.
NAMED = {
    codec: text(header=("größe", *COLUMNS[1:])).encode(codec)
    for codec in ("utf-8", "latin-1", "utf-16")
}


@pytest.mark.parametrize("codec", NAMED)
def test_names_beyond_ascii(ward, codec):
    renamed = {"größe" if name == "age" else name: one for name, one in FEATURES.items()}
    assert np.allclose(ward(NAMED[codec], features=renamed)[0].x.numpy(), EXPECTED[:, :4])


@pytest.mark.parametrize("word", EMPTY)
def test_empty_cells_are_missing(ward, word):
    dataset, report = ward(EMPTY[word])
    assert report["missing"] == {"age": 0, "glucose": 0, "bmi": 0, "crp": 1}
    assert np.isnan(dataset.x[2, 3].item())


@pytest.mark.parametrize("word", [*WORDS, "<0.2", ">300"])
def test_what_a_schema_names_is_missing(ward, word):
    named = FEATURES["crp"].model_copy(update={"missing": [word, -1]})
    report = ward(text(cell(2, "crp", word)), features={**FEATURES, "crp": named})[1]
    assert report["missing"]["crp"] == 1


JARGON = re.compile(r"codec|0x|Traceback|ordinal not|ParserError|Errno|\bbyte\b (?!without)")


def the_one_line(read, content):
    with pytest.raises(BadInput) as caught:
        read(content)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("ward.csv: ") for line in lines)
    assert not JARGON.search(str(caught.value))
    assert len(lines) == 1  # one fault, not a string of its consequences
    return lines[0]


@pytest.mark.parametrize(("name", "wrong", "said"), CELLS)
def test_a_wrong_cell_is_one_line_that_says_what_would_be_right(ward, name, wrong, said):
    quoted = f'"{wrong}"' if "," in wrong else wrong
    line = the_one_line(ward, text(cell(2, name, quoted)))
    assert line.startswith(f"ward.csv: line 4, column {name!r}: ")
    assert said in line
    assert wrong in line or repr(wrong) in line


@pytest.mark.parametrize("kind", FAULTS)
def test_a_wrong_file_is_one_line_that_says_where(ward, kind):
    content, said = FAULTS[kind]
    assert said in the_one_line(ward, content)


@pytest.mark.parametrize("kind", SAID)
def test_what_no_reader_can_see_is_asked(ward, tmp_path, kind):
    content, said = SAID[kind]
    (tmp_path / "asked.csv").write_text(content)
    init("asked.csv", "outcome", folder=tmp_path)
    assert said in (tmp_path / "docs/data/asked-questions.md").read_text()


def test_equal_records_are_counted_and_stay_together(ward):
    dataset, report = ward(SAID["same values, other outcome"][0])
    assert report["equal_rows"] == 120
    assert dataset.together[:60].tolist() == dataset.together[60:].tolist()


def test_a_constant_column_is_named(ward):
    dataset, _ = ward(SAID["constant column"][0])
    assert Columns.of(dataset).constant == {"crp": 3.0}


def test_all_faults_are_told_at_once(ward):
    rows = cell(2, "crp", "?")
    rows[5][0], rows[9][1], rows[11][4] = "old", "999", "7"
    with pytest.raises(BadInput) as caught:
        ward(text(rows))
    places = [re.search(r"line (\d+)", line)[1] for line in str(caught.value).splitlines()]
    assert places == ["4", "7", "11", "13"]
