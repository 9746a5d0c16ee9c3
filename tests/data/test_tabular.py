"""Records are read bit for bit; a wrong file is answered with one line that says where."""

import numpy as np
import pytest
import torch
import yaml

from pipeline.config import DataConfig, FeatureConfig
from pipeline.data import pieces
from pipeline.data.raw import read_raw
from pipeline.data.schema import Schema, load_dataset, load_schema, save_dataset
from pipeline.data.tabular import census_in_words, checked_values
from pipeline.files import BadInput
from tiny import ROOT, records, same_bits


def column(**changes):
    usual = {
        "unit": "years",
        "kind": "integer",
        "lower": 0.0,
        "upper": 120.0,
        "step": 1.0,
        "missing": [],
        "mutable": True,
        "private": False,
        "center": 1.0,
        "scale": 1.0,
        "source": "made up",
        "error": None,
        "error_source": None,
    }
    return FeatureConfig(**{**usual, **changes})


FEATURES = {
    "age": column(),
    "glucose": column(unit="mg/dL", lower=40.0, upper=450.0, missing=[0.0]),
    "bmi": column(unit="kg/m2", kind="real", lower=12.0, upper=80.0, step=0.1),
}
CFG = DataConfig(
    name="ward",
    title="A ward",
    source="file",
    file="ward.csv",
    target="ill",
    classes=["healthy", "diabetes"],
    auroc_ceiling=None,
    bands={},
    features=FEATURES,
)
SCHEMA = Schema.of(CFG)
HEADER = "age,glucose,bmi,ill"
ROWS = ("50,148,33.6,1", "31,0,26.6,0", "32,183,,1")
GOOD = [[50, 148, 33.6], [31, np.nan, 26.6], [32, 183, np.nan]]


def text(*rows, header=HEADER):
    return "\n".join([header, *rows]) + "\n"


def with_row(row):
    """A file whose line 3 is `row`."""
    return text(ROWS[0], row, *ROWS[1:])


IN_PIECES = pytest.param(1, id="in pieces", marks=pytest.mark.slow)


