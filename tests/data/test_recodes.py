"""Recodes and gaps as part of a threat: admitted, priced, projected."""

import pytest
import torch

import mixed
from pipeline.data.recodes import variants

NAN = torch.nan
#                      glucose nyha thal smoker ward age
X = torch.tensor([[120.0, 1.0, 1.0, 0.0, 3.0, 40.0]])


def changed(**values):
    x = X.clone()
    for name, value in values.items():
        x[0, list(mixed.FEATURES).index(name)] = value
    return x


@pytest.mark.parametrize(
    ("values", "linf", "l0"),
    [
        ({}, 0.0, 0),
        ({"glucose": 130.0}, 1 / 3, 1),
        ({"thal": 2.0}, 0.5, 1),
        ({"smoker": 1.0}, 0.8, 1),
        ({"nyha": 3.0}, 2.0, 1),
        ({"thal": 0.0, "nyha": 2.0}, 1.0, 2),
        ({"glucose": NAN}, 0.6, 1),
        ({"thal": NAN, "glucose": 150.0}, 1.0, 2),
    ],
)
def test_a_change_costs_what_the_schema_says(values, linf, l0):
    x_adv = changed(**values)
    largest = mixed.threat(withhold=0.6)
    counted = mixed.threat(withhold=0.6, norm="l0", eps=[0, 1, 2])
    assert float(largest.distance(x_adv, X)) == pytest.approx(linf)
    assert float(counted.distance(x_adv, X)) == l0
    for limits, radius in ((largest, linf), (counted, l0)):
        assert limits.violations(x_adv, X, radius + 1e-9) == 0
        assert torch.equal(
            limits.project(x_adv, X, radius + 1e-6).nan_to_num(-1), x_adv.nan_to_num(-1)
        )
        if radius:
            assert limits.violations(x_adv, X, radius * 0.9) > 0


@pytest.mark.parametrize(
    "values",
    [{"ward": 2.0}, {"ward": NAN}, {"age": NAN}, {"age": 41.0}, {"nyha": 1.5}, {"smoker": 0.5}],
)
def test_what_nobody_may_do_is_a_violation_and_is_undone(values):
    limits = mixed.threat(withhold=0.1)
    x_adv = changed(**values)
    assert limits.violations(x_adv, X, 9.0) > 0
    undone = limits.project(x_adv, X, 0.3)
    assert limits.violations(undone, X, 0.3) == 0


def test_a_recode_that_is_not_listed_is_a_violation():
    x = changed(thal=2.0)  # nothing may be forged out of level 2
    assert mixed.threat().violations(X, x, 9.0) > 0
    assert torch.equal(mixed.threat().project(X, x, 9.0), x)


def test_nothing_is_withheld_unless_the_threat_says_so():
    limits = mixed.threat()
    assert limits.violations(changed(glucose=NAN), X, 9.0) > 0
    assert torch.equal(limits.project(changed(glucose=NAN), X, 9.0), X)


@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
def test_projections_are_inside_and_their_own(norm):
    drawn = torch.Generator().manual_seed(1)
    data = mixed.records(200, seed=3)
    noise = torch.randn(data.x.shape, generator=drawn) * torch.tensor([30.0, 1, 1, 1, 1, 10])
    proposed = data.x + noise
    proposed[torch.rand(proposed.shape, generator=drawn) < 0.2] = NAN
    eps = [0, 1, 2] if norm == "l0" else None
    limits = mixed.threat(norm=norm, withhold=0.6, eps=eps)
    for radius in (0.0, 1.0, 2.0):
        once = limits.project(proposed, data.x, radius)
        assert limits.violations(once, data.x, radius) == 0
        again = limits.project(once, data.x, radius)
        assert torch.equal(once.nan_to_num(-1), again.nan_to_num(-1))
        if radius == 0:
            assert torch.equal(once.nan_to_num(-1), data.x.nan_to_num(-1))


@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
def test_variants_are_those_of_all_records(norm):
    data = mixed.records(20, seed=6)
    eps = [0, 1, 2] if norm == "l0" else None
    limits = mixed.threat(norm=norm, withhold=0.6, eps=eps)
    largest = 2.0 if norm == "l0" else 0.9
    made = variants(limits, data.x, largest, most=10_000)
    assert made.unlisted.isinf().all()
    for row, record in enumerate(data.x):
        wanted = set()
        for values, changes in mixed.everything(record, limits):
            moved = (values != record) & ~values.isnan() & ~record.isnan()
            numbers = moved & torch.tensor([True, True, False, True, True, True])
            if not numbers.any() and float(mixed.distance(changes[None], norm)) <= largest:
                wanted.add(tuple(values.nan_to_num(-1).tolist()))
        mine = made.x[made.row == row]
        assert {tuple(one.nan_to_num(-1).tolist()) for one in mine} == wanted
        assert len(mine) == len(wanted)


def test_too_many_variants_are_told():
    data = mixed.records(20, seed=6)
    limits = mixed.threat(withhold=0.6)
    made = variants(limits, data.x, 0.9, most=3)
    assert int(torch.bincount(made.row).max()) == 3
    assert (made.unlisted <= 0.9).any()


def test_a_record_of_which_nothing_is_left_is_none():
    limits = mixed.threat(withhold=0.1)
    x = torch.full_like(X, NAN)
    x[0, 0] = 120.0  # nothing else was measured
    gone = torch.full_like(X, NAN)
    assert torch.isinf(limits.distance(gone, x))
    assert limits.violations(gone, x, 9.0) > 0
    assert torch.equal(limits.project(gone, x, 9.0).nan_to_num(), x.nan_to_num())
    found = variants(limits, x, 9.0, most=50)
    assert not found.x.isnan().all(1).any()
    everything = changed(glucose=NAN, nyha=NAN, thal=NAN, smoker=NAN)  # ward and age stay
    assert limits.violations(everything, X, 0.1) == 0
    assert float(limits.distance(everything, X)) == pytest.approx(0.1)
