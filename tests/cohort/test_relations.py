"""What holds between columns is asked about, and what chance alone keeps is not."""

import numpy as np
import pytest
import yaml

from pipeline.cohort.pages import questions_text
from pipeline.cohort.proposal import Wishes, propose
from pipeline.cohort.proposed import Column
from pipeline.cohort.relations import MOST, derived_line, never_above, sums
from pipeline.config import Relation
from pipeline.data.cells import Cells


def columns(*names, unit=""):
    return [Column(name, kind="real", unit=unit) for name in names]


def pressures(n=200, seed=0):
    drawn = np.random.default_rng(seed)
    systolic = drawn.normal(130, 20, n).round()
    return np.stack([systolic, (systolic - drawn.uniform(5, 60, n)).round()], 1)


def test_a_pair_of_which_one_is_never_above_the_other_is_asked_about():
    (said,) = never_above(columns("systolic", "diastolic", unit="mmHg"), pressures())
    seen, line = said.split("\n")
    assert seen == "diastolic is at most systolic in all of the records that have both"
    assert yaml.safe_load(line) == {"relations": ["diastolic <= systolic"]}


def test_what_breaks_it_in_some_records_decides():
    names, values = columns("systolic", "diastolic"), pressures(1000)
    values[:5] = values[:5, ::-1]
    assert "at least 99.5%" in never_above(names, values)[0]
    values[:6] = pressures(1000)[:6, ::-1]
    assert never_above(names, values) == []


@pytest.mark.parametrize("change", ["few", "units", "disjoint", "unrelated"])
def test_what_shows_nothing_is_not_asked_about(change):
    names, values = columns("systolic", "diastolic", unit="mmHg"), pressures()
    if change == "few":
        values[:151, 0] = np.nan
    if change == "units":
        names[1] = Column("diastolic", kind="real", unit="kg")
    if change == "disjoint":
        values[:, 1] -= 150
    if change == "unrelated":
        values[:, 1] = np.random.default_rng(1).permutation(values[:, 1])
    assert never_above(names, values) == []


def test_a_column_that_is_the_sum_of_two_others_is_asked_about():
    drawn = np.random.default_rng(0)
    parts = drawn.integers(1, 50, (120, 2)) / 10
    values = np.column_stack([parts.sum(1), parts, drawn.normal(size=120)])
    (said,) = sums(columns("total", "one", "other", "noise"), values)
    assert yaml.safe_load(said.split("\n")[1]) == {"derived": {"total": "one + other"}}
    values[:2, 0] += 1
    assert sums(columns("total", "one", "other", "noise"), values) == []
    values[:, 2], values[:, 0] = 0.0, values[:, 1]  # a column of zeros adds nothing
    assert sums(columns("total", "one", "other", "noise"), values) == []


def test_never_more_than_a_handful():
    drawn = np.random.default_rng(0).uniform(0, 1, (100, 12)).cumsum(1)
    assert len(never_above(columns(*"abcdefghijkl"), drawn)) == MOST


@pytest.mark.parametrize(
    ("formula", "derived"),
    [
        ("round([weight]/([height]/100)^2,1)", "round([weight]/([height]/100)^2,1)"),
        (" [weight] - -[body height]*2.5 ", "[weight] - -[body height]*2.5"),
        ("if([weight]>1, 1, 0)", None),
        ("datediff([height], 'today', 'y')", None),
        ("[visit_1][weight] + 1", None),
        ("[unknown] + 1", None),
        ("[bmi] + 1", None),
        ("__import__('os').system('x')", None),
        ("round", None),
        ("3 + 4", None),
        ("[weight", None),
    ],
)
def test_a_formula_of_plain_arithmetic_gives_the_line_of_the_schema(formula, derived):
    line = derived_line("bmi", formula, ["bmi", "weight", "height", "body height"])
    assert (yaml.safe_load(line) if line else None) == (derived and {"derived": {"bmi": derived}})


def test_a_name_that_is_no_word_stands_in_brackets():
    (said,) = never_above(columns("systolic", "low: pressure"), pressures())
    written = yaml.safe_load(said.split("\n")[1])["relations"]
    assert written == ["[low: pressure] <= systolic"]
    assert dict(Relation.of(*written).weights) == {"low: pressure": 1.0, "systolic": -1.0}


def test_the_page_shows_how_each_line_is_written():
    values = pressures(120)
    drawn = np.random.default_rng(0)
    given = {
        "systolic": [f"{one:.0f}" for one in values[:, 0]],
        "diastolic": [f"{one:.0f}" for one in values[:, 1]],
        "ward": drawn.choice(["north", "south", "on"], 120).tolist(),
        "rare": ["a", "b", "c"] * 3 + ["d"] * 111,
        "ill": ["yes", "no"] * 60,
    }
    cells = Cells(
        tuple(given),
        {name: np.array(one, dtype=object) for name, one in given.items()},
        np.arange(2, 122),
        "line",
    )
    page = questions_text(propose(cells, Wishes("ward", "ward.csv", "ill"), {}))
    assert '`relations: ["diastolic <= systolic"]`' in page
    line = next(one for one in page.splitlines() if "recodes:" in one and "`ward`" in one)
    written = yaml.safe_load("{" + line.split("`")[-2] + "}")
    (one, (other,)), back = written["recodes"].items()
    assert {one, other} < {"north", "south", "on"}  # `on` is quoted
    assert back == (other, [one])
    assert (written["mutable"], written["cost"]) == (True, 1)
    assert "`rare`: as in" not in page  # levels of fewer than 10 records are not told