@pytest.fixture(params=[pytest.param(pieces.PIECE, id="whole"), IN_PIECES])
def read(request, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", request.param)  # bytes: a piece is a line

    def reader(content, cfg=CFG):
        (tmp_path / "ward.csv").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        return read_raw(cfg, tmp_path)

    return reader


@pytest.fixture
def complaint(read):
    def answer(content):
        with pytest.raises(BadInput) as caught:
            read(content)
        line = str(caught.value)
        assert line.startswith("ward.csv: ")
        assert "\n" not in line
        return line.removeprefix("ward.csv: ")

    return answer


def same(x, values):
    return same_bits(x, torch.tensor(values, dtype=torch.float32))


# ---- good files ----


def test_reads_clinical_units_and_reports_counts(read):
    dataset, report = read(text(*ROWS, "90,110,20.25,0"))
    assert same(dataset.x, [*GOOD, [90, 110, 20.25]])
    assert dataset.y.tolist() == [1, 0, 1, 0]
    assert dataset.schema == SCHEMA
    assert report == {
        "records": 4,
        "positives": 2,
        "missing": {"age": 0, "glucose": 1, "bmi": 1},
        "off_grid": {"age": 0, "glucose": 0, "bmi": 1},
        "patients": 4,
        "sites": 0,
        "equal_rows": 0,
        "finer_step": {"bmi": 0.05},
    }


def test_equal_records_and_values_between_steps_are_told_in_words(read):
    report = read(text(*ROWS, "90,110,20.25,0", ROWS[0]))[1]
    assert census_in_words(report) == [
        "2 records equal another one; they are kept, on one side of every split",
        "values between the steps of their grid: bmi 1 (step 0.05 holds all)",
    ]
    assert census_in_words(read(text(*ROWS))[1]) == []


def test_decimals_of_many_digits_are_on_their_grid(read):
    rows = [f"{20 + i},{100 + i},{12 + i / 10:.1f},{i % 2}" for i in range(100)]
    assert read(text(*rows))[1]["off_grid"] == {"age": 0, "glucose": 0, "bmi": 0}


@pytest.mark.parametrize("empty", ["", " ", "nan", "NaN", "NA", "na"])
def test_an_empty_cell_is_a_missing_measurement(read, empty):
    dataset, report = read(with_row(f"60,{empty},20,0"))
    assert dataset.x[1].isnan().tolist() == [False, True, False]
    assert report["missing"]["glucose"] == 2


def test_a_code_for_missing_counts_only_where_the_schema_says_so(read):
    dataset, _ = read(with_row("0,0,20,0"))
    assert same(dataset.x[1], [0, np.nan, 20])


GOOD_TEXT = text(*ROWS)


@pytest.mark.parametrize(
    "content",
    [
        GOOD_TEXT,
        GOOD_TEXT.rstrip("\n"),
        GOOD_TEXT.replace("\n", "\r\n"),
        "\ufeff" + GOOD_TEXT,
        '"age","glucose","bmi","ill"\n"50","148","33.6","1"\n"31","0","26.6","0"\n"32","183","","1"\n',
        text(
            "50 , 148,  33.6 , 1 ",
            " 31,0 ,26.6,0",
            "32,183, ,1 ",
            header=" age, glucose ,bmi , ill",
        ),
        text(' "50","148" ,33.6,1', *ROWS[1:]),
        text("5e1,148.0,33.60,1", *ROWS[1:]),
        text("1,50,148,33.6", "0,31,0,26.6", "1,32,183,", header="ill,age,glucose,bmi"),
    ],
    ids=[
        "plain",
        "no last newline",
        "CRLF",
        "BOM",
        "quoted",
        "blanks",
        "blanks and quotes",
        "other digits",
        "other order",
    ],
)
def test_the_same_records_however_they_are_written(read, content):
    dataset, _ = read(content)
    assert same(dataset.x, GOOD)
    assert dataset.y.tolist() == [1, 0, 1]


def test_saved_and_loaded_bit_for_bit(tmp_path):
    dataset = records(200, seed=0)
    dataset.x[0, 0], dataset.x[0, 1] = -0.0, torch.finfo(torch.float32).tiny
    save_dataset(dataset, tmp_path)
    loaded = load_dataset(tmp_path)
    assert same_bits(loaded.x, dataset.x)
    assert torch.equal(loaded.y, dataset.y)
    assert loaded.y.dtype == torch.int64
    assert loaded.schema == dataset.schema


def test_the_same_dataset_is_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_dataset(records(50, seed=0), tmp_path / name)
    for file in ("records.parquet", "schema.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("file", ["records.parquet", "schema.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_a_damaged_dataset_is_one_line(tmp_path, file, damage):
    save_dataset(records(50, seed=0), tmp_path)
    path = tmp_path / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40] if damage == "truncated" else b"")
    with pytest.raises(BadInput, match=rf"{file}: .*(dvc repro|not valid JSON)") as caught:
        load_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_records_of_another_schema_are_one_line(tmp_path):
    save_dataset(records(50, seed=0), tmp_path)
    schema = tmp_path / "schema.json"
    schema.write_text(schema.read_text().replace('"glucose"', '"sugar"'))
    with pytest.raises(
        BadInput, match=r"records\.parquet: cannot be read .*sugar.*; run `dvc repro prepare`"
    ) as caught:
        load_dataset(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"lower": 40.0', '"lower": "40"'), ('"target"', '"goal"'), ('"unit"', '"unti"')],
)
def test_a_damaged_schema_is_one_line(tmp_path, old, new):
    save_dataset(records(10, seed=0), tmp_path)
    path = tmp_path / "schema.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(
        BadInput, match=r"schema\.json: damaged .*; run `dvc repro prepare`"
    ) as caught:
        load_schema(tmp_path)
    assert "\n" not in str(caught.value)


# ---- bad files ----


