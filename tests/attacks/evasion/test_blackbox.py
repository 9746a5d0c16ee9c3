"""Without gradients, about what PGD finds with them; and what is drawn is what is said."""

import pytest
import torch

import tiny
from pipeline.attacks.evasion.blackbox import _square_of, _subset_of, hop_skip_jump, square
from pipeline.attacks.evasion.gradient import pgd
from pipeline.models.answers import margin
from tiny import BALL, CLINICAL, EUCLIDEAN, UNCONSTRAINED, slope

pytestmark = pytest.mark.heavy

generator = torch.Generator().manual_seed
THREATS = {
    "clinical": CLINICAL,
    "unconstrained": UNCONSTRAINED,
    "euclidean": EUCLIDEAN,
    "ball": BALL,
}
GRID = torch.tensor([0.1, 0.3, 1.0])[:, None, None, None]

every_threat = pytest.mark.parametrize("threat", THREATS.values(), ids=THREATS)


@pytest.fixture(scope="module")
def models():
    return tiny.population(3, hidden=(16, 16))


@pytest.fixture(scope="module")
def x():
    return tiny.records(150, seed=1).x.view(3, 50, 5)


@pytest.fixture(scope="module")
def y(models, x):
    return models(x).argmax(-1)


def share_broken(models, x_adv, y):
    return (margin(models(x_adv), y) <= 0).float().mean((1, 2))


@every_threat
@pytest.mark.parametrize(("attack", "queries"), [(square, 150), (hop_skip_jump, 600)])
def test_breaks_nearly_as_many_records_as_pgd(models, x, y, threat, attack, queries):
    by_pgd = share_broken(
        models,
        pgd(models, x, y, threat, eps=GRID, steps=20, step_size=0.2, generator=generator(0)),
        y,
    )
    found = share_broken(
        models, attack(models, x, y, threat, eps=GRID, queries=queries, generator=generator(0)), y
    )
    assert by_pgd[-1] > 0.25
    assert (found >= 0.85 * by_pgd - 0.02).all()


@pytest.mark.parametrize("attack", [square, hop_skip_jump])
@every_threat
def test_more_queries_break_more(models, x, y, threat, attack):
    few, many = (
        share_broken(
            models,
            attack(models, x, y, threat, eps=GRID, queries=queries, generator=generator(0)),
            y,
        ).sum()
        for queries in (14, 150)
    )
    assert many > few


def test_square_on_a_linear_model_reaches_the_best_corner():
    linear, x = tiny.population(3, hidden=()), tiny.records(90, seed=2, missing=0).x.view(3, 30, 5)
    y = linear(x).argmax(-1)
    x_adv = square(linear, x, y, UNCONSTRAINED, eps=0.3, queries=300, generator=generator(0))
    truth = margin(linear(x), y) - 0.3 * slope(linear, y, UNCONSTRAINED).abs().sum(-1)
    torch.testing.assert_close(margin(linear(x_adv), y), truth, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("threat", "excess"), [(UNCONSTRAINED, 1.2), (BALL, 1.1)], ids=["linf", "l2"]
)
def test_hop_skip_jump_on_a_linear_model_comes_near_the_true_distance(threat, excess):
    linear, x = tiny.population(3, hidden=()), tiny.records(90, seed=2, missing=0).x.view(3, 30, 5)
    y = linear(x).argmax(-1)
    steepness = slope(linear, y, threat)
    truth = margin(linear(x), y) / (
        steepness.abs().sum(-1) if threat.norm == "linf" else steepness.norm(dim=-1)
    )
    x_adv = hop_skip_jump(
        linear, x, y, threat, eps=10 * truth[..., None], queries=2000, generator=generator(0)
    )
    found = threat.distance(x_adv, x) / truth
    assert (margin(linear(x_adv), y) <= 0).all()
    assert (found > 0.999).all()
    assert found.median() < excess


