"""Where random numbers of DP-SGD come from: a seed, to be repeated, or the operating system.

A seeded generator of torch starts from 32 bits, so it hides nothing from whoever tries them all. A
secret draw asks the operating system for every single number, and nothing of it is kept.
"""

import os
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pipeline.seeds import Stream, generator
from pipeline.statistics import Array

SEEDED = "seeded: not for release"
SECRET = "from the operating system, not kept: for release"
Draws = Callable[[int], Tensor]


def normals(seeds: Tensor, stream: Stream, secret: bool) -> list[Draws]:
    """For each seed what draws so many standard normal numbers, float32.

    Args:
        seeds: (M,) int64; not read where `secret`.
        stream: that a seed starts.
        secret: from the operating system.
    """
    return [secret_normals] * len(seeds) if secret else _seeded(seeds, stream, torch.randn)


def uniforms(seeds: Tensor, stream: Stream, secret: bool) -> list[Draws]:
    """As `normals`, numbers of [0, 1)."""
    return [secret_uniforms] * len(seeds) if secret else _seeded(seeds, stream, torch.rand)


def _seeded(seeds: Tensor, stream: Stream, draw: Callable[..., Tensor]) -> list[Draws]:
    return [partial(draw, generator=generator(stream, seed)) for seed in seeds.tolist()]


def secret_uniforms(count: int) -> Tensor:
    """(count,) numbers of [0, 1) with 24 bits each, as `torch.rand` draws them."""
    return torch.from_numpy(np.floor(_uniforms(count) * 2**24) / 2**24).float()


def secret_normals(count: int) -> Tensor:
    """(count,) standard normal numbers (Box and Muller 1958) of 53 random bits each."""
    radius, turn = _uniforms(2 * (pairs := -(-count // 2))).reshape(2, pairs)
    length = np.sqrt(-2 * np.log1p(-radius))
    both = np.concatenate([length * np.cos(2 * np.pi * turn), length * np.sin(2 * np.pi * turn)])
    return torch.from_numpy(both[:count]).float()


def _uniforms(count: int) -> Array:
    bits = np.frombuffer(os.urandom(8 * count), dtype=np.uint64)
    uniform: Array = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform
