"""Intervals hold whatever a record within reach makes of a network; training on them proves it."""

from itertools import islice

import pytest
import torch

import lattice
import tiny
from pipeline.config import DecisionConfig, TrainConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.certified import ramped, worst_logits
from pipeline.defenses.trained import train
from pipeline.files import BadInput
from pipeline.verify.convolution import Convolutions
from pipeline.verify.quick import quickly_proved
from pipeline.verify.scans import least_margins

EPS = 2.0


def fragile_problem(seed, n=300):
    """One feature tells classes apart by a wide, noisy gap, four others by one below the radius."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    sign = (2 * y - 1)[:, None]
    wide = 1.0 * sign + 0.7 * torch.randn(n, 1, generator=generator)
    narrow = 0.1 * sign + 0.1 * torch.randn(n, 4, generator=generator)
    features = tuple(tiny.feature(-10.0, 10.0, None, True, 0.0, 1.0) for _ in range(5))
    return Dataset(
        torch.cat([wide, narrow], 1), y, Schema(tuple("abcde"), features, "t", ("healthy", "ill"))
    )


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


def scans(count, seed):
    """Bright in the middle = ill, by a gap that is wide; a faint stripe says so too, nearly always.

    An ordinary network leans on both, and the stripe is within reach.
    """
    drawn = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = torch.randint(2, 11, (count, 1, 8, 8), generator=drawn).float()
    x[y == 1, :, 2:5, 2:5] += 5
    x[y == 1, :, :, 7] += 1
    return Dataset(x.clamp(0, lattice.LEVELS), y, lattice.schema((1, 8, 8)))


@pytest.mark.parametrize("kind", ["images", "records"])
def test_what_is_trained_on_bounds_is_proved_where_the_undefended_is_not(kind, cfg):
    """At equal epochs, of whoever was not trained on."""
    if kind == "images":
        dataset, eps = scans(240, seed=0), 1.0
        model = cfg.model.model_copy(update={"name": "cnn", "channels": [4, 4], "hidden": [8]})
        limits = cfg.threat["clinical"].model_copy(update={"boxes": 4})
    else:
        dataset, eps = fragile_problem(0), 0.4
        model, limits = cfg.model, tiny.threat_config(recorded_grid=False)
    cfg = cfg.model_copy(
        update={
            "model": model,
            "threat": {**cfg.threat, "clinical": limits},
            "train": TrainConfig(epochs=15, batch_size=32, learning_rate=5e-3, weight_decay=0.0),
            "decision": DecisionConfig(rule="threshold", value=0.5),
            "certified": {**cfg.defenses["certified"], "eps": eps},
        }
    )
    out = (torch.arange(len(dataset.y)) % 3 == 0).expand(1, -1)
    plan = Plan(~out, out, torch.zeros(1).long(), torch.zeros(1).long(), ("one",))
    x, y, threat = dataset.x[out[0]], dataset.y[out[0]], Threat.of(dataset.schema, limits)
    shares = {}
    for name in ("baseline", "certified"):
        population = train(name, dataset, plan, cfg)
        if kind == "images":
            proved = least_margins(Convolutions.of(population, 0), x, y, threat, eps, 0) > 0
        else:
            proved = quickly_proved(population, x[None], y[None], threat, eps)[0]
        shares[name] = float(proved.float().mean())
    assert shares["certified"] > shares["baseline"] + 0.15
    assert shares["certified"] > 0.6
