"""Who passes the guard: nobody within r, and the adaptive attacker never less often than others."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.files import FailedCheck
from pipeline.risks.guard.measure.attacked import (
    ATTACKERS,
    Asked,
    Passed,
    attack_guard,
    check,
    key,
    present,
)
from pipeline.risks.guard.measure.settings import GuardSettings
from risks.guard import made_up

NAN = torch.nan


@pytest.fixture(scope="module")
def wanted(cfg):
    own = cfg.section(GuardSettings)
    return own.model_copy(update={"r": 0.2, "radii": [0.1, 0.2], "reach": [1.0, 2.0, 4.0]})


@pytest.fixture(scope="module")
def dataset():
    return tiny.records(60, seed=0)


@pytest.fixture(scope="module")
def found(wanted, dataset):
    plan = tiny.plan(dataset, seeds=1)
    guard = made_up.guard(tiny.untrained(plan, dataset), largest=0.2)
    return attack_guard(guard, dataset, plan, wanted, 0)


def test_nobody_within_r_passes_though_answers_are_turned(found):
    for r in found.radii:
        for attacker in ATTACKERS:
            turned, passed = (one[key(attacker, r)] for one in (found.turned, found.passed))
            assert turned[0].any()
            assert not passed[0].any()
            assert passed[-1].any() == (attacker != "nearest")


def test_who_knows_the_guard_passes_at_least_as_often_and_so_does_who_reaches_farther(found):
    for r in found.radii:
        each = {name: found.passed[key(name, r)] for name in ATTACKERS}
        for name in ATTACKERS:
            assert (each["adaptive"] >= each[name]).all()
            assert (found.wrong[key("adaptive", r)] >= found.wrong[key(name, r)]).all()
        assert (each["adaptive"].int().diff(dim=0) >= 0).all()


def test_an_answer_that_was_wrong_already_needs_no_attack(found):
    honest = (found.called != found.y) & (found.radius > 0.2 + 1e-4)
    assert honest.any()
    assert found.wrong[key("nearest", 0.2)][:, honest].all()


def test_what_is_presented_and_passes_is_proved_beyond_r(found):
    for r in found.radii:
        shown, passed = (one[key("adaptive", r)] for one in (found.presented, found.passed))
        assert (shown[passed] > r).all()
        assert (shown[found.turned[key("adaptive", r)]].isfinite() | passed.any()).all()


def test_of_all_that_an_attacker_has_the_first_that_is_answered_is_presented():
    guard = made_up.guard(tiny.population(1))
    first = torch.tensor([[[NAN, 0.05, 0.4]], [[NAN, 0.05, 0.01]]], dtype=torch.float64)
    second = torch.tensor([[[NAN, NAN, 0.5]], [[NAN, 0.6, 0.01]]], dtype=torch.float64)
    turned, passed, shown = present(guard, [first, second], 0.3)
    assert turned[:, 0].tolist() == [[False, True, True], [False, True, True]]
    assert passed[:, 0].tolist() == [[False, False, True], [False, True, True]]
    assert shown[:, 0, 1:].tolist() == [[0.05, 0.4], [0.6, 0.4]]


def test_a_guard_that_keeps_no_promise_fails(wanted, dataset):
    """Planted: one that answers whatever is near the line."""
    plan = tiny.plan(dataset, seeds=1)
    broken = replace(made_up.guard(tiny.untrained(plan, dataset)), tolerance=-1.0)
    with pytest.raises(FailedCheck, match="proved to be impossible"):
        attack_guard(broken, dataset, plan, wanted, 0)


def test_beyond_r_and_of_records_that_the_guard_refuses_nothing_was_promised():
    x = torch.tensor([[[100.5, 30.0, 5.0, 0.5, 40.0]]])
    asked = Asked(
        made_up.guard(tiny.population(1)), x, torch.zeros(1, 1), torch.ones(1, 1) > 0, 1, 0
    )
    through = torch.ones(1, 1, 1, dtype=torch.bool)
    check(through, asked.guard, asked, [0.3], 0.3)
    check(through, asked.guard, replace(asked, x=x.floor()), [0.4], 0.3)
    with pytest.raises(FailedCheck):
        check(through, asked.guard, replace(asked, x=x.floor()), [0.3], 0.3)


def test_it_is_kept_bit_for_bit(found, tmp_path):
    found.save(tmp_path / "a.safetensors")
    again = Passed.load(tmp_path / "a.safetensors")
    assert torch.equal(again.radius, found.radius)
    assert list(again.passed) == list(found.passed)
