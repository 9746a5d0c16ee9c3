"""Rules of referral against their definitions."""

import math

import pytest
import torch

import tiny
from pipeline.data.plan import Plan
from pipeline.defenses.referring import (
    class_p_values,
    close_to_the_line,
    disagreement_of_members,
    lead_of,
    mean_of_members,
    no_single_class,
    together,
    unsure_last_layer,
)
from pipeline.models.last_layer import laplace, moderated


@pytest.fixture
def x():
    return tiny.records(40, seed=0).x.expand(2, -1, -1)


def members(count=4):
    return [tiny.population(2, seed=10 * number) for number in range(count)]


def test_the_log_odds_of_a_mean_probability(x):
    leads = torch.stack([lead_of(one.double(), x.double()) for one in members()])
    p = torch.sigmoid(leads).mean(0)
    assert torch.allclose(together(leads), (p / (1 - p)).log())
    certain = torch.tensor([[90.0], [80.0]])  # where probabilities are 1, log-odds still differ
    assert together(certain) == pytest.approx(80 + math.log(2), abs=1e-3)


def test_an_ensemble_of_equals_is_its_member(x):
    (one,) = members(1)
    alone, three = close_to_the_line(one).exact(x), mean_of_members([one] * 3).exact(x)
    assert all(torch.allclose(a, b) for a, b in zip(alone, three, strict=True))
    assert torch.equal(alone.doubt, -alone.lead.abs())


def test_those_who_agree_do_not_disagree(x):
    (one,) = members(1)
    alike = disagreement_of_members([one, one]).exact(x)
    assert torch.equal(alike.doubt, torch.full_like(alike.doubt, -0.25))
    different = disagreement_of_members(members()).exact(x)
    p = torch.sigmoid(torch.stack([lead_of(one.double(), x.double()) for one in members()]))
    assert torch.allclose(different.doubt + 0.25, (p - p.mean(0)).square().mean(0))


def test_laplace_draws_leads_toward_0_by_the_last_layer(x):
    data = tiny.records(40, seed=0)
    train = torch.ones(2, 40, dtype=torch.bool)
    plan = Plan(train, ~train, -torch.ones(2), torch.arange(2), ("a", "b"))
    (one,) = members(1)
    posterior = laplace(one, data, plan, 1.0)
    seen = unsure_last_layer(one, posterior).exact(x)
    variance = posterior.double().variance(x.double())
    assert torch.equal(seen.lead, close_to_the_line(one).exact(x).lead)
    assert torch.allclose(seen.doubt, -moderated(seen.lead, variance).abs())


def test_conformal_doubt_is_the_less_usual_class_by_counting(x):
    (one,) = members(1)
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(30) % 3 % 2
    calibrated = [(torch.randn(30, generator=drawn) * 9, y) for _ in range(2)]
    seen = no_single_class(close_to_the_line(one), calibrated).exact(x)
    for member, (leads, y) in enumerate(calibrated):
        ill, healthy = leads[y == 1].double(), leads[y == 0].double()
        for place, lead in enumerate(seen.lead[member]):
            p_ill = (1 + (ill <= lead).sum()) / (len(ill) + 1)
            p_healthy = (1 + (healthy >= lead).sum()) / (len(healthy) + 1)
            both = class_p_values(seen.lead, calibrated)[:, member, place]
            assert torch.allclose(both, torch.stack([p_healthy, p_ill]).double())
            assert seen.doubt[member, place] == pytest.approx(float(both.min()) - 1, abs=1e-8)


@pytest.mark.parametrize("rule", ["margin", "ensemble", "disagreement", "laplace"])
def test_what_is_climbed_is_what_is_counted_and_has_a_gradient(x, rule):
    data = tiny.records(40, seed=0)
    train = torch.ones(2, 40, dtype=torch.bool)
    plan = Plan(train, ~train, -torch.ones(2), torch.arange(2), ("a", "b"))
    own = members()
    made = {
        "margin": lambda: close_to_the_line(own[0]),
        "ensemble": lambda: mean_of_members(own),
        "disagreement": lambda: disagreement_of_members(own),
        "laplace": lambda: unsure_last_layer(own[0], laplace(own[0], data, plan, 1.0)),
    }[rule]()
    exact = made.exact(x)
    leaf = x.clone().requires_grad_()
    soft = made.soft(leaf)
    assert (exact.doubt <= 0).all()
    for one, other in zip(exact, soft, strict=True):
        assert torch.allclose(one.float(), other.detach(), atol=1e-3, rtol=1e-3)
    (grad,) = torch.autograd.grad(soft.doubt.sum(), leaf)
    assert grad.isfinite().all()
    assert (grad != 0).any()
