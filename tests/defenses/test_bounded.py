"""Intervals hold whatever a record within reach makes of a network; training on them proves it."""

from itertools import islice

import pytest
import torch

import lattice
import tiny
from pipeline.defenses.bounded import ramped, worst_logits
from pipeline.defenses.trained import train
from pipeline.files import BadInput

EPS = 2.0


def leads(logits, y):
    """Of every class over the own one."""
    return logits - logits.gather(-1, y[..., None])


def test_no_image_within_reach_beats_the_worst_logits():
    population, threat = lattice.networks(), lattice.pixels()
    x, y = lattice.images(10, population)
    corners = tuple(end.float()[None] for end in threat.box(x, EPS))
    worst = worst_logits(
        population.architecture, corners, y[None], population.preprocessing, population.parameters
    )
    assert (worst.gather(-1, y[None, :, None]) == 0).all()
    for row in range(10):
        every = lattice.reachable(x[row], threat, EPS)
        found = leads(population(every[None])[0], y[row].expand(len(every))).amax(0)
        assert (found <= worst[0, row] + 1e-4).all()


def test_no_record_within_reach_beats_the_worst_logits():
    population, dataset = tiny.population(2, hidden=(6, 5)), tiny.records(20, seed=3)
    threat = tiny.UNCONSTRAINED
    x, y = dataset.x.expand(2, -1, -1), dataset.y.expand(2, -1)
    corners = tuple(end.float() for end in threat.box(x, 0.3))
    worst = worst_logits(
        population.architecture, corners, y, population.preprocessing, population.parameters
    )
    drawn = torch.Generator().manual_seed(0)
    for _ in range(100):
        share = torch.rand(x.shape, generator=drawn)
        moved = corners[0] + share * (corners[1] - corners[0])
        assert (leads(population(moved), y) <= worst + 1e-4).all()


def test_without_a_radius_the_worst_logits_are_the_network():
    population = lattice.networks((1, 8, 8), (3, 4), (5,))
    x, y = lattice.images(6, population, (1, 8, 8))
    worst = worst_logits(
        population.architecture,
        (x[None], x[None]),
        y[None],
        population.preprocessing,
        population.parameters,
    )
    torch.testing.assert_close(worst, leads(population(x[None]), y[None]), rtol=1e-4, atol=1e-4)


def test_radius_and_weight_are_eased_in():
    steps = list(ramped(10, 0.5, 4.0, 0.25))
    assert steps[0] == pytest.approx((0.8, 0.85))
    assert steps[4] == steps[9] == pytest.approx((4.0, 0.25))
    assert list(islice(ramped(3, 0.0, 4.0, 0.25), 1)) == [pytest.approx((4.0, 0.25))]


@pytest.fixture
def cfg(cfg):
    """A second's training, of records, whose certified training is configured."""
    options = {"eps": EPS, "threat": "clinical", "kappa": 0.5, "ramp": 0.5}
    return cfg.model_copy(update={"certified": options})


def test_intervals_need_values_that_move_by_themselves(cfg):
    limits = cfg.threat["clinical"].model_copy(update={"norm": "l2"})
    there = cfg.model_copy(update={"threat": {**cfg.threat, "clinical": limits}})
    dataset = tiny.records(20, seed=3)
    with pytest.raises(BadInput, match=r"^certified\.threat: .*'clinical' is l2; take"):
        train("certified", dataset, tiny.plan(dataset), there)
