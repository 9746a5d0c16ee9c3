"""One change for everybody of a class, made on other people's records."""

import torch

from pipeline.attacks.evasion.everybody import universal
from pipeline.models.answers import margin
from tiny import BALL, UNCONSTRAINED, same_bits, slope

STEPS = {"steps": 10, "step_size": 0.3}


def made(models, x, y, threat=UNCONSTRAINED, eps=0.3, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    return universal(models, x, y, threat, eps=eps, generator=drawn, **STEPS)


def test_of_a_linear_model_it_is_everybodys_worst_change(linear, complete):
    """The slope of a linear model is the same at every record of a class."""
    y = linear(complete).argmax(-1)
    for threat in (UNCONSTRAINED, BALL):
        steepness = slope(linear, y, threat)
        fastest = steepness.abs().sum(-1) if threat is UNCONSTRAINED else steepness.norm(dim=-1)
        truth = margin(linear(complete), y) - 0.3 * fastest
        left = margin(linear(made(linear, complete, y, threat)), y)
        torch.testing.assert_close(left, truth, rtol=1e-4, atol=2e-5)


def test_nobodys_change_is_made_on_his_own_record(models, x):
    y = models(x).argmax(-1)
    before = made(models, x, y) - x
    moved = x.clone()
    moved[:, 4] += 1.5
    after = made(models, moved, y) - moved
    kept = torch.isclose(before, after, equal_nan=True, atol=1e-5).all(-1)
    assert kept[:, 4].all()  # his own is as it was
    assert not kept.all()  # that of the other half is not


def test_the_two_halves_of_a_class_each_wear_one_change(models, complete):
    y = models(complete).argmax(-1)
    change = (made(models, complete, y) - complete).mul(1e4).round()
    for member in range(len(complete)):
        for label in y[member].unique():
            assert len(change[member][y[member] == label].unique(dim=0)) <= 2


def test_who_is_alone_of_his_class_stays_as_he_is(models, complete):
    y = torch.zeros(complete.shape[:-1], dtype=torch.long)
    y[:, 3] = 1
    found = made(models, complete, y)
    assert same_bits(found[:, 3], complete[:, 3])
    assert (found[:, :3] != complete[:, :3]).any()
