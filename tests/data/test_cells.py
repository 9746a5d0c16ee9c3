"""A table's cells are the same however it is written; what cannot be read is named by line."""

import gzip
import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.data.cells import read_cells
from pipeline.data.numerals import not_a_number, number_text, numbers
from pipeline.files import BadInput
from workbook import DAY, OWN_DAY, OWN_NUMBER, Styled, workbook

HEADER = ("age", "glucose", "bmi", "ill")
ROWS = (
    ("50", "148", "33.6", "yes"),
    ("31", "", "26.6", "no"),
    ("32", "183", "?", "yes"),
    ("41", "99", "22.25", "no"),
)


def as_found(**given):
    return SimpleNamespace(
        **{"separator": None, "decimal": None, "encoding": None, "names": None} | given
    )


def joined(header=HEADER, rows=ROWS, separator=",", end="\n"):
    return "".join(separator.join(row) + end for row in (header, *rows) if row)


def comma(cell):
    return cell.replace(".", ",")


@pytest.fixture
def read(tmp_path):
    def reader(content, number_columns=False, **given):
        path = tmp_path / "ward.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_cells(path, "ward.csv", as_found(**given), number_columns=number_columns)

    return reader


@pytest.fixture
def complaint(read):
    def answer(content, **given):
        with pytest.raises(BadInput) as caught:
            read(content, **given)
        line = str(caught.value)
        assert line.startswith("ward.csv: ")
        assert "\n" not in line
        return line.removeprefix("ward.csv: ")

    return answer


PLAIN = joined()
SPELLINGS = {
    "plain": PLAIN,
    "CRLF": joined(end="\r\n"),
    "CR": joined(end="\r"),
    "no line end at the end": PLAIN.rstrip("\n"),
    "semicolon": joined(separator=";"),
    "tab": joined(separator="\t"),
    "bar": joined(separator="|"),
    "announced separator": "sep=;\n" + joined(separator=";"),
    "byte order mark": "\ufeff" + PLAIN,
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16 without mark": PLAIN.encode("utf-16-le"),
    "UTF-16, big end first": PLAIN.encode("utf-16-be"),
    "quoted": joined(
        tuple(f'"{c}"' for c in HEADER), [tuple(f'"{c}"' for c in row) for row in ROWS]
    ),
    "single quotes": joined(rows=[tuple(f"'{c}'" for c in row) for row in ROWS]),
    "blanks round cells": joined(tuple(f" {c} " for c in HEADER), separator=" , "),
    "hard blanks round cells": joined(tuple(f"\u00a0{c}" for c in HEADER)),
    "blank lines": PLAIN.replace("31,", "\n  \n31,") + "\n\n",
    "rows of separators": PLAIN + ",,,\n,,,\n",
    "separator at every end": joined(end=",\n"),
    "seven separators at every end": joined(end=",,,,,,,\n"),
    "gzip": gzip.compress(PLAIN.encode(), mtime=0),
    "numbered by pandas": pd.read_csv(
        io.StringIO(PLAIN), dtype=str, keep_default_na=False
    ).to_csv(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_table_in_every_spelling(read, spelling):
    cells = read(SPELLINGS[spelling])
    assert cells.header == HEADER
    for column, expected in zip(HEADER, zip(*ROWS, strict=True), strict=True):
        assert cells.columns[column].tolist() == list(expected)
        assert cells.columns[column].dtype == object
    assert cells.place == "line"
    assert cells.decimal == "."
    assert cells.lines.dtype == np.int64


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (PLAIN, [2, 3, 4, 5]),
        ("sep=,\n" + PLAIN, [3, 4, 5, 6]),
        (PLAIN.replace("31,", "\n\n31,"), [2, 5, 6, 7]),
        (PLAIN.replace("\n", "\r"), [2, 3, 4, 5]),
        (PLAIN.replace("no", '"no, \nnot yet"', 1), [2, 3, 5, 6]),
        (PLAIN.replace("yes", "a form feed \f or \x85 or \u2028 is no line end", 1), [2, 3, 4, 5]),
    ],
)
def test_lines_are_those_of_an_editor(read, content, lines):
    cells = read(content)
    assert cells.lines.tolist() == lines
    assert cells.where(2) == f"line {lines[2]}"


