"""Proved radii by diagnosis, and the changes of the most fragile: planted people, counted."""

import math

import numpy as np
import pytest

from pipeline.risks.evasion.fragility import BINS, changes_table, near_the_cut, radii_table
from pipeline.risks.evasion.patients import alone_shares, most_fragile
from pipeline.statistics.intervals import Sampling
from risks.evasion.made_up_patients import INF, NAN, SCHEMA, UNCHANGED, WRONG, one, proofs_of, table

CLASSES = ["healthy", "ill"]


def edge(number):
    return float(np.linspace(0, 1, BINS + 1)[number])


def test_every_right_answer_is_in_one_bin_of_its_diagnosis():
    people = [one(), one(robust_below=0.3), one(robust_below=0.31), one(**UNCHANGED), one(**WRONG)]
    people += [one(y=0, robust_below=0.05)]
    found = radii_table(table(*people), CLASSES, largest=1.0)
    assert len(found) == 2 * (BINS + 1)
    ill = found[found["class"] == "ill"].set_index("up_to")["patients"]
    assert ill[ill > 0].to_dict() == {edge(3): 2, edge(4): 1, edge(10): 1}
    healthy = found[found["class"] == "healthy"].set_index("up_to")["patients"]
    assert healthy[healthy > 0].to_dict() == {edge(1): 1}
    assert found["patients"].sum() == 5  # but not the wrong answer


def test_what_holds_beyond_what_was_verified_is_in_the_last_bin():
    held = one(**UNCHANGED | {"robust_below": INF})
    found = radii_table(table(held, held), CLASSES, largest=0.3)
    last = found[(found["class"] == "ill") & np.isinf(found["up_to"])]
    assert last["patients"].tolist() == [2]


def test_the_changes_are_those_of_the_fragile_in_units_of_error():
    people = [one(breaks_at=0.5, robust_below=0.5), one(), one(**WRONG), one(y=0)]
    proofs, x = proofs_of(*people)
    lines = table(*people)
    found = changes_table(lines, proofs, x.double().numpy(), SCHEMA)
    assert list(dict.fromkeys(found["patient"])) == most_fragile(lines)["patient"].tolist()
    first = found[found["patient"] == 11].set_index("feature")
    assert set(first.index) == {"glucose", "bmi"}
    assert first.loc["glucose", "errors"] == pytest.approx((141 - 148) / 3)
    assert first.loc["bmi", "errors"] == pytest.approx((33.1 - 33.6) / 0.2, abs=1e-4)
    assert (first["cut"] == 0.5).all()
    assert first["probability"].iloc[0] == pytest.approx(1 / (1 + math.exp(-2)))


def test_a_change_of_what_has_no_error_has_no_unit():
    found_there = [148.0, 33.6, 4.0, 0.5, 50.0]
    person = one(found=found_there)
    proofs, x = proofs_of(person)
    found = changes_table(table(person), proofs, x.double().numpy(), SCHEMA)
    assert found["feature"].tolist() == ["ratio"]
    assert found["errors"].isna().all()


@pytest.mark.parametrize("y", [0, 1])
def test_the_distance_from_the_cut_is_that_of_the_probability(y):
    right = table(one(y=y, margin=0.4))
    assert near_the_cut(right).iloc[0] == pytest.approx(1 / (1 + math.exp(-0.4)) - 0.5)


def test_the_distance_counts_from_the_cut_of_the_model_not_from_half():
    right = table(one(), one(y=0)).assign(cut=0.8, confidence_before=[0.9, 0.3])
    assert near_the_cut(right).tolist() == pytest.approx([0.1, 0.1])


def test_a_measurement_turns_answers_by_its_error_alone_up_to_that_error():
    """One error of glucose is 3 mg/dL, eps 0.1."""
    inside, outside = ([eps, INF, INF, NAN, NAN] for eps in (0.1, 0.11))
    people = [one(alone=inside), one(alone=outside), one(), one(**WRONG | {"alone": inside})]
    shares = alone_shares(proofs_of(*people)[0], SCHEMA, Sampling(200, 0.95, 0))
    shares = shares.set_index("feature")
    assert shares.loc["glucose", "within_error"] == pytest.approx(1 / 3)
    assert shares.loc["glucose", "all"] == pytest.approx(2 / 3)
    assert shares.loc["bmi", "within_error"] == 0
    assert math.isnan(shares.loc["ratio", "within_error"])  # no error is known
