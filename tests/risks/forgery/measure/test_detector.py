"""A detector of forged scans: what it must find, and what nobody can."""

import pytest
import torch

from pipeline.attacks.forgery import Range
from pipeline.risks.forgery.measure import detector as module
from pipeline.risks.forgery.measure.detector import FILTERS, residuals, train_detector
from pipeline.statistics import rates

LEVELS = Range(0.0, 255.0)


def smooth(count, drawn, side=16):
    """Scans without an edge: a slope of any direction, and little noise."""
    along = torch.arange(side) / side
    slope = torch.rand(2, count, 1, 1, generator=drawn)
    x = 60 + 80 * (slope[0] * along[:, None] + slope[1] * along)
    return (x + torch.randint(-1, 2, x.shape, generator=drawn)).round()[:, None]


def with_seam(x):
    """An obvious one: a bright square, in the middle."""
    forged = x.clone()
    forged[..., 5:11, 5:11] += 40
    return forged


def seams(drawn):
    genuine, forged = smooth(32, drawn).split(16)
    return genuine, with_seam(forged)


def nothing(drawn):
    return smooth(32, drawn).split(16)


def trained(draw, seed=0, steps=60):
    return train_detector(draw, 1, LEVELS, steps=steps, learning_rate=3e-3, seed=seed)


def area(found, genuine, forged):
    label = torch.cat([torch.zeros(len(genuine)), torch.ones(len(forged))]).numpy()
    return rates.auroc(torch.cat([found(genuine), found(forged)]).numpy(), label)


def test_filters_see_no_slope():
    """Content of first order is gone: each filter and its first moments add up to 0."""
    place = torch.arange(5.0) - 2
    for one in FILTERS:
        assert one.sum().abs() < 1e-6
        assert (one.sum(0) @ place).abs() < 1e-6
        assert (one.sum(1) @ place).abs() < 1e-6
    slope = (2 * torch.arange(12.0)[:, None] + 3 * torch.arange(12.0))[None, None]
    assert residuals(slope, LEVELS)[..., 2:-2, 2:-2].abs().max() < 1e-4
    assert residuals(slope.expand(2, 3, -1, -1), LEVELS).shape == (2, 12, 12, 12)


def test_obvious_seams_are_found():
    drawn = torch.Generator().manual_seed(9)
    x = smooth(200, drawn)
    assert area(trained(seams), x[:100], with_seam(x[100:])) > 0.99


def test_what_is_not_forged_is_not_told_apart():
    """Of 500 + 500 alike, the standard error of the AUROC is 0.018."""
    drawn = torch.Generator().manual_seed(9)
    x = smooth(1000, drawn)
    assert area(trained(nothing), x[:500], x[500:]) == pytest.approx(0.5, abs=4 * 0.018)


def test_the_seed_decides():
    one, again, other = trained(seams, steps=3), trained(seams, steps=3), trained(seams, 1, 3)
    assert all(torch.equal(one.parameters[name], again.parameters[name]) for name in one.parameters)
    assert not torch.equal(one.parameters["weight0"], other.parameters["weight0"])
    begun, elsewhere = (trained(seams, seed, steps=0).parameters for seed in (0, 1))
    assert not torch.equal(begun["weight0"], elsewhere["weight0"])
    drawn = []
    for seed in (0, 0, 1):
        trained(lambda generator: drawn.append(seams(generator)) or drawn[-1], seed, steps=1)
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[0][0], drawn[2][0])


def test_blocks_change_nothing_but_memory(monkeypatch):
    x = smooth(30, torch.Generator().manual_seed(1))
    whole, answer = trained(seams, steps=4), trained(seams, steps=4)(x)
    monkeypatch.setattr(module, "AT_ONCE", 7 * 16 * 16)
    parts = trained(seams, steps=4)
    torch.testing.assert_close(whole(x), answer)
    for name, value in whole.parameters.items():
        torch.testing.assert_close(parts.parameters[name], value, rtol=1e-3, atol=1e-5)


def test_scans_of_224_pixels_fit_into_memory():
    x = torch.zeros(3, 1, 224, 224)
    assert module.block_of(x) == 20
    found = train_detector(
        lambda drawn: (x[:1], with_seam(x[1:])), 1, LEVELS, steps=1, learning_rate=1e-3, seed=0
    )
    assert found(x).shape == (3,)
