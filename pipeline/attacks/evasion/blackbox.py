"""Attacks that see no gradient: by scores (Square), by labels alone (HopSkipJump).

Both count the answers they ask for.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline.attacks.evasion.control import better
from pipeline.attacks.evasion.records import LogitsFn, corners, largest_radius, on_records, size_of
from pipeline.config import Count, Norm, Share
from pipeline.data.threat import Threat
from pipeline.models.answers import margin

HALVED_AT = (
    0.001,
    0.005,
    0.02,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
)  # of Square's budget: when the share is halved

FURTHER = 4  # HopSkipJump starts from points up to so many times further out than counts
STARTS, BISECTIONS, JUMPS = (
    12,
    7,
    4,
)  # HopSkipJump: random starts, halvings of a distance, lengths of a jump
FEWEST = (
    1 / 16
)  # of the distance: HopSkipJump looks around no nearer than that, or its bisection were too coarse


def square(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    queries: Count,
    share: Annotated[Share, Field(gt=0)] = 0.8,
    generator: torch.Generator,
) -> Tensor:
    """Square attack (Andriushchenko et al. 2020, arXiv:1912.00049): random search by scores.

    Each query changes a random part of the best record so far: of an image a square, of a record a
    random subset of the values that may change. linf: the part goes to random corners of the box
    (one per channel of a square). l2: a simple variant of ours: inside the part, the change is
    turned in a random direction, by less and less, and stretched to eps.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes.
        queries: answers asked for, per record and radius, the record's own included.
        share: the part of the values that a query changes at first; halved nine times on the way,
            as in the paper.
        generator: of the search.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model: of the
            record itself and
        all that were tried, the one with the smallest margin.
    """
    return _square(
        logits_fn,
        x,
        y,
        threat,
        eps=eps,
        shape=threat.mutable.shape,
        queries=queries,
        share=share,
        generator=generator,
    )


@on_records("linf", "l2")
@torch.no_grad()
def _square(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    shape: torch.Size,
    queries: int,
    share: float,
    generator: torch.Generator,
) -> Tensor:
    low, high = corners(threat, x, eps)
    x = x.expand(low.shape)
    if (
        threat.norm == "linf"
    ):  # corners as they would be written down: what is scored is what is returned
        alone = replace(threat, relations=None)
        low, high = alone.project(low, x, eps), alone.project(high, x, eps)
    free, best = low < high, x
    best_margin = margin(logits_fn(x), y)
    for query in range(1, queries):
        part = share / 2 ** sum(query >= threshold * queries for threshold in HALVED_AT)
        region, sign = (_square_of if len(shape) == 3 else _subset_of)(
            free, shape, 1.0 if query == 1 else part, generator
        )
        if threat.norm == "linf":
            proposed = torch.where(region, torch.where(sign, high, low), best)
            if threat.relations:
                proposed = threat.project(proposed, x, eps)
        else:
            proposed = threat.project(
                _turned(best, x, threat, eps, part**0.5 * (region & free), generator), x, eps
            )
        best, best_margin = better(logits_fn, proposed, y, best, best_margin)
    return best.clone()


def _subset_of(
    free: Tensor, shape: torch.Size, part: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each free value of a record with probability `part`, one at least; a random sign for each."""
    drawn = torch.rand(free.shape, generator=generator) * free
    region = drawn >= drawn.amax(-1, keepdim=True).clamp(max=1 - part)
    return region, torch.rand(free.shape, generator=generator) < 0.5