def test_a_missing_file_says_how_to_fetch_it(tmp_path):
    with pytest.raises(BadInput) as caught:
        read_raw(CFG, tmp_path)
    said = "data.file is a path from the project's folder on, or one from / on"
    assert str(caught.value) == f"ward.csv: not found; {said}"
    with pytest.raises(BadInput, match=r"^data/pima\.csv: not found; `dvc pull data\.dvc` fetches"):
        read_raw(CFG.model_copy(update={"file": "data/pima.csv"}), tmp_path)


BAD_FILES = {
    "empty": ("", "the file is empty; expected a header and records"),
    "header only": (HEADER + "\n", "a header but no records"),
    "header only, no newline": (HEADER, "a header but no records"),
    "no header": ("50,148,33.6,1\n", "line 1: looks like a record, not a header"),
    "another file": (
        text("1,2", header="a,b"),
        "no column of the schema stands in the first line ('a', 'b')",
    ),
    "column missing": (
        text("50,33.6,1", header="age,bmi,ill"),
        "column 'glucose' is missing; the schema expects age, glucose, bmi, ill",
    ),
    "target missing": (
        text("50,148,33.6", header="age,glucose,bmi"),
        "column 'ill' is missing; the schema expects",
    ),
    "column doubled": (
        text("50,50,148,33.6,1", header=f"age,{HEADER}"),
        "line 1: column 'age' occurs 2 times (as columns 1, 2); keep one",
    ),
    "column doubled, with a blank": (
        text("50,50,148,33.6,1", header=f"age ,{HEADER}"),
        "line 1: column 'age' occurs 2 times (as columns 1, 2); keep one",
    ),
    "column misspelt": (
        text(*ROWS, header="age,glucos,bmi,ill"),
        "column 'glucos' is not in the schema; did you mean 'glucose'?",
    ),
    "column in capitals": (
        text(*ROWS, header="Age,glucose,bmi,ill"),
        "column 'Age' is not in the schema; did you mean 'age'?",
    ),
    "column too many": (
        text("7,50,148,33.6,1", header=f"ward,{HEADER}"),
        "column 'ward' is not in the schema; name it in data.ignore, or drop it",
    ),
    "not a number": (with_row("60,high,20,0"), "line 3, column 'glucose': 'high' is not a number"),
    "decimal comma": (
        with_row('60,90,"20,5",0'),
        "line 3, column 'bmi': '20,5' is not a number; others",
    ),
    "a truth value": (with_row("True,90,20,0"), "line 3, column 'age': 'True' is not a number"),
    "another code for missing": (
        with_row("60,?,20,0"),
        "line 3, column 'glucose': '?' is not a number",
    ),
    "infinite": (with_row("60,inf,20,0"), "line 3, column 'glucose': 'inf' is infinite"),
    "minus infinite": (
        with_row("-Infinity,90,20,0"),
        "line 3, column 'age': '-Infinity' is infinite",
    ),
    "overflow": (with_row("60,90,1e999,0"), "line 3, column 'bmi': '1e999' is infinite"),
    "too large": (
        with_row("60,451,20,0"),
        "line 3, column 'glucose': 451 is outside the plausible range 40 to 450 mg/dL",
    ),
    "too small": (
        with_row("60,90,11.9,0"),
        "line 3, column 'bmi': 11.9 is outside the plausible range 12 to 80 kg/m2",
    ),
    "negative": (
        with_row("-1,90,20,0"),
        "line 3, column 'age': -1 is outside the plausible range 0 to 120 years",
    ),
    "not whole": (with_row("60,90.5,20,0"), "line 3, column 'glucose': 90.5 is not a whole number"),
    "one class": (
        text("50,148,33.6,1", "60,90,20,1"),
        "column 'ill': only class 1; a model needs both classes",
    ),
    "the other class": (
        text("50,148,33.6,0", "60,90,20,0"),
        "column 'ill': only class 0; a model needs both classes",
    ),
    "target out of range": (
        with_row("60,90,20,2"),
        "line 3, column 'ill': '2' is not 0 (healthy) or 1 (diabetes)",
    ),
    "target negative": (
        with_row("60,90,20,-1"),
        "line 3, column 'ill': '-1' is not 0 (healthy) or 1 (diabetes)",
    ),
    "target between": (
        with_row("60,90,20,0.5"),
        "line 3, column 'ill': '0.5' is not 0 (healthy) or 1 (diabetes)",
    ),
    "target empty": (
        with_row("60,90,20,"),
        "line 3, column 'ill': '' is not 0 (healthy) or 1 (diabetes)",
    ),
    "target NaN": (
        with_row("60,90,20,nan"),
        "line 3, column 'ill': 'nan' is not 0 (healthy) or 1 (diabetes)",
    ),
    "target in words": (
        with_row("60,90,20,yes"),
        "line 3, column 'ill': 'yes' is not 0 (healthy) or 1 (diabetes)",
    ),
    "all missing": (
        text("50,0,33.6,1", "31,,26.6,0"),
        "column 'glucose': every value is missing; drop it from the schema",
    ),
    "no measurement": (
        with_row(",0,,0"),
        "line 3: no measurement; at least one of age, glucose, bmi must be known",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_line(complaint, name):
    content, said = BAD_FILES[name]
    assert complaint(content).startswith(said)


@pytest.mark.parametrize("row", range(3))
def test_the_line_is_the_one_that_an_editor_shows(complaint, row):
    rows = list(ROWS)
    rows[row] = "x,148,33.6,1"
    assert complaint(text(*rows)).startswith(f"line {row + 2}, column 'age'")
    assert complaint(text(*rows).replace("\n", "\r\n")).startswith(f"line {row + 2}, column 'age'")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(read):
    with pytest.raises(BadInput) as caught:
        read(text("50,148,33.6,1", "31,x,26.6,0", "32,y,99,1", "200,?,20,2", "33,x,20,0"))
    assert str(caught.value).split("\n") == [
        "ward.csv: line 3, 4, 6, column 'glucose': 'x' is not a number (3 in all)",
        "ward.csv: line 4, column 'bmi': 99 is outside the plausible range 12 to 80 kg/m2",
        "ward.csv: line 5, column 'age': 200 is outside the plausible range 0 to 120 years",
        "ward.csv: line 5, column 'glucose': '?' is not a number; if it means 'not measured', "
        "name it: `missing: ['?']`",
        "ward.csv: line 5, column 'ill': '2' is not 0 (healthy) or 1 (diabetes)",
    ]


def test_unknown_and_missing_columns_are_told_at_once(read):
    with pytest.raises(BadInput) as caught:
        read(text("1,50,148,1", header="ward,age,glucos,ill"))
    assert str(caught.value).split("\n") == [
        "ward.csv: column 'ward' is not in the schema; name it in data.ignore, or drop it",
        "ward.csv: column 'glucos' is not in the schema; did you mean 'glucose'?",
        "ward.csv: column 'bmi' is missing; the schema expects age, glucose, bmi, ill",
    ]


def test_a_cell_of_several_lines_does_not_shift_the_numbers(complaint):
    # The record begins on line 2, so the mistake in the next one stands on line 4.
    assert complaint('age,glucose,bmi,ill\n"50\n",148,33.6,1\n31,x,26.6,0\n').startswith(
        ("line 2", "line 4")
    )


def test_a_record_with_a_cell_too_many_is_named(complaint):
    assert "line 3" in complaint(with_row("60,90,20,0,0"))


@pytest.mark.parametrize(
    "rows", [["50,60,40,20,0", "51,61,41,21,1"], ["50,148,33.6,1,", "31,100,26.6,0,"]]
)
def test_a_cell_too_many_in_every_record_does_not_shift_the_columns(complaint, rows):
    line = complaint(text(*rows))
    assert "line 2" in line
    assert (
        "'ill'" not in line
    )  # the fourth cell of each record is whole; it is the fifth that has no column


def test_a_record_that_was_cut_off_is_not_a_missing_measurement(complaint):
    assert "line 3" in complaint(
        text("1,50,148,33.6", "0,31", "1,32,183,30", header="ill,age,glucose,bmi")
    )


def test_a_quote_that_never_ends_is_one_line(complaint):
    assert "string" in complaint(with_row('"60,90,20,0')) or "quote" in complaint(
        with_row('"60,90,20,0')
    )


# ---- equal records, patients, sites, times ----


@pytest.mark.parametrize(
    ("row", "again"),
    [
        ("60,90,20.5,0", "60,90,20.5,0"),
        ("60,,20.5,0", "60,,20.5,0"),
        ("60,0,,0", "60,0,,0"),
        ("60,90,20.5,0", "60.0, 90,20.50,0"),
        ("60,0,20.5,0", "60,,20.5,0"),
        ("60,90,20.5,0", "60,90,20.5,1"),
    ],
    ids=[
        "equal",
        "a cell missing in both",
        "a code and a cell missing",
        "written otherwise",
        "missing as code and as empty",
        "another diagnosis",
    ],
)
def test_equal_records_are_kept_counted_and_stay_together(read, row, again):
    dataset, report = read(text(ROWS[0], row, *ROWS[1:], again))
    assert (report["records"], report["equal_rows"], report["patients"]) == (5, 2, 5)
    assert dataset.together.tolist() == [0, 1, 2, 3, 1]
    assert dataset.patient.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("other", ["50,148,33.7,1", "50,148,,1"])
def test_patients_that_differ_in_one_value_are_different(read, other):
    dataset, report = read(text(*ROWS, other))
    assert (report["records"], report["equal_rows"]) == (4, 0)
    assert dataset.together.tolist() == [0, 1, 2, 3]


VISITS = CFG.model_copy(update={"group": "mrn", "site": "ward", "time": "day", "ignore": ["note"]})


def visits(*rows):
    return text(*rows, header=f"mrn,ward,day,note,{HEADER}")


def test_all_records_of_a_patient_and_their_equals_stay_together(read):
    dataset, report = read(
        visits(
            "B,north,2024-05-31,x,50,148,33.6,1",
            "A,south,2024-06-01,,31,100,26.6,0",
            "B,north,2024-06-02,,51,150,33.0,1",
            "C,south,2024-06-03,,31,100,26.6,0",
            "D,south,2024-06-03 12:00,,32,100,26.6,0",
        ),
        VISITS,
    )
    assert dataset.patient.tolist() == [0, 1, 0, 2, 3]
    assert dataset.together.tolist() == [0, 1, 0, 1, 2]  # A and C are equal
    assert dataset.schema.sites == ("north", "south")
    assert dataset.site.tolist() == [0, 1, 0, 1, 1]
    assert (dataset.time - dataset.time[0]).tolist() == [0, 1, 2, 3, 3.5]
    assert (report["patients"], report["sites"], report["equal_rows"]) == (4, 2, 2)
    assert dataset.schema.names == ("age", "glucose", "bmi")


def test_origins_are_saved_as_numbers_and_names_of_patients_nowhere(read, tmp_path):
    rows = ["Olga,north,1,,50,148,33.6,1", "Igor,north,2,,31,100,26.6,0"]
    dataset, _ = read(visits(*rows), VISITS)
    (tmp_path / "out").mkdir()
    save_dataset(dataset, tmp_path / "out")
    loaded = load_dataset(tmp_path / "out")
    for name, wanted in dataset.origins.items():
        assert torch.equal(loaded.origins[name], wanted)
    assert loaded.schema.sites == ("north",)
    for file in (tmp_path / "out").iterdir():
        assert b"Olga" not in file.read_bytes()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ["A,n,1,,50,148,33.6,1", "A,n,1,,50,148,33.6,1", "B,n,1,,31,100,26.6,0"],
            "line 3, column 'mrn': the same patient and the same record as before; remove one",
        ),
        (
            ["A,n,1,,50,148,33.6,1", ",n,1,,31,100,26.6,0"],
            "line 3, column 'mrn': empty: no patient",
        ),
        (["A,n,1,,50,148,33.6,1", "B,,1,,31,100,26.6,0"], "line 3, column 'ward': empty: no site"),
        (
            ["A,n,1,,50,148,33.6,1", "B,n,May,,31,100,26.6,0"],
            "line 3, column 'day': 'May' is no date like 2024-05-31",
        ),
    ],
    ids=["recorded twice", "no patient", "no site", "no date"],
)
def test_a_record_says_whose_it_is_where_and_when(read, rows, said):
    with pytest.raises(BadInput) as caught:
        read(visits(*rows), VISITS)
    assert str(caught.value).startswith(f"ward.csv: {said}")


