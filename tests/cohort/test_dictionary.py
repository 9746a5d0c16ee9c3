"""What REDCap or a code book says of a column is what the proposal takes over."""

import pytest

from cohort.redcap import FIELDS, HEADERS, dictionary, field
from pipeline.cohort.dictionary import ADDED, read_dictionary
from pipeline.files import BadInput


@pytest.fixture
def read(tmp_path):
    def reader(content):
        path = tmp_path / "book.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_dictionary(path, "book.csv")

    return reader


@pytest.fixture
def complaint(read):
    def answer(content):
        with pytest.raises(BadInput) as caught:
            read(content)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return answer


def redcap(*fields):
    return dictionary(HEADERS, (field("record_id"), *fields))


def test_both_spellings_say_the_same(read):
    pages, api = read(dictionary(HEADERS.values())), read(dictionary(HEADERS))
    assert pages == api
    # Three boxes for one field, none for the text alone; whether each of two forms is complete.
    assert len(pages) == len(FIELDS) - 1 + 2 + 2 + len(ADDED)


def test_what_a_project_says(read):
    known = read(dictionary(HEADERS.values()))
    assert [name for name, entry in known.items() if entry.first] == ["record_id"]
    assert known["surname"].ignored == "its dictionary calls it an identifier"
    assert known["visit_date"].ignored == "dates"
    assert known["visit_date"].lower is None
    assert known["comment"].ignored
    assert "thanks" not in known
    glucose = known["glucose"]
    assert (glucose.kind, glucose.lower, glucose.upper, glucose.step) == ("integer", 40, 450, 1)
    assert glucose.label == "Glucose, 2 h (mg/dL)"
    pressure = known["blood_pressure"]
    assert (pressure.label, pressure.unit) == ("Diastolic pressure", "mmHg")
    assert (pressure.kind, pressure.lower, pressure.upper) == ("real", 20, None)
    assert (known["pedigree"].kind, known["pedigree"].step) == ("real", 0.001)
    assert known["bmi"].formula == "round([weight]/([height]/100)^2,1)"
    assert known["bmi"].kind is None
    assert known["insulin"].condition == "[glucose] > 0"
    assert known["site"].levels == {"1": "North", "2": "South", "3": "River, the old one"}
    assert known["history___2"].levels == {"0": "Unchecked", "1": "Checked"}
    assert known["history___2"].label == "Diabetes of: Father"
    assert known["smoker"].levels == {"0": "No", "1": "Yes"}
    assert known["visit_complete"].ignored
    assert known["redcap_event_name"].ignored


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("1, Yes | 2, No", {"1": "Yes", "2": "No"}),
        ("1,Yes|2,No", {"1": "Yes", "2": "No"}),
        ("a, one, or two | b, <i>none</i> of &lt; 3", {"a": "one, or two", "b": "none of < 3"}),
        ("1, A | 2, B | ", {"1": "A", "2": "B"}),
        ("01, A | -1, B |1.5,", {"01": "A", "-1": "B", "1.5": "1.5"}),
    ],
)
def test_choices(read, text, levels):
    known = read(redcap(field("x", "radio", choices=text)))
    assert known["x"].levels == levels
    assert list(known["x"].levels) == list(levels)


def test_boxes_are_columns_of_their_own(read):
    known = read(redcap(field("x", "checkbox", choices="1, One | -1, Minus | A b, Named")))
    assert [name for name in known if name.startswith("x")] == ["x___1", "x____1", "x___a_b"]


@pytest.mark.parametrize(
    ("validation", "kind", "step"),
    [
        ("integer", "integer", 1.0),
        ("number", "real", None),
        ("number_1dp", "real", 0.1),
        ("number_4dp", "real", 0.0001),
        ("number_2dp_comma_decimal", "real", 0.01),
        ("", None, None),
    ],
)
def test_validation_says_kind_and_step(read, validation, kind, step):
    entry = read(redcap(field("x", validation=validation, low="1,5", high="today")))["x"]
    assert (entry.kind, entry.step) == (kind, step)
    assert (entry.lower, entry.upper) == ((1.5, None) if kind else (None, None))


@pytest.mark.parametrize("validation", ["date_dmy", "datetime_seconds_ymd", "time", "email", "mrn"])
def test_what_is_no_measurement_is_left_out(read, validation):
    assert read(redcap(field("x", validation=validation)))["x"].ignored


def test_a_slider_has_its_usual_ends(read):
    known = read(redcap(field("x", "slider"), field("y", "slider", high="10")))
    assert (known["x"].lower, known["x"].upper) == (0, 100)
    assert (known["y"].lower, known["y"].upper) == (0, 10)


def test_a_wrong_choice_is_named(complaint):
    assert complaint(redcap(field("x", "radio", choices="1 Yes | 2, No"))) == (
        "book.csv: line 3: choice '1 Yes' has no code; choices are written `1, Yes | 2, No`"
    )
    twice = complaint(redcap(field("x", "radio", choices="1, A | 1, B")))
    assert "line 3: code '1' stands for two choices" in twice
    assert "line 4: 'x' is described twice" in complaint(redcap(field("x"), field("x")))


# --- code books


BOOK = """Variable;Description;Type;Units;Min;Max;Step;Values;Missing codes;mutable;sensitive;PHI
age;Age at visit;integer;years;18;110;1;;-9;no;yes;
crp;C-reactive protein;number;mg/L;0,1;;0,1;;999|-1;yes;;
sex;;factor;;;;;1=male, 2=female;9;;;
nyha;NYHA class;ordered;;;;;"I; II; III";;;;
who;Name;;;;;;;;;;x
seen;;date;;;;;;;;;
"""


def test_a_code_book_in_the_words_of_its_owner(read):
    known = read(BOOK)
    age = known["age"]
    assert (age.kind, age.lower, age.upper, age.step) == ("integer", 18, 110, 1)
    assert (age.mutable, age.private, age.missing, age.unit) == (False, True, ("-9",), "years")
    crp = known["crp"]
    assert (crp.kind, crp.lower, crp.upper, crp.step) == ("real", 0.1, None, 0.1)
    assert (crp.missing, crp.mutable, crp.private) == (("999", "-1"), True, None)
    assert known["sex"].levels == {"1": "male", "2": "female"}
    assert (known["nyha"].kind, list(known["nyha"].levels)) == ("ordinal", ["I", "II", "III"])
    assert known["who"].ignored == "its code book calls it an identifier"
    assert known["seen"].ignored == "dates"
    assert not any(entry.first for entry in known.values())


@pytest.mark.parametrize(
    ("book", "said"),
    [
        ("a,b\nx,y\n", "neither a dictionary of REDCap"),
        ("name,min\nage,old\n", "line 2: lower: 'old' is not a number"),
        ("name,min,max\nage,9,3\n", "line 2: the least value 9 must be below the largest 3"),
        ("name,step\nage,0\n", "line 2: step must be above 0, not '0'"),
        ("name,type\nage,intger\n", "line 2: kind 'intger'; did you mean 'integer'?"),
        ("name,mutable\nage,perhaps\n", "line 2: mutable: 'perhaps' is neither yes nor no"),
        ("name,levels\nsex,1=m;1=f\n", "line 2: level '1' occurs twice"),
        ("name,unit\nage,years\nage,y\n", "line 3: 'age' is described twice"),
    ],
)
def test_a_wrong_code_book_is_named_by_line(complaint, book, said):
    assert said in complaint(book)
