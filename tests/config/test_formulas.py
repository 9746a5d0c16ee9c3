"""What is written of a record's values is read as it stands, or refused in one line."""

import math

import pytest

from pipeline.config import Formula, Relation, named


def refusal(read, text):
    """What is said of a text that cannot be read."""
    with pytest.raises(ValueError, match=r".") as refused:
        read(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "weights", "bound"),
    [
        ("diastolic + 5 <= systolic", {"diastolic": 1, "systolic": -1}, -5),
        ("systolic >= diastolic + 5", {"diastolic": 1, "systolic": -1}, -5),
        ("2 * (a - [heart rate] / 4) >= 3 - b", {"a": -2, "heart rate": 0.5, "b": -1}, -3),
        ("hdl + ldl <= 0.95*total", {"hdl": 1, "ldl": 1, "total": -0.95}, 0),
        ("-2 ** 2 <= a", {"a": -1}, 4),
        ("a - b <= a", {"b": -1}, 0),
        ("[a] * 1e2 / 5 <= [b (mg/dL)]", {"a": 20, "b (mg/dL)": -1}, 0),
    ],
)
def test_a_relation_is_a_sum_and_its_bound(text, weights, bound):
    read = Relation.of(text)
    assert dict(read.weights) == pytest.approx(weights)
    assert read.bound == pytest.approx(bound)


COLUMNS = [
    "a",
    "heart rate",
    "lambda",
    "pH [arterial]",
    "x[1]",
    "]",
    "[",
    "[]",
    "a]]b",
    "[a] + [b]",
]


@pytest.mark.parametrize("one", COLUMNS)
@pytest.mark.parametrize("other", COLUMNS)
def test_whatever_a_column_is_called_a_formula_can_name_it(one, other):
    read = Formula.of(f"round(({named(one)} + 2*{named(other)})/{named(one)}, 1)")
    assert read.names == tuple(dict.fromkeys((one, other)))
    assert read.at({other: 3.0, one: 4.0}) == (4 + 2 * (4 if one == other else 3)) / 4
    relation = Relation.of(f"{named(one)} - 1 <= 2 * {named(other)}")
    assert dict(relation.weights) == ({one: -1.0} if one == other else {one: 1.0, other: -2.0})


@pytest.mark.parametrize(
    "text", ["[x[1]] + b", "[a] + b]", "[a]] + b", "[] + b", "[a b", "[a][b]", "[[a]]"]
)
def test_brackets_that_do_not_close_are_refused(text):
    assert "a ] of the name doubled" in refusal(Formula.of, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a < b", "by <= or >="),
        ("a == b", "by <= or >="),
        ("a <= b <= c", "one comparison"),
        ("a + b", "one comparison"),
        ("a * b <= 3", "no column times another"),
        ("1 / a <= 3", "no number divided by a column"),
        ("a / b <= 3", "divided by numbers alone"),
        ("a ** 2 <= 3", "no power"),
        ("1 <= 2", "must mention a column"),
        ("a <= a", "must mention a column"),
        ("a + <= b", "cannot be read"),
        ("round(a, 1) <= b", "only columns"),
        ("a <= b / 0", "divided by numbers alone"),
        ("a + 1 / 0 <= b", "division by zero"),
        ("a * 1e400 <= b", "too large"),
        ("__import__('os') <= b", "only columns"),
        ("a.b <= 3", "only columns"),
        ("True <= a", "only columns"),
        ("", "cannot be read"),
    ],
)
def test_what_is_no_relation_is_refused_in_one_line(text, said):
    line = refusal(Relation.of, text)
    assert said in line
    assert "\n" not in line


def test_a_formula_is_computed_by_whatever_arithmetic_it_is_given():
    read = Formula.of("round([weight] / (height / 100)^2, 1)")
    assert (read.names, read.decimals) == (("weight", "height"), 1)
    assert read.at({"weight": 70, "height": 170}) == pytest.approx(24.2214533)
    assert Formula.of("-a ** 2 + +b").at({"a": 3, "b": 1}) == -8
    assert Formula.of("a ** -0.5").at({"a": 4.0}) == 0.5
    assert Formula.of("round(a)").decimals == 0
    assert Formula.of("a - b / 2").decimals is None
    assert math.isnan(Formula.of("a + b").at({"a": math.nan, "b": 1}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "must mention a column"),
        ("a ** b", "must be a number"),
        ("round(a, -1)", "whole number of decimals"),
        ("round(a, 1.5)", "whole number of decimals"),
        ("round(a, b)", "whole number of decimals"),
        ("round(a, 1, 2)", "a number of decimals"),
        ("a + round(b, 1)", "only columns"),
        ("a / 0", "division by zero"),
        ("log(a)", "only columns"),
        ("a if b else c", "only columns"),
        ("'a' + b", "only columns"),
        ("(a", "cannot be read"),
        ("lambda", "cannot be read"),
    ],
)
def test_what_is_no_formula_is_refused_in_one_line(text, said):
    line = refusal(Formula.of, text)
    assert said in line
    assert "\n" not in line