def test_a_cell_over_two_lines_is_one_text(read):
    content = 'age,"glucose\r\n(mg/dL)",note,ill\r\n50,148,"seen\r\ntwice",1\r\n31,,,0\r\n'
    cells = read(content)
    assert cells.header == ("age", "glucose (mg/dL)", "note", "ill")
    assert cells.columns["note"].tolist() == ["seen twice", ""]
    assert cells.lines.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("codec", "text", "taken"),
    [
        ("latin-1", "Größe", "Windows-1252 (Latin-1)"),
        ("cp1252", "Größe €", "Windows-1252 (Latin-1)"),
        ("latin-1", "Größe\x81", "Latin-1"),
        ("utf-8", "Größe", None),
        ("utf-16", "Größe", "UTF-16"),
    ],
)
def test_the_encoding_is_found_out_and_said(read, codec, text, taken):
    cells = read(joined((text, *HEADER[1:])).encode(codec))
    assert cells.header[0] == text
    assert cells.found == ((f"encoding {taken}",) if taken else ())
    assert read(joined((text, *HEADER[1:])).encode(codec), encoding=codec).header[0] == text


def test_the_default_of_a_european_spreadsheet(read):
    cells = read(joined(rows=[map(comma, row) for row in ROWS], separator=";"))
    assert cells.decimal == ","
    assert cells.found == ("separator a semicolon", "decimal comma")
    assert cells.columns["bmi"].tolist() == ["33,6", "26,6", "?", "22,25"]  # as its owner sees it
    assert np.array_equal(
        numbers(cells.columns["bmi"], cells.decimal), [33.6, 26.6, np.nan, 22.25], equal_nan=True
    )


@pytest.mark.parametrize(
    ("values", "decimal"),
    [
        (["1,5", "2,25"], ","),
        (["0,125", "1,250"], ","),
        (["1,234", "2,345"], "."),  # thousands, or not: nobody can know
        (["1,234", "2,3"], ","),
        (["1,5", "2.5"], "."),
        (["12,345,678", "1"], "."),
        (["a,b", "c"], "."),
        (["05.03.2024", "1,5"], ","),
    ],
)
def test_a_decimal_comma_is_taken_only_where_it_can_be_nothing_else(read, values, decimal):
    content = "x;ill\n" + "".join(f"{value};1\n" for value in values)
    assert read(content).decimal == decimal
    assert read(content, decimal=".").decimal == "."


def test_what_is_given_is_not_found_out(read):
    assert read("a;b,c\n1;2,5\n", separator=",").header == ("a;b", "c")
    assert read("a\tb\n1\t2\n", separator="tab").header == ("a", "b")
    cells = read(joined((), ROWS), names=list(HEADER))
    assert cells.header == HEADER
    assert cells.lines.tolist() == [1, 2, 3, 4]
    assert read(PLAIN, names=list(HEADER)).lines.tolist() == [2, 3, 4, 5]


HEADERLESS = {
    "numbers": joined((), ROWS),
    "texts alone": "'40-49',premeno,left\n'50-59',ge40,left\n'40-49',ge40,right\n",
    "a date": "2024-01-05,no,a\n2024-01-06,yes,b\n",
    "missing codes": "?,no,x\n5,yes,y\n6,no,z\n",
    "blanks between": "1 0.5 no\n2  0.7 yes\n3 0.1 no\n",
}


@pytest.mark.parametrize("kind", HEADERLESS)
def test_a_file_without_header_is_seen(read, complaint, kind):
    said = complaint(HEADERLESS[kind])
    assert said.startswith("line 1: looks like a record, not a header (")
    assert "reading.names" in said
    cells = read(HEADERLESS[kind], number_columns=True)
    assert cells.header[0] == "column 1"
    assert len(cells.lines) == len(HEADERLESS[kind].splitlines())
    assert "no header: columns are numbered" in cells.found


