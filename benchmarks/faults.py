"""Faults of DP-SGD, planted from outside: each replaces a part of the mechanism while it trains.

The code under test has no switch for them. `FAULTS` maps a name to what plants it, `SAMPLING` those
that need a sample rate below 1.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pipeline.data.plan import rectangle
from pipeline.defenses import privacy
from pipeline.models.training import Batch

Fault = Callable[[], dict[str, Any]]
ORIGINAL = {
    name: getattr(privacy, name)
    for name in ("private_gradient", "clipped_sum", "poisson", "normals")
}


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The mechanism with a fault; afterwards it is as before."""
    try:
        for name, part in fault().items():
            setattr(privacy, name, part)
        yield
    finally:
        for name, part in ORIGINAL.items():
            setattr(privacy, name, part)


def noise_times(factor: float) -> Fault:
    def gradient(clip, noise, *rest):
        return ORIGINAL["private_gradient"](clip, noise * factor, *rest)

    return lambda: {"private_gradient": gradient}


def no_clipping() -> dict[str, Any]:
    return {
        "clipped_sum": lambda weights, constants, batch, _, *of: ORIGINAL["clipped_sum"](
            weights, constants, batch, 1e9, *of
        )
    }


def clipping_of_the_batch() -> dict[str, Any]:
    """The sum of the batch is clipped, to the bound times its records: not each record."""

    def clipped(weights, constants, batch, bound, *of):
        sums = ORIGINAL["clipped_sum"](weights, constants, batch, 1e9, *of)
        norm = torch.cat([value.flatten(1) for value in sums.values()], 1).norm(dim=1)
        most = bound * batch.weight.sum(1)
        factor = (most / norm.clamp(min=1e-12)).clamp(max=1)
        return {name: _each_times(value, factor) for name, value in sums.items()}

    return {"clipped_sum": clipped}


def noise_reused_in_steps() -> dict[str, Any]:
    """Each model draws once, and adds the same in every step."""

    def sources(seeds, offset, secret):
        drawn: dict[int, Tensor] = {}

        def once(place, source):
            def draw(count):
                if place not in drawn:
                    drawn[place] = source(count)
                return drawn[place]

            return draw

        honest = ORIGINAL["normals"](seeds, offset, secret)
        return [once(place, source) for place, source in enumerate(honest)]

    return {"normals": sources}


def noise_reused_once() -> dict[str, Any]:
    """The tenth draw of each model is its third once more."""

    def sources(seeds, offset, secret):
        def twice(source):
            kept: list[Tensor] = []

            def draw(count):
                kept.append(source(count))
                return kept[2] if len(kept) == 10 else kept[-1]

            return draw

        return [twice(source) for source in ORIGINAL["normals"](seeds, offset, secret)]

    return {"normals": sources}


def noise_shared_by_models() -> dict[str, Any]:
    """All models add the same noise."""
    return {
        "normals": lambda seeds, offset, secret: ORIGINAL["normals"](
            torch.full_like(seeds, int(seeds[0])), offset, secret
        )
    }


def private_denominator() -> dict[str, Any]:
    """The batch's own size, as Opacus and most code for training divide."""

    def gradient(clip, noise, _, seeds, *rest):
        honest = ORIGINAL["private_gradient"](clip, noise, 1.0, seeds, *rest)

        def divided(weights, constants, batch: Batch):
            share = 1 / batch.weight.sum(1).clamp(min=1)
            grads = honest(weights, constants, batch)
            return {name: _each_times(value, share) for name, value in grads.items()}

        return divided

    return {"private_gradient": gradient}


def _each_times(values: Tensor, factor: Tensor) -> Tensor:
    """Weights (M, ...) of each model times its own factor (M,)."""
    return values * factor.view(-1, *[1] * (values.dim() - 1))


def larger_sample_rate() -> dict[str, Any]:
    """Records join a fifth more often than the accountant was told."""
    return {
        "poisson": lambda rate, steps, *rest: ORIGINAL["poisson"](min(1.2 * rate, 1), steps, *rest)
    }


def _drawn(batch_of: Callable[[Tensor, float, int, Tensor], Tensor]) -> Fault:
    """A draw of one member's batch (N,) from its training rows, rate, step and random numbers."""

    def poisson(rate, steps, *_):
        def draw(train, seeds):
            generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
            order = torch.stack([torch.rand(train.shape[1], generator=one) for one in generators])
            for step in range(steps):
                fresh = torch.stack(
                    [torch.rand(train.shape[1], generator=one) for one in generators]
                )
                table = torch.stack(
                    [
                        batch_of(row, rate, step, torch.stack([own, new]))
                        for row, own, new in zip(train, order, fresh, strict=True)
                    ]
                )
                index, weight = rectangle(table)
                yield index, weight.float()

        return draw

    return lambda: {"poisson": poisson}


def _lowest(row: Tensor, chance: Tensor, first: int, last: int) -> Tensor:
    """The rows of one model whose numbers come at places first to last."""
    order = torch.where(row, chance, 2.0).argsort()[first:last]
    chosen = torch.zeros_like(row)
    chosen[order] = True
    return chosen & row


def fixed_batches(row: Tensor, rate: float, step: int, chance: Tensor) -> Tensor:
    """Batches of one size, without replacement."""
    return _lowest(row, chance[1], 0, round(rate * int(row.sum())))


def shuffled_passes(row: Tensor, rate: float, step: int, chance: Tensor) -> Tensor:
    """One shuffle, cut into batches: what a `DataLoader` does."""
    size = round(rate * int(row.sum()))
    part = step % round(1 / rate)
    return _lowest(row, chance[0], part * size, (part + 1) * size)


def same_batch(row: Tensor, rate: float, step: int, chance: Tensor) -> Tensor:
    """Poisson once, and the same batch in every step."""
    return row & (chance[0] < rate)


FAULTS: dict[str, Fault] = {
    "no noise": noise_times(0.0),
    "half the noise": noise_times(0.5),
    "noise 10 % too small": noise_times(0.9),
    "no clipping": no_clipping,
    "clipping of the batch": clipping_of_the_batch,
    "the same noise in every step": noise_reused_in_steps,
    "one noise used twice": noise_reused_once,
    "one noise for all models": noise_shared_by_models,
    "private denominator": private_denominator,
}
SAMPLING: dict[str, Fault] = {
    "sample rate a fifth too large": larger_sample_rate,
    "batches of one size": _drawn(fixed_batches),
    "shuffled passes": _drawn(shuffled_passes),
    "the same batch in every step": _drawn(same_batch),
    "private denominator": private_denominator,
}
