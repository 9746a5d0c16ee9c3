"""Losses are what they are called, and their gradients are those that autograd finds."""

import pytest
import torch

import tiny
from pipeline.attacks.evasion.losses import ASCENT, LOSS, ascent, ascent_sign, pullback
from pipeline.models.answers import margin
from tiny import UNCONSTRAINED


def test_margin_is_the_lead_over_the_best_other_class():
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 5.0, 5.0], [1.0, 2.0, 0.0]])
    assert margin(logits, torch.tensor([0, 1, 2])).tolist() == [0.5, 0.0, -2.0]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_losses_and_ascents_are_those_of_cross_entropy_and_of_the_negative_margin(classes):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 30, classes, generator=generator).requires_grad_()
    y = torch.randint(classes, (30,), generator=generator)
    labels = y.expand(4, 30)
    losses = {
        "cross_entropy": torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none"
        ).view(4, 30),
        "margin": -margin(logits, y),
    }
    assert losses.keys() == ASCENT.keys() == LOSS.keys()
    for name, loss in losses.items():
        expected = torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0]
        torch.testing.assert_close(ASCENT[name](logits.detach(), y), expected)
        torch.testing.assert_close(LOSS[name](logits.detach(), y), loss.detach())


def test_ascent_sign_is_the_sign_of_the_gradient(linear, complete):
    y = linear(complete).argmax(-1)
    for loss in ASCENT:
        sign, logits = ascent_sign(linear, complete, y, loss)
        assert torch.equal(sign, -tiny.slope(linear, y, UNCONSTRAINED).sign())
        torch.testing.assert_close(logits, linear(complete))


@pytest.mark.parametrize("loss", ASCENT)
def test_a_population_differentiates_itself_as_autograd_does(complete, loss):
    models = tiny.population(3, classes=4)
    grid = torch.stack([complete, complete + 1])
    y = models(complete).argmax(-1)
    for x in (complete, grid):
        own, answers = ascent(models, x, y, loss)
        plain, plain_answers = ascent(lambda records: models(records), x, y, loss)
        torch.testing.assert_close(own, plain)
        torch.testing.assert_close(answers, plain_answers)
        assert own.shape == x.shape


def test_a_pullback_may_be_used_many_times(complete):
    models = tiny.population(3, classes=4)
    grid = torch.stack([complete, complete + 1])
    logits, pull = pullback(models, grid)
    plain, plain_pull = pullback(lambda records: models(records), grid)
    torch.testing.assert_close(logits, plain)
    for one in torch.eye(4):
        torch.testing.assert_close(
            pull(one.expand(logits.shape)), plain_pull(one.expand(logits.shape))
        )