@pytest.mark.parametrize(
    "content",
    [
        "Na,K,ill\n140,4.1,0\n138,4.0,1\n",  # sodium is no missing value
        "sex,stage,ill\nm,I,no\nf,II,yes\n",
        "x1,x2,y\n1,2,0\n3,4,1\n",
        "no,yes,ill\n1,2,no\n3,4,yes\n",
    ],
)
def test_a_header_is_taken_for_one(read, content):
    assert read(content).header == tuple(content.split("\n")[0].split(","))


def test_columns_without_a_name_keep_their_place(read):
    cells = read("age,,ill,\n50,s,1,\n31,,0,\n")
    assert cells.header == ("age", "column 2", "ill")
    assert cells.unnamed == ("column 2",)
    assert read(",age,ill\n7,50,1\n3,31,0\n").unnamed == ("column 1",)  # no counter
    assert read(",age,ill\n1,50,1\n2,31,0\n").header == ("age", "ill")
    assert read("column 2,,ill\n1,x,0\n2,y,1\n").header == ("column 2", "column 2'", "ill")


FAULTS = [
    ("", "the file is empty; expected a header and records"),
    ("\n \n", "the file is empty"),
    (",,\n", "the file is empty"),
    ("age,ill\n", "a header but no records"),
    ("age\n50\n31\n", "line 1: only one column; cells are to be separated by a comma"),
    (PLAIN.replace("31,", "31,7,"), "line 3: 5 cells, but the header names 4 columns; is there a"),
    (PLAIN + "Total: 4\n", "line 6: 1 cell, but the header names 4 columns; is this a footer?"),
    (PLAIN.replace("31,,", "31,"), "line 3: 3 cells, but the header names 4 columns"),
    (PLAIN.replace("33.6,yes", "33.6"), "line 2: 3 cells, but the header names 4 columns"),
    ("# of the ward\n" + PLAIN, "line 1: one cell, but the rest has 4 columns; is this a comment?"),
    ("Ward 7\n" + PLAIN, "line 1: one cell, but the rest has 4 columns; is this a title?"),
    ("Ward 7,,,\n" + PLAIN, "line 1: one cell, but the rest has 4 columns; is this a title?"),
    (PLAIN.replace("31,", "#31\n31,"), "line 3: looks like a comment; take it out"),
    ("<<<<<<< HEAD\n" + PLAIN, "line 1: '<<<<<<<' is a mark of a merge in git"),
    (PLAIN + "=======\n" + PLAIN, "line 6: '=======' is a mark of a merge"),
    (PLAIN + PLAIN, "line 6: repeats the header"),
    (joined(("age", "bmi", "bmi", "ill")), "line 1: column 'bmi' occurs 2 times (as columns 2, 3)"),
    (PLAIN.replace("yes", '"yes', 1), "line 2: a quoted cell goes on to line 6; close the quote"),
    (PLAIN.replace("50", '"50', 1), "line 2: a quoted cell goes on to line 6; close the quote"),
    (PLAIN.replace("yes", '"yes', 1).replace("22.25,no", '22.25,no"'), "line 2: a quoted cell"),
    (PLAIN.replace("22.25,no", '22.25,"no'), "line 5: a quoted cell"),
    (PLAIN.replace("148", "1\x0048"), "line 2: holds a byte without a sign (NUL)"),
    (
        joined(rows=[(*row, "") for row in ROWS]),
        "line 2: 5 cells, but the header names 4 columns (4",
    ),
    (joined(rows=[(*row, "") for row in ROWS]), "do the records end with a separator"),
    (joined(rows=[(f"{i}", *row) for i, row in enumerate(ROWS)]), "lack the name of a column"),
    (joined(rows=[map(comma, row) for row in ROWS]), "such as a decimal comma? Put it in quotes"),
    (
        (PLAIN + "Größe,1,1,é\n").encode() + b"\xf6,1,1,0\n",
        "line 7: holds a sign that is not UTF-8",
    ),
    (b"PK\x03\x04 a zip", "this is a zip archive, no workbook; unpack it"),
    (b"\xd0\xcf\x11\xe0 old", "this is an Excel file of the old kind (.xls); save it as .xlsx"),
    (
        gzip.compress(PLAIN.encode(), mtime=0)[:-9],
        "begins like a file of gzip, but is damaged or cut off",
    ),
    (b"PAR1 nothing more", "a Parquet file, but damaged or cut off"),
    ('[{"age": 50, "ill": 1}]', "this is JSON; export the table as CSV"),
    ("@relation ward\n@data\n1,2\n", "this is an ARFF or KEEL file; export the table as CSV"),
    ("<html><table></table></html>", "this is a web page or XML; export the table as CSV"),
    (
        b"\x80\x04\x95 a pickle",
        "this is a pickle, and none is ever loaded; export the table as CSV",
    ),
    ("\ufeff".encode("utf-16-le") + b"a", "begins like UTF-16, but is cut off or damaged"),
]


