"""FAB finds the distance to the boundary.

On a linear model that is the closed form; on a network it is no larger than what PGD finds.
"""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.attacks.evasion.gradient import pgd
from pipeline.attacks.evasion.minimum import _onto, fab
from pipeline.models.answers import margin
from tiny import BALL, CLINICAL, EUCLIDEAN, UNCONSTRAINED, slope

pytestmark = pytest.mark.heavy

NORMS = {"linf": UNCONSTRAINED, "l2": BALL}
generator = torch.Generator().manual_seed


def true_distance(linear, x, y, threat):
    steepness = slope(linear, y, threat)
    return margin(linear(x), y) / (
        steepness.abs().sum(-1) if threat.norm == "linf" else steepness.norm(dim=-1)
    )


@pytest.mark.parametrize("threat", NORMS.values(), ids=NORMS)
def test_on_a_linear_model_the_smallest_radius_is_the_closed_form(linear, complete, threat):
    y = linear(complete).argmax(-1)
    truth = true_distance(linear, complete, y, threat)
    radii = truth[..., None] * torch.tensor([0.98, 1.02])[:, None, None, None]
    broken = (
        margin(
            linear(fab(linear, complete, y, threat, eps=radii, steps=8, generator=generator(0))), y
        )
        <= 0
    )
    assert not broken[0].any()
    assert broken[1].all()
    wide = fab(
        linear, complete, y, threat, eps=float(truth.max()) * 1.5, steps=8, generator=generator(0)
    )
    assert (margin(linear(wide), y) <= 0).all()


@pytest.mark.parametrize("threat", NORMS.values(), ids=NORMS)
def test_on_a_linear_model_every_radius_gets_the_smallest_margin(linear, complete, threat):
    y = linear(complete).argmax(-1)
    grid = torch.tensor([0.0, 0.1, 0.5, 2.0])[:, None, None, None]
    x_adv = fab(linear, complete, y, threat, eps=grid, steps=8, generator=generator(0))
    steepness = slope(linear, y, threat)
    fastest = steepness.abs().sum(-1) if threat.norm == "linf" else steepness.norm(dim=-1)
    truth = margin(linear(complete), y) - grid[..., 0] * fastest
    found = margin(linear(x_adv), y)
    assert (found >= truth - 1e-4).all()
    assert (found - truth <= 0.02 + 0.02 * truth.abs()).float().mean() > 0.9


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_onto_is_the_nearest_point_of_the_plane_in_the_box(norm):
    """Against the same problem solved by bisection on how long every value moves."""
    draw = generator(1)
    slopes = torch.randn(500, 5, generator=draw).double()
    slopes[:, 4] = 0
    least, most = (
        -torch.rand(500, 5, generator=draw).double(),
        torch.rand(500, 5, generator=draw).double(),
    )
    least[:, 0] = most[:, 0] = 0
    gap = torch.randn(500, 1, generator=draw).double()
    direction = slopes * gap.sign()
    speed = slopes.abs().sign() if norm == "linf" else slopes.abs()

    def at(time):
        return torch.maximum(torch.minimum(direction.sign() * speed * time, most), least)

    low, high = torch.zeros(500, 1).double(), torch.full((500, 1), 1e4).double()
    for _ in range(80):
        middle = (low + high) / 2
        enough = (direction * at(middle)).sum(-1, keepdim=True) >= gap.abs()
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    found = _onto(gap, slopes, least, most, norm)
    reachable = (direction * at(1e4)).sum(-1) >= gap.abs()[:, 0]
    assert 50 < reachable.sum() < 450
    torch.testing.assert_close(found[reachable], at(high)[reachable], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found[~reachable], at(1e4)[~reachable], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(
        (found * slopes).sum(-1)[reachable], gap[reachable, 0], rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize(
    "threat",
    [CLINICAL, UNCONSTRAINED, EUCLIDEAN, BALL],
    ids=["clinical", "linf", "euclidean", "l2"],
)
@pytest.mark.parametrize("classes", [2, 4])
def test_on_a_network_it_breaks_about_what_pgd_breaks(threat, classes):
    models = tiny.population(5, hidden=(16, 16), classes=classes)
    x = tiny.records(250, seed=0).x.view(5, 50, 5)
    y = models(x).argmax(-1)
    eps = torch.tensor([0.1, 0.3, 1.0])[:, None, None, None]
    by_fab = (
        margin(
            models(
                fab(models, x, y, threat, eps=eps, steps=15, restarts=3, generator=generator(0))
            ),
            y,
        )
        <= 0
    )
    by_pgd = (
        margin(
            models(
                pgd(models, x, y, threat, eps=eps, steps=40, step_size=0.1, generator=generator(0))
            ),
            y,
        )
        <= 0
    )
    assert by_pgd[-1].float().mean() > 0.2
    assert (by_fab.float().mean((1, 2)) >= 0.93 * by_pgd.float().mean((1, 2)) - 0.01).all()


def test_the_radii_of_a_grid_share_one_search(linear, complete):
    """Broken at one radius is broken at all larger ones, which separate searches do not promise."""
    models = tiny.population(3)
    y = models(complete).argmax(-1)
    grid = torch.linspace(0, 1, 15)[:, None, None, None]
    for threat in (CLINICAL, BALL):
        x_adv = fab(models, complete, y, threat, eps=grid, steps=6, generator=generator(0))
        broken = (margin(models(x_adv), y) <= 0).int()
        assert broken[-1].any()
        assert (broken.diff(dim=0) >= 0).all()


def test_more_restarts_find_what_one_start_misses():
    models = tiny.population(5, hidden=(16, 16), boost=5.0)
    x = tiny.records(250, seed=0).x.view(5, 50, 5)
    y = models(x).argmax(-1)

    def after(restarts):
        eps = torch.tensor([0.1, 0.5, 1.0])[:, None, None, None]
        return margin(
            models(
                fab(
                    models,
                    x,
                    y,
                    EUCLIDEAN,
                    eps=eps,
                    steps=6,
                    restarts=restarts,
                    generator=generator(0),
                )
            ),
            y,
        )

    one, four = after(1), after(4)
    assert (four <= one).all()
    assert (four <= 0).sum() > (one <= 0).sum()


def test_a_flat_model_is_left_alone():
    x = tiny.records(20, seed=0).x[None]

    def constant(records):
        return torch.tensor([2.0, 1.0]) + 0 * records[..., :2].nan_to_num()

    y = torch.zeros(1, 20, dtype=torch.int64)
    for threat in (CLINICAL, BALL):
        x_adv = fab(constant, x, y, threat, eps=0.5, steps=3, generator=generator(0))
        assert not x_adv.isnan().ne(x.isnan()).any()
        torch.testing.assert_close(x_adv, x, equal_nan=True, rtol=0, atol=0)


def test_immutable_features_cost_and_give_nothing(linear, complete):
    frozen = replace(UNCONSTRAINED, mutable=CLINICAL.mutable)
    y = linear(complete).argmax(-1)
    steepness = (slope(linear, y, frozen) * frozen.mutable).abs().sum(-1)
    radii = (1.02 * margin(linear(complete), y) / steepness)[..., None]
    assert (
        margin(
            linear(fab(linear, complete, y, frozen, eps=radii, steps=8, generator=generator(0))), y
        )
        <= 0
    ).all()
