"""Better bounds: below the margin in every part of a box, and of one mind with the verifier."""

import pytest
import torch

import tiny
from benchmarks.tighter import Question, bound, by_boxes, by_signs
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem
from tiny import UNCONSTRAINED

EPS = 0.4


@pytest.fixture(scope="module")
def asked():
    network = Network.of(tiny.population(1, hidden=(9, 7)), 0)
    x = network.filled(tiny.records(40, seed=5).x).float()
    y = (network.margin(x.double(), torch.ones(40).long(), torch.zeros(40).long()) > 0).long()
    problem = Problem.of(network, x, UNCONSTRAINED.box(x, EPS), (y, 1 - y), UNCONSTRAINED, EPS)
    return network, problem, Question.of(network, problem)


def values(question, x):
    """What each neuron receives at records (P, D)."""
    weight, bias = question.first
    first = x @ weight + bias
    return torch.cat([first, first.clamp_min(0) @ question.second[0] + question.second[1]], 1)


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("known", [0.0, 0.2])
def test_bounds_are_below_the_margin_wherever_the_signs_hold(asked, steps, known):
    question, draw = asked[2], torch.Generator().manual_seed(3)

    def inside():
        share = torch.rand(question.centre.shape, generator=draw, dtype=torch.float64) * 2 - 1
        return question.centre + share * question.radius

    signs = torch.sign(values(question, inside()))
    signs = torch.where(torch.rand(signs.shape, generator=draw) < known, signs, 0.0)
    value = bound(question, (signs[:, :9], signs[:, 9:]), steps)[0]
    held = 0
    for _ in range(300):
        x = inside()
        here = (values(question, x) * signs >= 0).all(1)
        held += int(here.sum())
        assert (value[here] <= question.margin(x)[here] + 1e-9).all()
    assert held > 200


def test_steps_never_lower_a_bound_and_raise_most(asked):
    question = asked[2]
    signs = (torch.zeros(40, 9, dtype=torch.float64), torch.zeros(40, 7, dtype=torch.float64))
    plain, better = (bound(question, signs, steps)[0] for steps in (0, 10))
    assert (better >= plain).all()
    assert (better > plain).float().mean() > 0.5


@pytest.mark.parametrize("steps", [0, 10])
def test_what_is_decided_is_what_the_verifier_decides(asked, steps):
    network, problem, question = asked
    boxes = by_boxes(network, problem, 5000)
    signs = by_signs(question, torch.zeros(40, dtype=torch.bool), 5000, steps)
    assert (boxes != 0).all()
    assert {-1, 1} <= set(boxes.tolist())
    decided = signs != 0
    assert decided.float().mean() > (0.85 if steps else 0.3)
    assert torch.equal(signs[decided], boxes[decided])