@pytest.mark.parametrize(("content", "said"), FAULTS)
def test_the_line_at_fault_is_named(complaint, content, said):
    assert said in complaint(content)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"separator": ";"},
            "only one column when separated by ';' (`reading.separator`); by a comma",
        ),
        ({"separator": ";;"}, "reading.separator: must be one sign, or `tab`, not ';;'"),
        ({"encoding": "klingon"}, "reading.encoding: 'klingon' is no encoding"),
        ({"encoding": "ascii"}, "line 6: cannot be read as ascii (`reading.encoding`)"),
        ({"names": ["a", "b"]}, "line 1: 4 cells, but `reading.names` names 2 columns"),
        ({"names": ["a", "b", "c", "d"]}, "line 1: looks like a header, but `reading.names`"),
    ],
)
def test_what_the_configuration_says_wrongly_is_named(complaint, given, said):
    assert said in complaint(PLAIN + "7,7,7,é\n", **given)


def test_places_that_are_no_file(tmp_path):
    for path, said in ((tmp_path / "none.csv", "x: not found"), (tmp_path, "x: a folder")):
        with pytest.raises(BadInput, match=said):
            read_cells(path, "x", as_found())


# --- Parquet and XLSX


def parquet(frame, **options):
    out = io.BytesIO()
    frame.to_parquet(out, **options)
    return out.getvalue()


def test_parquet(read):
    frame = pd.DataFrame(
        {
            "age": pd.array([50, None, 32], dtype="Int64"),
            "bmi": np.array([33.6, np.nan, 0.1 + 0.2]),
            "crp": np.array([0.1, 2.5, 3], dtype=np.float32),
            "sex": pd.Categorical(["m", None, "f"]),
            "smoker": [True, False, None],
            "seen": pd.to_datetime(["2024-01-05", "2024-02-01 12:30", None], format="mixed"),
        },
        index=[7, 3, 1],
    )
    cells = read(parquet(frame))
    assert cells.place == "record"
    assert cells.lines.tolist() == [1, 2, 3]
    assert cells.columns["age"].tolist() == ["50", "", "32"]
    assert cells.columns["bmi"].tolist() == ["33.6", "", "0.30000000000000004"]
    assert cells.columns["crp"].tolist() == ["0.1", "2.5", "3.0"]  # as float32, not as its double
    assert cells.columns["sex"].tolist() == ["m", "", "f"]
    assert cells.columns["smoker"].tolist() == ["True", "False", ""]
    assert cells.columns["seen"].tolist() == ["2024-01-05 00:00:00", "2024-02-01 12:30:00", ""]
    assert cells.unnamed == ("column 7",)  # the index of pandas
    assert len(read(parquet(frame.reset_index(drop=True))).header) == 6
    assert read(parquet(frame, compression="gzip")).header == cells.header


def test_parquet_that_is_no_table(complaint):
    nested = pd.DataFrame({"a": [[1, 2], [3]], "b": [1, 2]})
    assert "column 'a' holds list" in complaint(parquet(nested))
    assert complaint(parquet(nested[:0])) == "columns but no records"


