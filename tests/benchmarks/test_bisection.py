"""Bisection finds what trying every radius finds."""

import pytest
import torch

import tiny
from benchmarks.bisection import smallest_breaking_radius
from pipeline.attacks.evasion.gradient import fgsm, pgd
from pipeline.models.answers import margin
from tiny import THREATS, UNCONSTRAINED, same_bits

EPS = torch.tensor([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0])


def naive(attack, models, x, y, threat):
    """The index of the first radius that breaks each record, from one attack per radius."""
    broken = torch.stack(
        [
            margin(models(attack(models, x, y, threat, eps=eps, generator=torch.Generator())), y)
            <= 0
            for eps in EPS
        ]
    )
    return torch.where(broken.any(0), broken.int().argmax(0), len(EPS))


@pytest.fixture(scope="module")
def case():
    models = tiny.population(3, hidden=())
    x = tiny.records(120, seed=1).x.view(3, 40, 5)
    y = models(x).argmax(-1)
    y[:, ::9] = 1 - y[:, ::9]
    return models, x, y


@pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)
def test_bisection_equals_the_grid_on_a_linear_model(case, threat):
    models, x, y = case
    found, x_adv = smallest_breaking_radius(
        [fgsm], models, x, y, threat, eps=EPS, generator=torch.Generator()
    )
    assert torch.equal(found, naive(fgsm, models, x, y, threat))
    assert len(found.unique()) >= 5  # the records differ, or this test says nothing
    assert (found[:, ::9] == 0).all()
    broken = found < len(EPS)
    assert (margin(models(x_adv), y)[broken] <= 0).all()
    assert same_bits(x_adv[~broken], x[~broken])
    assert threat.violations(x_adv, x, EPS[found.clamp(max=len(EPS) - 1)][..., None]) == 0


def test_a_record_is_attacked_about_log2_times(case):
    models, x, y = case
    calls = []

    def counted(*args, **options):
        calls.append(1)
        return fgsm(*args, **options)

    smallest_breaking_radius(
        [counted], models, x, y, UNCONSTRAINED, eps=EPS, generator=torch.Generator()
    )
    assert len(calls) <= 4  # ceil(log2(9 radii + none))


def test_never_below_the_grid_on_a_network():
    models, x = tiny.population(2), tiny.records(60, seed=4).x.view(2, 30, 5)
    y = models(x).argmax(-1)

    def attack(*args, **options):
        return pgd(*args, **options, steps=5, step_size=0.3)

    found, x_adv = smallest_breaking_radius(
        [attack], models, x, y, UNCONSTRAINED, eps=EPS, generator=torch.Generator()
    )
    assert (found >= naive(attack, models, x, y, UNCONSTRAINED)).all()
    assert (margin(models(x_adv), y)[found < len(EPS)] <= 0).all()


def test_a_dear_attack_is_given_only_what_a_cheap_one_left(case):
    """The answer is that of both on every record; the second sees fewer."""
    models, x, y = case
    seen = []

    def dear(logits_fn, records, labels, threat, *, eps, generator):
        seen.append(records.shape[1])
        return fgsm(logits_fn, records, labels, threat, eps=eps)

    def half(logits_fn, records, labels, threat, *, eps, generator):
        return fgsm(logits_fn, records, labels, threat, eps=eps / 2)

    both, x_adv = smallest_breaking_radius(
        [half, dear], models, x, y, UNCONSTRAINED, eps=EPS, generator=torch.Generator()
    )
    assert torch.equal(both, naive(fgsm, models, x, y, UNCONSTRAINED))
    assert max(seen) < x.shape[1]
    assert (margin(models(x_adv), y)[both < len(EPS)] <= 0).all()
    assert UNCONSTRAINED.violations(x_adv, x, EPS[both.clamp(max=len(EPS) - 1)][..., None]) == 0


def test_nothing_breaks_a_constant_model():
    x = tiny.records(20, seed=0).x[None]

    def constant(records):
        return torch.tensor([2.0, 1.0]) + 0 * records[..., :2].nan_to_num()

    found, x_adv = smallest_breaking_radius(
        [fgsm],
        constant,
        x,
        torch.zeros(20, dtype=torch.int64),
        UNCONSTRAINED,
        eps=EPS,
        generator=torch.Generator(),
    )
    assert (found == len(EPS)).all()
    assert same_bits(x_adv, x)
