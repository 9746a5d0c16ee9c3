"""What is written is YAML that means what was proposed, and pages that a person can answer."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from pipeline.cohort.draft import key, number, scalar, schema_text
from pipeline.cohort.pages import TOPICS, card_text, questions_text
from pipeline.cohort.proposal import Wishes, propose
from pipeline.cohort.words import known_afterwards, names_person, ordered, pair, unit_of
from pipeline.data.cells import Cells

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)


@given(TEXTS)
def test_a_text_of_the_schema_is_the_text_it_was(text):
    loaded = OmegaConf.to_container(OmegaConf.create(f"a: {scalar(text)}"), resolve=True)
    assert loaded == {"a": text}


@given(TEXTS)
def test_a_key_of_the_schema_is_the_text_it_was(text):
    assert yaml.safe_load(f"{{{key(text)}: 1}}") == {text: 1}
    assert OmegaConf.to_container(OmegaConf.create(f"b: {{{key(text)}: 1}}")) == {"b": {text: 1}}


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "No",
        "null",
        "~",
        "1e3",
        "007",
        "a: b",
        "# a",
        "${x}",
        "\\${x}",
        "a\\b\\\\${x}\\",
        "é\u2028",
        "",
    ],
)
def test_texts_that_yaml_would_take_for_something_else(text):
    loaded = OmegaConf.to_container(OmegaConf.create(f"a: {scalar(text)}"), resolve=True)
    assert loaded == {"a": text}


@given(st.floats(-1e15, 1e15, allow_nan=False))
def test_a_number_is_read_back_by_every_reader(value):
    assert yaml.safe_load(number(value)) == value
    assert OmegaConf.create(f"a: {number(value)}").a == value


def cells(**columns):
    table = {
        name: np.array(list(map(str, values)), dtype=object) for name, values in columns.items()
    }
    count = len(next(iter(table.values())))
    return Cells(tuple(table), table, np.arange(count) + 2, "line")


def proposal(**columns):
    drawn = np.random.default_rng(0)
    usual = {"x": drawn.integers(0, 99, 60), "ill": [0, 1] * 30}
    return propose(cells(**(columns | usual)), Wishes("ward", "ward.csv", "ill"), {})


def test_every_question_is_numbered_once_and_says_what_its_answer_changes():
    asked = proposal(
        time=[*range(100, 130)] * 2,
        crp=["<0.1", "high", "999", "unknown", *map(str, range(56))],
        thal=[3, 6, 7] * 20,
        mrn=["a", "b", "c"] * 20,
        leak=[1, 2] * 30,
    )
    page = questions_text(asked)
    numbers = [line.split()[1] for line in page.splitlines() if line.startswith("## ")]
    assert numbers == [f"{place}." for place in range(1, len(numbers) + 1)]
    assert page.count("*Changes:*") == len(numbers)
    topics = {topic for topic, _, _ in asked.asked}
    assert {"outcome", "group", "leak", "afterwards", "censored", "strays", "codes"} <= topics
    assert topics <= set(TOPICS)
    assert all(TOPICS[topic].question in page for topic in topics)


def test_pages_are_short_lines():
    asked = proposal(
        **{"very long name of a column " * 9: [*range(30)] * 2, "mrn": ["a", "b"] * 30}
    )
    for page in (card_text(asked), questions_text(asked)):
        assert all(len(line) <= 200 for line in page.splitlines() if not line.startswith("|"))


def test_a_leak_by_missing_values_is_found():
    asked = proposal(died=["", "4"] * 30, dose=[*range(30), *[""] * 30])
    assert "died" not in {topic for topic, _, _ in asked.asked}
    assert ("leak", "late") in {
        (topic, name) for topic, name, _ in proposal(late=["", "4", "", "5", "", "6"] * 10).asked
    }


def test_names_cannot_become_markup():
    asked = proposal(**{"a|b`c": [*range(30)] * 2, "<script>": [*range(30)] * 2})
    for page in (card_text(asked), questions_text(asked)):
        assert "`` a\\|b`c ``" in page
        assert "`<script>`" in page
    assert yaml.safe_load(schema_text(asked))["features"].keys() >= {"a|b`c", "<script>"}


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("id", True), ("ID", True), ("subj_id", True), ("PatientID", True), ("patient", True),
        ("Name", True), ("record no", True), ("zip", True), ("zipcode", True), ("ssn", True),
        ("patient_age", False), ("drug_name", False), ("number_of_visits", False), ("acid", False),
        ("mid_arm", False), ("caseness", False), ("address_change", True), ("", False),
    ],
)  # fmt: skip
def test_names_of_persons(name, person):
    assert names_person(name) == person


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("time", True), ("follow_up", True), ("FollowUpDays", True), ("death_event", True),
        ("Length of stay", True), ("discharge_status", True), ("prothrombin_time", False),
        ("time_in_hospital", False), ("glucose", False), ("loss", False),
    ],
)  # fmt: skip
def test_names_of_what_is_known_afterwards(name, after):
    assert known_afterwards(name) == after


def test_orders_and_pairs():
    assert ordered(["High", "Low", "Medium"]) == ["Low", "Medium", "High"]
    assert ordered(["stage 2", "stage 10", "stage 1"]) == ["stage 1", "stage 2", "stage 10"]
    assert ordered(["red", "blue", "green"]) is None
    assert ordered(["3", "1", "2"]) is None  # codes
    assert pair(["YES", "no"]) == ("no", "YES")
    assert pair(["ckd", "non-ckd"]) == ("non-ckd", "ckd")
    assert pair(["m", "f"]) is None
    assert unit_of("a_kg_m2") == "kg/m2"


def test_small_counts_are_not_told():
    asked = proposal(y=[*range(20, 77), "", "?", "unknown"])
    (row,) = [line for line in card_text(asked).splitlines() if line.startswith("| `y`")]
    assert row.endswith("| fewer than 10 |")