SHEET = [
    ("age", "bmi", "seen", "ill"),
    (50, 33.6, Styled((45296, DAY)), "yes"),
    (31, 0.1 + 0.2, Styled((45323.5, OWN_DAY)), None),
    (None, Styled((22.25, OWN_NUMBER)), None, True),
]


def test_xlsx(read):
    cells = read(workbook(("ward", SHEET), ("notes", [("by whom",)])))
    assert cells.place == "row"
    assert cells.lines.tolist() == [2, 3, 4]
    assert cells.columns["age"].tolist() == ["50", "31", ""]
    assert cells.columns["bmi"].tolist() == ["33.6", "0.3", "22.25"]  # what the sheet shows
    assert cells.columns["seen"].tolist() == ["2024-01-05", "2024-02-01 12:00:00", ""]
    assert cells.columns["ill"].tolist() == ["yes", "", "TRUE"]
    assert cells.found == ("sheet 'ward'; not read: 'notes'",)


def test_xlsx_with_a_hidden_sheet_an_empty_row_and_empty_columns(read, complaint):
    sheets = ("lists", [("m",), ("f",)]), ("ward", SHEET)
    assert read(workbook(*sheets, hidden=["lists"])).header == SHEET[0]
    assert read(workbook(("ward", SHEET), gaps=[2])).lines.tolist() == [2, 4, 5]
    shifted = [(None, None, *row) for row in SHEET]
    assert read(workbook(("ward", shifted))).header == SHEET[0]
    wide = [(*(f"v{i}" for i in range(30)),), (*range(30),), (*range(1, 31),)]
    assert read(workbook(("ward", wide))).columns["v27"].tolist() == ["27", "28"]
    titled = [("Ward 7",), (), *SHEET]
    assert complaint(workbook(("ward", titled))).startswith("row 1: one cell, but the rest has 4")
    assert "sheet 'ward' is empty" in complaint(workbook(("ward", [])))
    assert "every sheet is hidden" in complaint(workbook(("ward", SHEET), hidden=["ward"]))
    assert "the workbook cannot be read" in complaint(workbook(("ward", SHEET))[:-30])


# --- numbers


@pytest.mark.parametrize(
    ("cell", "decimal", "text"),
    [
        ("45.0", ".", "45.0"),
        ("1e-1", ".", "1e-1"),
        (".5", ".", ".5"),
        ("+7", ".", "+7"),
        ("\u22125", ".", "-5"),
        ("29,2", ",", "29.2"),
        ("29,2", ".", None),
        ("1.234,5", ",", None),
        ("29.2", ",", None),
        ("1_000", ".", None),
        ("inf", ".", None),
        ("nan", ".", None),
        ("0x1A", ".", None),
        ("\u0661", ".", None),
        ("", ".", None),
        ("-", ".", None),
    ],
)
def test_a_number_is_what_people_write_as_one(cell, decimal, text):
    assert number_text(cell, decimal) == text
    assert np.isnan(numbers(np.array([cell], dtype=object), decimal)[0]) == (text is None)


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("?", "`missing: ['?']`"),
        ("#DIV/0!", "`missing: ['#DIV/0!']`"),
        ("unk", "not measured"),
        ("<0.2", "but a limit"),
        ("> 300", "but a limit"),
        ("≥ 90", "but a limit"),
        ("45%", "take the % out"),
        ("120 mg/dL", "take the unit out"),
        ("36.6°C", "take the unit out"),
        ("1 234", "take the blank out"),
        ("1\u00a0234", "take the blank out"),
        ("1,234", "between thousands"),
        ("29,2", "write a point here"),
        ("2024-01-05", "but a date"),
        ("5.3.2024", "but a date"),
        ("-inf", "is infinite"),
        ("high", "is not a number"),
    ],
)
def test_what_would_be_right_is_said(cell, hint):
    assert number_text(cell) is None
    assert hint in not_a_number(cell)


def test_a_point_among_decimal_commas():
    assert "write a comma" in not_a_number("29.2", ",")
