"""Membership by rounds: cosines as autograd has them, planted members found, strangers not."""

import torch
from torch.nn.functional import cross_entropy

import tiny
from pipeline.attacks.rounds import likelihood_ratio, moved_along, of_all_rounds
from pipeline.models.mlp import layers_of
from pipeline.statistics.separation import auroc


def test_a_cosine_is_that_of_the_gradients():
    models = tiny.population(2)
    data = tiny.records(7, seed=1, missing=0.0)
    weights = models.parameters
    drawn = torch.Generator().manual_seed(0)
    moved = {name: torch.randn(one.shape, generator=drawn) for name, one in weights.items()}
    inputs = models.standardise(data.x.expand(2, -1, -1))
    found = moved_along(weights, moved, inputs, data.y)
    for model in range(2):
        for record in range(7):
            leaves = {name: one[model].clone().requires_grad_() for name, one in weights.items()}
            out = inputs[model, record][None]
            for place, (weight, bias) in enumerate(layers_of(leaves)):
                out = (out.relu() if place else out) @ weight + bias
            loss = cross_entropy(out, data.y[record][None])
            grads = torch.autograd.grad(loss, list(leaves.values()))
            by = torch.cat([one[model].flatten() for one in moved.values()])
            wanted = -torch.cat([grad.flatten() for grad in grads])
            expected = torch.cosine_similarity(by, wanted, 0)
            torch.testing.assert_close(found[model, record], expected, rtol=1e-3, atol=1e-5)


def halves(shift, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    member = torch.rand(24, 60, generator=drawn) < 0.5
    noise = torch.randn(5, 24, 60, generator=drawn, dtype=torch.float64)
    return noise + shift * member, member


def area(scores, member):
    return auroc(scores[member].numpy(), scores[~member].numpy())


def test_planted_members_are_found_and_more_rounds_tell_more():
    signals, member = halves(0.6)
    one = area(likelihood_ratio(signals[0], member), member)
    assert one > 0.55
    assert area(of_all_rounds(signals, member), member) > one + 0.05


def test_where_there_is_nothing_nothing_is_found():
    signals, member = halves(0.0)
    # 1440 guesses: a standard error of 0.015
    assert abs(area(of_all_rounds(signals, member), member) - 0.5) < 4 * 0.015


def test_the_size_of_a_signal_counts_for_nothing():
    signals, member = halves(0.6)
    small = likelihood_ratio(signals[0] * 1e-4, member)
    torch.testing.assert_close(small, likelihood_ratio(signals[0], member))