def test_the_same_record_at_another_time_is_another_record(read):
    rows = ["A,n,1,,50,148,33.6,1", "A,n,2,,50,148,33.6,1", "B,n,1,,31,100,26.6,0"]
    assert read(visits(*rows), VISITS)[0].together.tolist() == [0, 0, 1]


# ---- levels and codes ----

LEVELS = {
    "sex": {"kind": "binary", "levels": {"F": "female", "M": "male"}},
    "thal": {"kind": "categorical", "levels": {3: "normal", 6: "fixed", 7: "reversible"}},
    "nyha": {"kind": "ordinal", "levels": {"I": "none", "II": "slight", "III": "marked"}},
    "code": {
        "kind": "categorical",
        "levels": {"01": "a", "1": "b", "2": "c"},
        "missing": ["?", -9],
    },
}
BY_LEVELS = CFG.model_copy(
    update={
        "features": {
            "age": column(missing=[-1, 999, "unknown"]),
            **{
                name: FeatureConfig(mutable=name == "nyha", private=False, source="-", **changes)
                for name, changes in LEVELS.items()
            },
        },
        "outcomes": {2: "healthy", 4: "diabetes", "x": "diabetes"},
    }
)
LEVELLED = "age,sex,thal,nyha,code,ill"


def test_levels_are_read_by_cell_or_label_and_codes_are_missing(read):
    rows = ["50,F,3,I,01,2", "999,M,7.0,III,1,4", "-1,female,6,slight,?,x", "unknown,m,,II,-9.0,4"]
    dataset, report = read(text(*rows, header=LEVELLED), BY_LEVELS)
    nan = np.nan
    assert same(
        dataset.x, [[50, 0, 0, 0, 0], [nan, 1, 2, 2, 1], [nan, 0, 1, 1, nan], [nan, 1, nan, 1, nan]]
    )
    assert dataset.y.tolist() == [0, 1, 1, 1]
    assert report["missing"] == {"age": 3, "sex": 0, "thal": 1, "nyha": 0, "code": 2}
    assert not any(report["off_grid"].values())


