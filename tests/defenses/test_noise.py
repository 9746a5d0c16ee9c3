"""Numbers of the operating system: uniform, normal, never the same; seeded ones repeat."""

import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.defenses import noise
from pipeline.defenses.noise import normals, secret_normals, secret_uniforms, uniforms
from pipeline.seeds import Stream, generator


def test_secret_normals_are_normal():
    drawn = secret_normals(200_001)
    assert drawn.shape == (200_001,)
    assert drawn.dtype == torch.float32
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 1e-6
    halves = drawn[:200_000].reshape(2, -1)
    assert abs(float(torch.corrcoef(halves)[0, 1])) < 5 / 100_000**0.5


def test_secret_uniforms_are_uniform_and_below_1():
    drawn = secret_uniforms(200_000)
    assert stats.kstest(drawn.numpy(), "uniform").pvalue > 1e-6
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1


def test_the_largest_bits_stay_finite_and_below_1(monkeypatch):
    for byte in (b"\xff", b"\x00"):
        monkeypatch.setattr(noise.os, "urandom", lambda count, byte=byte: byte * count)
        assert secret_normals(4).isfinite().all()
        assert float(secret_uniforms(4).max()) < 1


@pytest.mark.parametrize("draw", [normals, uniforms])
def test_seeds_repeat_and_secrets_do_not(draw):
    seeds = torch.tensor([3, 4])

    def numbers(secret):
        return np.stack([source(5).numpy() for source in draw(seeds, Stream.DP_NOISE, secret)])

    assert np.array_equal(numbers(False), numbers(False))
    assert not np.array_equal(numbers(False)[0], numbers(False)[1])
    assert not np.intersect1d(numbers(True), numbers(True)).size
    expected = generator(Stream.DP_NOISE, 3)
    one = torch.randn if draw is normals else torch.rand
    assert np.array_equal(numbers(False)[0], one(5, generator=expected).numpy())