def _square_of(
    free: Tensor, shape: torch.Size, part: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A random square of each image, a random sign for each channel.

    Vertical stripes where the square is everything.
    """
    channels, height, width = shape
    lead = free.shape[:-1]
    if part == 1:
        sign = torch.rand((*lead, channels, 1, width), generator=generator) < 0.5
        return torch.ones_like(free), sign.expand(*lead, *shape).flatten(-3)
    side = min(max(round((part * height * width) ** 0.5), 1), height, width)

    def stretch(size: int) -> Tensor:
        start = torch.randint(size - side + 1, (*lead, 1), generator=generator)
        along = torch.arange(size) - start
        return (along >= 0).logical_and(along < side)

    region = (stretch(height)[..., :, None] & stretch(width)[..., None, :])[..., None, :, :].expand(
        *lead, *shape
    )
    sign = torch.rand((*lead, channels, 1, 1), generator=generator) < 0.5
    return region.flatten(-3), sign.expand(*lead, *shape).flatten(-3)


def _turned(
    best: Tensor,
    x: Tensor,
    threat: Threat,
    eps: float | Tensor,
    by: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """The record, its change turned toward a random one by `by` and stretched to the l2 ball."""
    scale = threat.scale.to(x.dtype)
    change = _unit(((best - x) / scale).nan_to_num(), "l2")
    drawn = _unit(torch.randn(x.shape, generator=generator) * by, "l2") * by.amax(-1, keepdim=True)
    return x + scale * torch.as_tensor(eps, dtype=x.dtype) * _unit(change + drawn, "l2")


@on_records("linf", "l2")
@torch.no_grad()
def hop_skip_jump(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    queries: Count,
    samples: Count = 20,
    generator: torch.Generator,
) -> Tensor:
    """HopSkipJump (Chen et al. 2020, arXiv:1904.02144), untargeted: by the predicted label alone.

    From a random wrong point: bisection to the boundary, an estimate of the gradient there from
    which side random neighbours lie on, a jump along it of the largest of a few lengths that stays
    wrong, and again. The queries may lie off the grid; what is returned was asked about on the
    grid. One search for the nearest wrong record answers all radii.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C); only the largest logit's index is
            read.
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes.
        queries: answers asked for, per record, for all radii of a grid together.
        samples: neighbours asked about in the first round; their number grows with the root of the
            round, as in the paper.
        generator: of the search.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model: the
            nearest wrong record found where
        it lies within eps, or else the record itself.
    """
    widest = torch.as_tensor(largest_radius(eps, x), dtype=x.dtype)
    low, high = corners(threat, x, FURTHER * widest)
    origin, scale = x.expand(low.shape), threat.scale.to(x.dtype)
    least, most = ((corner - origin).div(scale).nan_to_num() for corner in (low, high))
    left = queries

    def wrong_at(records: Tensor, ask: int) -> Tensor:
        """Whether records (..., B, D) are answered wrongly: `ask` answers about each patient."""
        nonlocal left
        left -= ask
        return logits_fn(records).argmax(-1, keepdim=True) != y[..., None]

    def wrong(moves: Tensor, ask: int) -> Tensor:
        """The same of records moved by (..., B, D), in units of scale."""
        return wrong_at(origin + scale * moves, ask)

    nearest, tick = (
        origin,
        (threat.step / threat.scale).to(x.dtype) * (0.5 if threat.norm == "linf" else 1.0),
    )
    distance = torch.where(wrong(torch.zeros_like(least), 1), 0, torch.inf)
    move = _start(wrong, least, most, widest, min(STARTS, left), threat.norm, generator)
    if left >= BISECTIONS:
        move = _bisected(wrong, move, threat.norm)
    for number in range(1, queries + 1):
        for further in (
            (0, tick) if threat.recorded else (0,)
        ):  # to the next tick outward, where rounding brings it back
            if left >= 1:
                reached = threat.project(
                    origin + scale * (move + further * move.sign()), x, FURTHER * widest
                )
                far = threat.distance(reached, x).to(x.dtype)[..., None]
                nearer = wrong_at(reached, 1) & (far < distance)
                nearest, distance = (
                    torch.where(nearer, reached, nearest),
                    torch.where(nearer, far, distance),
                )
        ask = int(samples * number**0.5)
        if left < ask + JUMPS + BISECTIONS + 1:
            break
        size = size_of(move, threat.norm)
        uphill = _estimate(wrong, move, size, least, most, ask, threat.norm, generator)
        lengths = size / number**0.5 * (0.5 ** torch.arange(JUMPS)).view(-1, *[1] * move.dim())
        jumps = torch.maximum(torch.minimum(move + lengths * uphill, most), least)
        landed, any_landed = _first(jumps, wrong(jumps, JUMPS))
        move = _bisected(wrong, torch.where(any_landed, landed, move), threat.norm)
    radius = torch.as_tensor(eps, dtype=x.dtype)
    return threat.project(torch.where(distance <= radius, nearest, x), x, eps)


def _start(
    wrong: Callable[[Tensor, int], Tensor],
    least: Tensor,
    most: Tensor,
    widest: Tensor,
    tries: int,
    norm: Norm,
    generator: torch.Generator,
) -> Tensor:
    """The first wrong one among random points, from near to far; any of them where none is."""
    if tries < 1:
        return torch.zeros_like(least)
    shape = (tries, *least.shape)
    signs = torch.where(torch.rand(shape, generator=generator) < 0.5, -1.0, 1.0)
    free = (least < most).to(least.dtype)
    directions = _unit(signs * torch.rand(shape, generator=generator).sqrt() * free, norm)
    radii = widest * torch.logspace(0, 1, tries, base=FURTHER).view(-1, *[1] * least.dim())
    moves = torch.maximum(torch.minimum(radii * directions, most), least)
    return _first(moves, wrong(moves, tries))[0]


def _first(moves: Tensor, ok: Tensor) -> tuple[Tensor, Tensor]:
    """Each record's first of the moves (K, ..., B, D) that is ok (K, ..., B, 1); is there one?"""
    at = ok.int().argmax(0, keepdim=True).expand(1, *moves.shape[1:])
    return moves.gather(0, at)[0], ok.any(0)