def test_a_cell_that_is_no_level_is_told_with_the_levels(read):
    rows = ["50,F,4,I,01,2", "60,M,7,IV,2,4"]
    with pytest.raises(BadInput) as caught:
        read(text(*rows, header=LEVELLED), BY_LEVELS)
    first, second = str(caught.value).split("\n")
    levels = "3 (normal), 6 (fixed), 7 (reversible)"
    assert first == f"ward.csv: line 2, column 'thal': '4' is no level: {levels}"
    assert second.startswith("ward.csv: line 3, column 'nyha': 'IV' is no level: I (none), ")


@pytest.mark.parametrize("outcome", [("0", "1"), ("healthy", "diabetes"), ("Healthy", "DIABETES")])
def test_the_outcome_may_be_its_classes_name(read, outcome):
    rows = [f"50,148,33.6,{outcome[1]}", f"31,100,26.6,{outcome[0]}"]
    assert read(text(*rows))[0].y.tolist() == [1, 0]


# ---- values that come from elsewhere ----


def test_checked_values_numbers_rows_as_its_caller_does():
    values = np.array([[50.0, 148.0, 33.6], [31.0, 0.0, 500.0]])
    with pytest.raises(BadInput, match=r"^records: line 1, column 'bmi': 500 is outside"):
        checked_values(values, SCHEMA, "records", first_line=0)


