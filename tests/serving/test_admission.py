"""Who is admitted: what could stand in the clinic's file, whatever a client sends."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kinds
import mixed
import related
import tiny
from pipeline.data.provenance import of_array
from pipeline.serving.admission import admitted, admitted_images
from pipeline.serving.release import input_example

HONEST = {"glucose": 120, "bmi": 31.4, "ratio": 4.25, "pedigree": 0.5, "age": 40}
DEEP = []
for _ in range(10_000):
    DEEP = [DEEP]
NO_NUMBERS = ["120", "", "NA", "\ud800\x00", "e" * 9999, True, np.True_, [], [[1]], DEEP, {}]
NO_NUMBERS += [(1,), b"1", 1j, np.ones(3), object(), float("nan"), 1e400, -1e400, 10**5000]
WRONG = {  # column: what may not stand there, each for what the line must say
    "glucose": {"outside": [39, 451, -1, 1e308, -1e308, 0], "whole": [120.5, 120.0000001]},
    "bmi": {"outside": [11.9, 80.1, 99.99, 1e308], "multiples of 0.1": [31.45, 31.401]},
    "ratio": {"outside": [10.001, -1e-9]},
    "age": {"outside": [20, 101], "whole": [40.25]},
}


def lines(record, schema=tiny.SCHEMA):
    """What is wrong with one record, which does not concern its neighbours."""
    found = admitted([HONEST, record, HONEST] if schema is tiny.SCHEMA else [record], schema)
    assert len(found.values) == len(found.faults)
    if schema is tiny.SCHEMA:
        assert found.good[[0, 2]].all()
        assert not np.isnan(found.values[[0, 2]]).any()
        found = replace(found, values=found.values[1:2], faults=found.faults[1:2])
    assert np.isnan(found.values).all() or found.good.all()
    assert all(isinstance(line, str) and "\n" not in line for line in found.faults[0])
    return found.faults[0]


def coded(**changes):
    """The usual schema, some features changed."""
    features = {
        name: one.model_copy(update=changes.get(name, {})) for name, one in tiny.FEATURES.items()
    }
    return replace(tiny.SCHEMA, features=tuple(features.values()))


def test_an_honest_record_keeps_its_values_whatever_their_type_and_order():
    same = [
        HONEST,
        dict(reversed(HONEST.items())),
        {**HONEST, "glucose": 120.0, "age": np.int64(40), "bmi": np.float64(31.4)},
        json.loads(json.dumps(HONEST)),
        {**HONEST, "bmi": 31.400000000001},  # as arithmetic leaves it
    ]
    found = admitted(same, tiny.SCHEMA)
    assert found.good.all()
    assert (found.values == [[120, 314 * 0.1, 4.25, 0.5, 40]]).all()
    assert (found.values.astype(np.float32) == np.float32([120, 31.4, 4.25, 0.5, 40])).all()


@pytest.mark.parametrize("column", HONEST)
def test_what_is_no_number_is_named_and_nothing_else_is(column):
    for cell in NO_NUMBERS:
        (line,) = lines({**HONEST, column: cell})
        assert line.startswith(f"column {column!r}: ")
        assert "expected a number" in line
        assert len(line) < 200


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("column", "why", "value"),
    [
        (column, why, one)
        for column, of in WRONG.items()
        for why, values in of.items()
        for one in values
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(column, why, value):
    (line,) = lines({**HONEST, column: value})
    assert line.startswith(f"column {column!r}: {value:g}"[:22])
    assert why in line


def test_every_faulty_cell_has_its_line():
    found = lines({"glucose": 12, "bmi": 31.45, "ratio": "x", "pedigree": None, "age": [40]})
    assert [line.split("'")[1] for line in found] == ["ratio", "age", "glucose", "bmi"]


def test_columns_are_those_of_the_schema():
    assert "missing; null" in lines({k: v for k, v in HONEST.items() if k != "age"})[0]
    (line, other) = lines({"glucos": 120, **{k: v for k, v in HONEST.items() if k != "glucose"}})
    assert "did you mean 'glucose'?" in line
    assert "'glucose' is missing" in other
    assert "'outcome' is not in the schema" in lines({**HONEST, "outcome": 1})[0]
    many = lines({**HONEST, **{f"x{n}" * 999: n for n in range(50)}, 7: 1})
    assert len(many) == 9
    assert "43 columns more" in many[-1]
    for record in (None, [], [HONEST], "{}", 7, float("nan"), DEEP):
        assert lines(record)[0].startswith("a record is an object")
    assert admitted([], tiny.SCHEMA).values.shape == (0, 5)


def test_missing_is_null_or_a_code_and_something_must_be_measured():
    schema = coded(glucose={"missing": [0, "unknown"]}, bmi={"missing": [-1]})
    gaps = {**HONEST, "glucose": -0.0, "bmi": -1}
    found = admitted([gaps, {**HONEST, "glucose": " unknown ", "bmi": None}], schema)
    assert found.good.all()
    assert np.isnan(found.values[:, :2]).all()
    for record in ({**gaps, "ratio": None}, dict.fromkeys(HONEST)):
        (line,) = lines(record, schema)
        assert "no measurement; at least one of glucose, bmi, ratio" in line
    assert lines({**HONEST, "glucose": "0"}, schema)  # a text stays a text


def test_no_value_is_a_negative_zero():
    found = admitted([{**HONEST, "ratio": -0.0, "pedigree": -0.0}], tiny.SCHEMA)
    assert found.good.all()
    assert not np.signbit(found.values).any()


def test_levels_are_those_of_the_file_or_their_labels():
    schema = mixed.SCHEMA
    place = next(n for n, one in enumerate(schema.features) if one.levels)
    usual = dict(zip(schema.names, input_example(schema).iloc[0], strict=True))
    usual = {name: one.item() if hasattr(one, "item") else one for name, one in usual.items()}
    name, levels = schema.names[place], schema.features[place].levels
    for number, (cell, label) in enumerate(levels.items()):
        found = admitted([{**usual, name: one} for one in (cell, str(cell), label)], schema)
        assert found.good.all()
        assert (found.values[:, place] == number).all()
    for cell in ("other", "\ud800", "1e999", 99, -1, 0.5, True, [], float("nan"), 10**5000):
        (line,) = lines({**usual, name: cell}, schema)
        assert line.startswith(f"column {name!r}: ")


def test_relations_hold_and_what_is_derived_follows():
    names = related.SCHEMA.names
    right = dict(zip(names, [120, 80, 70, 170, 24.2, 50], strict=True))

    def said(**changes):
        return lines({**right, **changes}, related.SCHEMA)

    assert said() == ()
    assert said(diastolic=None) == ()
    (line,) = said(diastolic=115)
    assert "does not hold" in line
    assert "'diastolic' is 115" in line
    (line,) = said(bmi=24.4)
    assert line.startswith("column 'bmi': 24.4 does not follow")
    assert len(said(weight=110)) == 2


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.floats(0, 500).map(lambda value: round(value, 1)),
    st.sampled_from(["120", "", [], [3]]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(HONEST, CELLS)), max_size=4))
def test_whoever_is_admitted_could_stand_in_the_file(records):
    found = admitted(records, tiny.SCHEMA)
    for record, row, good in zip(records, found.values, found.good, strict=True):
        right = [
            record[name] is None
            or (
                type(record[name]) in (int, float)
                and one.lower <= record[name] <= one.upper
                and (one.step is None or abs(record[name] / one.step % 1 - 0.5) > 0.5 - 2e-6)
                and (one.kind != "integer" or record[name] == int(record[name]))
            )
            for name, one in tiny.FEATURES.items()
        ]
        measured = any(record[name] is not None for name in ("glucose", "bmi", "ratio"))
        assert good == (all(right) and measured)
        if good:
            given_ = [np.nan if one is None else one for one in record.values()]
            assert np.allclose(row, given_, rtol=1e-6, atol=0, equal_nan=True)


# ---- images ----

IMAGE = np.arange(64).reshape(8, 8) % 17


def of_images(*images, **options):
    return admitted_images(images, kinds.SCANS, **options)


def test_an_image_is_a_nested_list_an_array_or_bytes():
    stored = base64.b64encode(IMAGE.astype(np.uint8).tobytes()).decode()
    same = of_images(IMAGE.tolist(), [IMAGE.tolist()], IMAGE, IMAGE.astype(np.uint8), stored)
    assert same.good.all()
    assert (same.values == IMAGE).all()
    assert same.values.shape == (5, 1, 8, 8)


def test_what_is_no_image_is_refused_alone():
    levels = IMAGE.tolist()
    rows = [*levels[:-1], levels[-1][:-1]]
    cells = [17, -1, 3.5, True, "3", None, [], float("nan"), 1e308, 10**5000, DEEP]
    bad = [[*levels[:-1], [*levels[-1][:-1], cell]] for cell in cells]
    bad += [rows, levels[:-1], [levels, levels], [], None, 3, DEEP, {}, IMAGE[:7], "####", "é"]
    bad += ["AAAA", base64.b64encode(bytes(64 * [17])).decode(), base64.b64encode(bytes(63))]
    found = of_images(levels, *bad, levels)
    assert found.good.tolist() == [True, *[False] * len(bad), True]
    assert np.isnan(found.values[1:-1]).all()
    assert all(len(faults) == 1 and len(faults[0]) < 200 for faults in found.faults[1:-1])
    assert "grey level 17; expected whole numbers from 0 to 16" in found.faults[1][0]
    assert "8 x 8 grey levels" in found.faults[len(cells) + 1][0]


def test_where_a_source_signs_only_its_scans_are_admitted():
    forged = IMAGE.copy()
    forged[0, 0] += 1
    for kind in (np.uint8, np.float64):
        signed = {of_array(IMAGE.astype(kind))}
        found = of_images(IMAGE, forged, signed=signed)
        assert found.good.tolist() == [True, False]
        assert "in no signed manifest" in found.faults[1][0]
    assert not of_images(IMAGE, signed=set()).good.any()
    colour = replace(kinds.SCANS, image=(3, 2, 2))
    scan = np.arange(12).reshape(3, 2, 2)
    signed = {of_array(np.moveaxis(scan, 0, -1).astype(np.uint8))}
    assert admitted_images([scan], colour, signed=signed).good.all()
