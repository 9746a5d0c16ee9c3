"""Sanitisers against their closed forms, and the gradients that an attacker takes through them."""

from dataclasses import replace
from functools import partial

import pytest
import torch

import tiny
from kinds import LEVELS, SCANS, SIDE, scans
from pipeline.data.schema import Schema
from pipeline.defenses.sanitising import (
    OWN,
    SANITISERS,
    SOFT,
    STRAIGHT,
    Sanitised,
    bits,
    check_sanitisers,
    jitter,
    jpeg,
    median,
    quantisation,
    rounding,
    sanitisers_for,
    soft_rounding,
)
from pipeline.files import BadInput

WIDE = replace(SCANS, features=(SCANS.features[0].model_copy(update={"upper": 255.0}),))


class Linear:
    """M = 1: a linear model of the pixels, whose gradient is its weight."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, x):
        lead = (x * self.weight).flatten(-3).sum(-1)
        return torch.stack([torch.zeros_like(lead), lead], -1)


def image(*shape, seed=0, upper=LEVELS):
    drawn = torch.Generator().manual_seed(seed)
    return torch.randint(0, upper + 1, (1, 5, 1, *shape), generator=drawn).float()


def toward_class_1(shape):
    grad = torch.zeros(*shape[:2], 2)
    grad[..., 1] = 1
    return grad


# ---- closed forms ----


@pytest.mark.parametrize("kept", [1, 2, 3, 8])
def test_bits_keep_so_many_levels_and_the_nearest_of_them(kept):
    x = torch.arange(256.0).view(1, 1, 1, 16, 16)
    cleaned = bits(x, WIDE, bits=kept)
    assert len(cleaned.unique()) == 2**kept
    levels = torch.linspace(0, 255, 2**kept)
    nearest = (x[..., None] - levels).abs().amin(-1)
    assert torch.allclose((cleaned - x).abs(), nearest, atol=1e-4)


def test_the_median_takes_away_single_pixels_and_keeps_an_edge():
    flat = torch.full((1, 1, 1, 9, 9), 3.0)
    spot = flat.clone()
    spot[..., 4, 4] = 16
    assert torch.equal(median(spot, SCANS, size=3), flat)
    edge = flat.clone()
    edge[..., 5:] = 12
    assert torch.equal(median(edge, SCANS, size=3), edge)
    assert torch.equal(median(edge, SCANS, size=1), edge)


def test_the_median_is_that_of_each_square():
    x = image(6, 7)
    cleaned = median(x, SCANS, size=3)
    for row in range(1, 5):
        for column in range(1, 6):
            square = x[..., row - 1 : row + 2, column - 1 : column + 2].flatten(-2)
            assert torch.equal(cleaned[..., row, column], square.sort(-1).values[..., 4])


def test_rounding_is_its_own_rounding_and_changes_no_recorded_value():
    data = tiny.records(80, seed=0)
    off = data.x + 0.37 * data.schema.column("scale").float()
    once = rounding(off, data.schema)
    assert tiny.same_bits(rounding(once, data.schema), once)
    recorded = rounding(data.x, data.schema)
    assert torch.allclose(recorded, data.x, rtol=1e-6, equal_nan=True)
    low, high = (data.schema.column(name).float() for name in ("lower", "upper"))
    inside = (once >= low) & (once <= high) | once.isnan()
    assert inside.all()
    assert torch.equal(once.isnan(), off.isnan())


def test_a_coarse_grid_has_the_asked_width_in_units_of_scale():
    schema = Schema(("bmi",), (tiny.FEATURES["bmi"],), "outcome", ("healthy", "ill"))
    x = torch.linspace(15, 60, 400)[None, :, None]
    values = rounding(x, schema, coarseness=0.5).unique()
    assert torch.allclose(values.diff(), torch.tensor(3.5), atol=1e-4)  # half of a scale of 7


def test_without_quantisation_jpeg_loses_nothing_but_rounding():
    x = image(11, 13, upper=255)
    assert torch.equal(quantisation(100), torch.ones(8, 8, dtype=torch.float64))
    assert (jpeg(x, WIDE, quality=100) - x).abs().max() <= 3  # of 64 roundings of at most 1/2
    exactly = jpeg(x.double(), WIDE, lambda values: values, quality=10)
    assert torch.allclose(exactly, x.double(), atol=1e-9)  # the cosines are orthonormal


def test_libjpeg_scales_its_table_by_quality():
    assert quantisation(50)[0, 0] == 16
    assert quantisation(75)[0, 0] == 8
    assert quantisation(25)[0, 1] == 22
    assert quantisation(1).max() == 255


def test_jpeg_keeps_flat_blocks_and_loses_a_checkerboard():
    flat = torch.full((1, 1, 1, 16, 16), 128.0)
    assert torch.equal(jpeg(flat, WIDE, quality=50), flat)
    board = flat + 4 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1)
    assert torch.equal(jpeg(board, WIDE, quality=50), flat)


def test_noise_is_another_one_each_time_and_stays_within_the_range():
    x, drawn = image(SIDE, SIDE), torch.Generator().manual_seed(0)
    first, second = (jitter(x, SCANS, spread=4.0, drawn=drawn) for _ in range(2))
    assert not torch.equal(first, second)
    assert first.min() >= 0
    assert first.max() <= LEVELS


def test_soft_rounding_rounds_nearly_and_has_a_slope():
    values = torch.linspace(-3, 3, 601, dtype=torch.float64).requires_grad_()
    soft = soft_rounding(values)
    assert (soft - values.round()).abs().max() <= 0.125 + 1e-9
    slope = torch.autograd.grad(soft.sum(), values)[0]
    assert torch.allclose(slope, 3 * (values - values.round()) ** 2)


# ---- gradients ----


def test_straight_through_is_the_populations_gradient_at_the_sanitised_record():
    x, models = image(SIDE, SIDE).float(), Squares()
    way = Sanitised(models, partial(bits, schema=SCANS, bits=2), STRAIGHT)
    logits, pull = way.pullback(x)
    cleaned = bits(x, SCANS, bits=2)
    assert torch.equal(logits, models(cleaned))
    assert torch.allclose(pull(toward_class_1(x.shape)), 2 * cleaned)


class Squares:
    """The lead is the sum of squares: its gradient is twice the image that it sees."""

    def __call__(self, x):
        lead = x.square().flatten(-3).sum(-1)
        return torch.stack([torch.zeros_like(lead), lead], -1)


def test_the_medians_own_gradient_agrees_with_differences():
    x = image(SIDE, SIDE).double() + torch.rand(1, 5, 1, SIDE, SIDE, dtype=torch.float64)
    weight = torch.randn(1, SIDE, SIDE, dtype=torch.float64)
    way = Sanitised(Linear(weight), partial(median, schema=SCANS, size=3), OWN)
    grad = way.pullback(x)[1](toward_class_1(x.shape).double())
    for row, column in ((0, 0), (3, 4), (7, 7)):
        moved = x.clone()
        moved[..., row, column] += 1e-7
        slope = (way(moved) - way(x))[..., 1] / 1e-7
        assert torch.allclose(grad[..., 0, row, column], slope, atol=1e-4)


def test_soft_rounding_reaches_the_record_through_jpeg():
    x = image(SIDE, SIDE, upper=255)
    clean = partial(jpeg, schema=WIDE, quality=50)
    weight = torch.randn(1, SIDE, SIDE)
    answers, grads = zip(
        *(
            (logits, pull(toward_class_1(x.shape)))
            for way in (STRAIGHT, SOFT)
            for logits, pull in [Sanitised(Linear(weight), clean, way).pullback(x)]
        ),
        strict=True,
    )
    assert torch.equal(*answers)  # whatever stands in for the gradient
    assert torch.equal(grads[0], weight.expand_as(x))
    assert not torch.allclose(grads[1], grads[0])
    assert (grads[1] != 0).any()


def test_through_noise_the_gradient_is_the_mean_over_draws():
    x, models = image(SIDE, SIDE), Squares()
    seeds = [1, 2, 3]

    def noise():
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    clean = partial(jitter, schema=SCANS, spread=0.5)
    way = Sanitised(models, clean, OWN, noise)
    logits, pull = way.pullback(x)
    each = [clean(x, drawn=drawn) for drawn in noise()]
    assert torch.allclose(logits, torch.stack([models(one) for one in each]).mean(0))
    inside = torch.stack([2 * one * ((one > 0) & (one < LEVELS)) for one in each]).mean(0)
    found = pull(toward_class_1(x.shape))
    free = torch.stack([(one > 0) & (one < LEVELS) for one in each]).all(0)
    assert torch.allclose(found[free], inside[free], atol=1e-4)


def test_a_missing_value_has_no_gradient():
    data, models = tiny.records(30, seed=0), tiny.population(2)
    x = data.x.expand(2, -1, -1)
    for name in ("rounding", "jitter"):
        options = {"method": name} | ({"spread": 0.2} if name == "jitter" else {})
        one = sanitisers_for({name: options}, data.schema)[name]
        noise = (lambda: [torch.Generator().manual_seed(0)]) if one.entry.random else None
        way = Sanitised(models, one.clean, one.entry.stand_ins[0], noise)
        grad = way.pullback(x)[1](torch.ones(2, 30, 2) * torch.tensor([-1.0, 1.0]))
        assert (grad[x.isnan()] == 0).all()
        assert grad.isfinite().all()
        assert (grad != 0).any()


# ---- the registry ----


def test_only_those_that_serve_such_data_are_taken():
    configured = {
        "a": {"method": "bits", "bits": 3},
        "b": {"method": "rounding", "coarseness": 0.5},
        "c": None,
    }
    assert list(sanitisers_for(configured, SCANS)) == ["a", "b"]
    assert list(sanitisers_for(configured, tiny.SCHEMA)) == ["b"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "medain", "size": 3}, "s.x.method: 'medain' is no sanitiser"),
        ({"method": "median"}, "s.x.size: missing"),
        ({"method": "median", "size": 0}, "s.x.size"),
        ({"method": "bits", "bits": 9}, "s.x.bits"),
        ({"method": "jitter", "spread": 1.0, "drawn": 1}, "s.x.drawn: unknown key"),
    ],
)
def test_a_wrong_option_is_one_line(options, said):
    with pytest.raises(BadInput, match=said):
        check_sanitisers({"x": options}, "s")


@pytest.mark.parametrize("name", SANITISERS)
def test_every_sanitiser_keeps_shape_and_type(name):
    options = {"bits": {"bits": 3}, "median": {"size": 3}, "jpeg": {"quality": 75}}
    options["jitter"] = {"spread": 1.0, "drawn": torch.Generator().manual_seed(0)}
    x = scans(6, seed=0).x[None]
    for kind in (x, x.double(), x.expand(2, -1, -1, -1, -1, -1)):
        cleaned = SANITISERS[name].clean(kind, SCANS, **options.get(name, {}))
        assert cleaned.shape == kind.shape
        assert cleaned.dtype == kind.dtype