def test_checked_values_accepts_the_edges_of_a_range_and_what_is_missing():
    values = np.array([[0.0, 40.0, 12.0], [120.0, 450.0, 80.0], [np.nan, 0.0, 20.0]])
    checked = checked_values(values.copy(), SCHEMA, "records", first_line=0)
    np.testing.assert_array_equal(checked[:2], values[:2])
    assert np.isnan(checked[2]).tolist() == [True, True, False]


def test_every_record_without_a_measurement_is_named_and_age_is_none():
    """Missing as code or as empty cell; what nobody can forge is known of everybody."""
    schema = Schema.of(
        CFG.model_copy(update={"features": {**FEATURES, "age": column(mutable=False)}})
    )
    empty = np.array([[50.0, 0.0, np.nan], [50.0, 90.0, np.nan], [51.0, np.nan, np.nan]])
    with pytest.raises(BadInput, match=r"^records: line 0, 2: no measurement; .* \(2 in all\)"):
        checked_values(empty.copy(), schema, "records", first_line=0)
    checked_values(empty[1:2].copy(), schema, "records", first_line=0)


# ---- the two data sets of the house ----


def configured(name):
    return DataConfig(**yaml.safe_load((ROOT / "conf" / "data" / f"{name}.yaml").read_text()))


def test_breast_cancer_malignant_is_class_1():
    from sklearn.datasets import load_breast_cancer

    bundle = load_breast_cancer()
    dataset, report = read_raw(configured("breast_cancer"), ROOT)
    assert (report["records"], report["positives"]) == (569, 212)
    assert not any(report["missing"].values())
    assert list(bundle.target_names) == ["malignant", "benign"]
    np.testing.assert_array_equal(dataset.y.numpy() == 1, bundle.target == 0)
    np.testing.assert_array_equal(dataset.x.numpy(), bundle.data.astype(np.float32))