def test_hop_skip_jump_presents_only_what_it_saw_to_be_wrong(models, x, y):
    for threat in THREATS.values():
        x_adv = hop_skip_jump(models, x, y, threat, eps=GRID, queries=100, generator=generator(0))
        touched = ((x_adv != x) & ~x.isnan()).any(-1)
        assert touched.any()
        assert not touched.all()
        assert (margin(models(x_adv), y)[touched] <= 0).all()
        distance = threat.distance(x_adv, x)
        assert (
            distance.diff(dim=0)[touched[:-1]].abs() == 0
        ).all()  # one record serves all radii that hold it


@pytest.mark.parametrize("attack", [square, hop_skip_jump])
def test_a_record_that_is_wrong_already_is_good_enough(models, x, y, attack):
    x_adv = attack(models, x, 1 - y, CLINICAL, eps=0.3, queries=30, generator=generator(0))
    assert (margin(models(x_adv), 1 - y) <= 0).all()
    if attack is hop_skip_jump:
        torch.testing.assert_close(x_adv, x, equal_nan=True, rtol=0, atol=0)


# ---- what Square draws ----


def test_a_subset_holds_its_share_of_the_free_values_and_at_least_one():
    free = torch.tensor([True, True, False, True]).expand(4000, 4)
    for part in (1.0, 0.5, 0.01):
        region, sign = _subset_of(free, torch.Size([4]), part, generator(0))
        region = region & free
        assert region.any(-1).all()
        size = region.sum(-1).float().mean()
        expected = 3 * part + (1 - part) ** 3
        assert size == pytest.approx(expected, abs=4 * 0.9 / 4000**0.5)
        if part < 1:
            assert region.float().mean(0)[[0, 1, 3]].std() < 0.02
        assert sign.float().mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("part", "side"), [(0.25, 4), (0.1, 3), (0.001, 1), (0.99, 6)])
def test_a_square_is_a_square_anywhere_with_one_sign_per_channel(part, side):
    shape = torch.Size([2, 6, 9])
    region, sign = _square_of(torch.ones(500, 108, dtype=torch.bool), shape, part, generator(0))
    side = min(max(round((part * 54) ** 0.5), 1), 6)
    region, sign = region.view(500, *shape), sign.view(500, *shape)
    assert torch.equal(region[:, 0], region[:, 1])
    assert (region[:, 0].any(1).sum(-1) == side).all()
    assert (region[:, 0].any(2).sum(-1) == side).all()
    assert (region[:, 0].sum((-1, -2)) == side**2).all()
    assert region.any(0).all() or side > 5  # every pixel is reached
    assert (sign.flatten(2).float().std(-1) == 0).all()
    assert sign.float().mean() == pytest.approx(0.5, abs=0.08)


def test_the_first_query_paints_vertical_stripes():
    region, sign = _square_of(
        torch.ones(50, 36, dtype=torch.bool), torch.Size([1, 6, 6]), 1.0, generator(0)
    )
    assert region.all()
    stripes = sign.view(50, 6, 6)
    assert torch.equal(stripes, stripes[:, :1].expand(-1, 6, -1))
    assert (stripes.float().mean((-1, -2)) != 0.5).any()


def test_square_on_an_image_changes_squares():
    """One query after the stripes may change one square only."""
    ones = torch.ones(1, 8, 8, dtype=torch.float64)
    threat = type(CLINICAL)(ones.bool(), 0 * ones, ones, 0 * ones, ones)
    x, y = torch.full((1, 4, 1, 8, 8), 0.5), torch.zeros(1, 4, dtype=torch.int64)
    seen = []

    def model(images):
        seen.append(images.clone())
        return torch.stack([images.sum((-3, -2, -1)), 0 * images[..., 0, 0, 0]], -1)

    square(model, x, y, threat, eps=0.1, queries=12, share=0.1, generator=generator(0))
    best = x
    for tried in seen[1:]:
        changed = (tried != best)[0, :, 0]
        if tried is not seen[1]:
            rows, columns = changed.any(2).sum(-1), changed.any(1).sum(-1)
            assert (rows <= 3).all()
            assert (columns <= 3).all()
        lower = (tried.sum((-3, -2, -1)) < best.sum((-3, -2, -1)))[..., None, None, None]
        best = torch.where(lower, tried, best)