def _bisected(wrong: Callable[[Tensor, int], Tensor], move: Tensor, norm: Norm) -> Tensor:
    """The smallest wrong move on the way from the record, BISECTIONS answers per record."""
    size = size_of(move, norm)
    inner, outer = torch.zeros_like(size), torch.ones_like(size)

    def shrunk(share: Tensor) -> Tensor:
        if norm == "l2":
            return move * share
        return torch.maximum(torch.minimum(move, share * size), -share * size)

    for _ in range(BISECTIONS):
        middle = (inner + outer) / 2
        beyond = wrong(shrunk(middle), 1)
        inner, outer = torch.where(beyond, inner, middle), torch.where(beyond, middle, outer)
    return shrunk(outer)


def _estimate(
    wrong: Callable[[Tensor, int], Tensor],
    move: Tensor,
    size: Tensor,
    least: Tensor,
    most: Tensor,
    ask: int,
    norm: Norm,
    generator: torch.Generator,
) -> Tensor:
    """The direction in which wrong answers lie, from random neighbours less their mean."""
    shape = (ask, *move.shape)
    free = (least < most).to(move.dtype)
    drawn = (
        torch.randn(shape, generator=generator)
        if norm == "l2"
        else torch.rand(shape, generator=generator) * 2 - 1
    )
    around = _unit(drawn * free, "l2") if norm == "l2" else drawn * free
    reach = size * max(1 / move.shape[-1], FEWEST)
    around = torch.maximum(torch.minimum(move + reach * around, most), least) - move
    side = wrong(move + around, ask).to(move.dtype) * 2 - 1
    mean = side.mean(0)
    side = torch.where(mean.abs() == 1, side, side - mean)
    uphill = (side * around).mean(0)
    return uphill.sign() if norm == "linf" else _unit(uphill, norm)


def _unit(move: Tensor, norm: Norm) -> Tensor:
    return move / size_of(move, norm).clamp(min=torch.finfo(move.dtype).tiny)