def test_a_column_of_the_schema_is_one_number_of_each_feature():
    assert SCHEMA.column("scale").tolist() == [feature.scale for feature in SCHEMA.features]
    assert SCHEMA.column("lower").dtype == torch.float64


def test_breast_cancer_columns_are_named_as_scikit_learn_orders_them():
    from sklearn.datasets import load_breast_cancer

    names = [name.replace(" ", "_") for name in load_breast_cancer().feature_names]
    assert list(configured("breast_cancer").features) == names


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "breast_cancr"}, "data.name: scikit-learn has no data set 'breast_cancr'"),
        ({"features": FEATURES}, "data.features: breast_cancer has 30 columns, the schema 3"),
    ],
)
def test_a_bundled_data_set_that_does_not_fit_is_one_line(change, said):
    with pytest.raises(BadInput) as caught:
        read_raw(configured("breast_cancer").model_copy(update=change), ROOT)
    assert str(caught.value).startswith(said)


@pytest.mark.skipif(
    not (ROOT / "data" / "pima.csv").exists(), reason="`dvc pull data.dvc` fetches it"
)
def test_pima_is_the_file_that_everybody_knows():
    dataset, report = read_raw(configured("pima"), ROOT)
    assert (report["records"], report["positives"]) == (768, 268)
    assert report["missing"] == {
        "pregnancies": 0,
        "glucose": 5,
        "blood_pressure": 35,
        "skin_thickness": 227,
        "insulin": 374,
        "bmi": 11,
        "diabetes_pedigree": 0,
        "age": 0,
    }
    assert not any(report["off_grid"].values())
    assert same(dataset.x[:1], [[6, 148, 72, 35, np.nan, 33.6, 0.627, 50]])
    assert dataset.y[:3].tolist() == [1, 0, 1]
