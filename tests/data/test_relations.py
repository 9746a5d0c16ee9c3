"""Records keep what a data set says of its values: checked, followed, repaired."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import related
from pipeline.config import Formula, Relation
from pipeline.data.threat import Threat
from related import BMI, DIASTOLIC, HEIGHT, SCHEMA, SYSTOLIC, WEIGHT
from tiny import same_bits, threat_config

RECORD = torch.tensor([[120.0, 80.0, 70.0, 170.0, 24.2, 50.0]])
NORMS = {"linf": 0.7, "l2": 1.1, "l0": 2.0}


def with_values(**changes):
    record = RECORD.clone()
    for name, value in changes.items():
        record[0, list(SCHEMA.names).index(name)] = value
    return record


def limits(norm="linf", **changes):
    return related.threat(norm=norm, eps=[0, 1, 2] if norm == "l0" else None, **changes)


def test_what_follows_is_not_forged_and_does_not_count():
    kept, apart = limits(), limits(consistent=False)
    assert apart.relations is None
    assert apart.mutable.tolist() == [True, True, True, True, True, False]
    assert kept.mutable.tolist() == [True, True, True, True, False, False]
    forged = with_values(weight=75.0, bmi=26.0)
    assert kept.distance(forged, RECORD).item() == pytest.approx(5 / 15)
    assert apart.distance(forged, RECORD).item() == pytest.approx(1.8 / 5)
    few = limits("l0")
    assert few.distance(forged, RECORD).item() == 1


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, 0),
        ({"weight": 75.0, "bmi": 26.0}, 0),
        ({"weight": 75.0}, 1),  # body mass was not computed anew
        ({"weight": 75.0, "bmi": 25.9}, 1),
        ({"diastolic": 105.0}, 0),
        ({"diastolic": 110.0}, 1),
        ({"diastolic": 110.0, "systolic": 125.0}, 0),
        ({"weight": 110.0, "bmi": 38.1}, 1),  # 110 - 85 > 20
        ({"weight": 110.0, "bmi": 24.2}, 2),
    ],
)
def test_each_relation_that_is_broken_counts(changes, broken):
    forged = with_values(**changes)
    assert limits().relations.broken(forged, RECORD).tolist() == [broken]
    assert limits().violations(forged, RECORD, 9.0) == broken


def test_a_record_may_break_a_relation_as_far_as_it_did():
    own = with_values(diastolic=115.0, bmi=24.9)  # 10 too high; 0.7 more than the formula says
    kept = limits().relations
    assert kept.broken(own, own).item() == 0
    moved = own.clone()
    moved[0, SYSTOLIC], moved[0, DIASTOLIC] = 125.0, 120.0
    assert kept.broken(moved, own).item() == 0
    moved[0, SYSTOLIC] = 120.0
    assert kept.broken(moved, own).item() == 1
    heavier = own.clone()
    heavier[0, WEIGHT] = 75.0
    assert kept.completed(heavier, own)[0, BMI].item() == pytest.approx(26.7)


def test_what_is_missing_binds_nothing():
    own = with_values(systolic=torch.nan, height=torch.nan)
    forged = own.clone()
    forged[0, DIASTOLIC], forged[0, WEIGHT] = 120.0, 110.0
    kept = limits().relations
    assert kept.broken(forged, own).item() == 0
    assert same_bits(kept.completed(forged, own), forged)


def test_a_formula_without_a_value_is_no_record():
    schema = replace(SCHEMA, relations=(), derived=(("bmi", "weight / (height - 180)"),))
    kept = Threat.of(schema, threat_config()).relations
    forged = with_values(height=180.0)
    assert same_bits(kept.completed(forged, RECORD), forged)
    assert kept.broken(forged, RECORD).item() == 1


def test_each_formula_is_computed_once_and_both_answers_are_those_of_asking_for_each(monkeypatch):
    kept, data = limits().relations, related.records(80, seed=5)
    drawn = torch.Generator().manual_seed(5)
    forged = data.x + 9 * torch.randn(data.x.shape, generator=drawn)
    forged[torch.rand(forged.shape, generator=drawn) < 0.1] = torch.nan  # withheld
    asked, at = [], Formula.at
    monkeypatch.setattr(Formula, "at", lambda one, *a: asked.append(one) or at(one, *a))
    whole, broken = kept.completed_and_broken(forged, data.x)
    assert len(asked) == 2 * len(kept.derived)  # as recorded, and as forged
    assert same_bits(whole, kept.completed(forged, data.x))
    assert torch.equal(broken, kept.broken(whole, data.x))
    assert 0 < (broken > 0).sum() < 80


def test_untouched_records_keep_their_bits():
    data = related.records(200, seed=1)
    for norm in NORMS:
        kept = limits(norm)
        assert same_bits(kept.relations.completed(data.x, data.x), data.x)
        assert kept.violations(data.x, data.x, 0.0) == 0
        assert same_bits(kept.project(data.x, data.x, NORMS[norm]), data.x)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    norm=st.sampled_from(sorted(NORMS)),
    seed=st.integers(0, 99),
    spread=st.floats(0.01, 5),
    grid=st.booleans(),
)
def test_whatever_is_proposed_a_record_comes_out(norm, seed, spread, grid):
    kept, data = limits(norm, recorded_grid=grid), related.records(60, seed=seed)
    noise = torch.randn(data.x.shape, generator=torch.Generator().manual_seed(seed))
    proposed = data.x + spread * noise * kept.scale.float()
    eps = torch.tensor([0.0, NORMS[norm]]).view(2, 1, 1) if norm != "l0" else NORMS[norm]
    found = kept.project(proposed, data.x, eps)
    assert kept.violations(found, data.x, eps) == 0
    assert same_bits(kept.project(found, data.x, eps), found)


def test_repairing_keeps_more_of_a_change_than_dropping_it():
    """The planted fault: without the repair, records that break a relation go back to their own."""
    kept, data = limits(), related.records(300, seed=2, missing=0.0, wrong=0.0)
    pushed = data.x.clone()
    pushed[:, DIASTOLIC] += 20.0
    pushed[:, SYSTOLIC] -= 20.0
    found = kept.project(pushed, data.x, 1.0)
    apart = replace(kept, relations=None).project(pushed, data.x, 1.0)
    broken = kept.relations.broken(apart, data.x) > 0
    assert broken.sum() > 30
    moved = (found - data.x).abs()[broken][:, [SYSTOLIC, DIASTOLIC]].sum(1)
    assert (moved >= 10).float().mean() > 0.9
    assert same_bits(found[~broken], apart[~broken])


def test_the_gradient_of_what_follows_reaches_what_it_follows_from():
    kept = limits().relations
    x = RECORD.clone().requires_grad_()
    (grad,) = torch.autograd.grad(kept.completed(x, RECORD)[0, BMI], x)
    assert grad[0, WEIGHT].item() == pytest.approx(1 / 1.7**2)
    assert grad[0, HEIGHT].item() == pytest.approx(-2 * 70 / 1.7**3 / 100, rel=1e-4)
    assert grad[0, [SYSTOLIC, DIASTOLIC, BMI]].abs().sum() == 0
    gap = with_values(height=torch.nan).requires_grad_()
    (grad,) = torch.autograd.grad(kept.completed(gap, gap.detach()).nan_to_num().sum(), gap)
    assert grad[0].isfinite().all()


def test_more_relations_never_allow_more():
    """Without what is derived, a threat with relations holds a part of that without."""
    schema = replace(SCHEMA, derived=())
    kept = Threat.of(schema, threat_config())
    apart = Threat.of(schema, threat_config(consistent=False))
    x = related.records(100, seed=3).x
    found = kept.project(x + 9 * torch.randn(x.shape), x, 0.5)
    assert apart.violations(found, x, 0.5) == 0
    assert torch.equal(apart.mutable, kept.mutable)


def test_relations_are_of_a_schema_and_survive_as_text():
    one = Relation.of("diastolic + 15 <= systolic")
    assert (dict(one.weights), one.bound) == ({"diastolic": 1.0, "systolic": -1.0}, -15.0)
    assert Formula.of("round([weight] / (height / 100)^2, 1)").names == ("weight", "height")
