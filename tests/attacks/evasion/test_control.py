"""The control draws what it says, and the worst of several versions is the worst."""

from itertools import pairwise

import pytest
import torch

from pipeline.attacks.evasion.control import better, noise, worst
from pipeline.models.answers import margin
from tiny import BALL, CLINICAL, SPARSE, same_bits

GRID = torch.tensor([0.0, 0.05, 0.3, 1.0])[:, None, None, None]


@pytest.fixture(scope="module")
def y(models, x):
    return models(x).argmax(-1)


def test_worst_takes_the_smallest_margin_of_each_record_and_the_first_of_equals(models, x, y):
    candidates = [x, x + 5, x, x - 20]
    chosen = worst(models, candidates, y)
    margins = torch.stack([margin(models(candidate), y) for candidate in candidates])
    assert torch.equal(margin(models(chosen), y), margins.min(0).values)
    assert same_bits(worst(models, [x, x], y), x)


def test_better_chooses_whole_images():
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 2, 3, 3)
    chosen, margins = better(
        lambda z: torch.stack([z.mean((-3, -2, -1)), torch.full((2,), 0.5)], -1),
        1 - images,
        torch.tensor([0, 0]),
        images,
        torch.tensor([-0.5, 0.5]),
    )
    assert torch.equal(chosen, torch.zeros(2, 2, 3, 3))
    assert margins.tolist() == [-0.5, -0.5]


@pytest.mark.parametrize("threat", [CLINICAL, BALL, SPARSE], ids=["linf", "l2", "l0"])
def test_more_draws_never_hurt_any_record(models, x, y, threat):
    eps = 2.0 if threat is SPARSE else GRID

    def after(draws):
        return margin(
            models(
                noise(
                    models,
                    x,
                    y,
                    threat,
                    eps=eps,
                    draws=draws,
                    generator=torch.Generator().manual_seed(4),
                )
            ),
            y,
        )

    if (
        threat is SPARSE
    ):  # the subsets are drawn after all corners, so the first draw is another one
        assert after(20).mean() < after(1).mean()
        return
    for fewer, more in pairwise(map(after, (1, 2, 5))):
        assert (more <= fewer).all()
        assert (more < fewer).any()


def test_noise_is_a_corner_a_point_of_the_sphere_or_the_ends_of_some_ranges(models, x, y):
    def drawn(threat, eps):
        return noise(models, x, y, threat, eps=eps, generator=torch.Generator().manual_seed(0))

    low, high = (corner.float() for corner in CLINICAL.box(x, 0.3))
    corner = drawn(CLINICAL, 0.3)
    assert (((corner - low).abs() < 1e-4) | ((corner - high).abs() < 1e-4) | x.isnan()).all()
    torch.testing.assert_close(
        BALL.distance(drawn(BALL, 0.3), x), torch.full((3, 30), 0.3).double(), rtol=1e-4, atol=1e-5
    )
    changed = drawn(SPARSE, 2.0) != x
    changed &= ~x.isnan()
    possible = ((~x.isnan()) & SPARSE.mutable).sum(-1).clamp(max=2)
    assert (
        changed.sum(-1) >= possible - 1
    ).all()  # a value may lie at the end of its range already
    assert (changed.sum(-1) <= possible).all()
    assert (changed.sum(-1) == possible).float().mean() > 0.9
    assert (
        changed[..., SPARSE.mutable].any(0).any(0).all()
    )  # every measurement is drawn now and then
