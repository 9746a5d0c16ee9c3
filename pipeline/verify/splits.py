"""Tighter bounds of a convolutional network's margin: better slopes, and ReLUs taken apart.

The slopes of the lower lines are free within [0, 1], so a bound can be climbed in them (Xu et al.
2021, arXiv:2011.13824, alpha-CROWN). What is left is branched: a ReLU that is on in one part of a
box and off in another is taken for each part by itself, and that it is on, or off, is held by a
multiplier that is climbed as well (Wang et al. 2021, arXiv:2103.06624, beta-CROWN). Any slope and
any multiplier bounds, so they are looked for in float32; what they bound is computed in float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.verify.bounds import Relaxation
from pipeline.verify.convolution import Convolutions, Region, margin_bound
from pipeline.verify.neurons import chosen_of

STEPS = 12  # in which slopes and multipliers climb
RATE, LESS = 0.4, 0.85  # the first step; what is left of it at the next
AT_ONCE = 64  # parts that climb together


@dataclass(frozen=True)
class Question:
    """Whether class y leads over each box.

    Attributes:
        region: boxes (B, C, H, W).
        y: (B,) own class of two.
        lines: around the ReLUs of each hidden layer.
    """

    region: Region
    y: Tensor
    lines: list[Relaxation]

    def where(self, chosen: Tensor) -> "Question":
        """Some of the boxes, or some of them several times."""
        return Question(
            self.region.where(chosen),
            self.y[chosen],
            [chosen_of(line, chosen) for line in self.lines],
        )

    @classmethod
    def join(cls, parts: Sequence["Question"]) -> "Question":
        """The boxes of several questions, one after another."""
        lines = []
        for layer in zip(*(part.lines for part in parts), strict=True):
            fields = zip(*(vars(one).values() for one in layer), strict=True)
            lines.append(Relaxation(*(torch.cat(every) for every in fields)))
        region = Region.join([part.region for part in parts])
        return cls(region, torch.cat([part.y for part in parts]), lines)

    @property
    def neurons(self) -> int:
        """How many there are in all hidden layers."""
        return sum(line.low[0].numel() for line in self.lines)

    def given(self, signs: Tensor) -> "Question":
        """With the lines of ReLUs that are known to be on (1) or off (-1); signs (B, neurons)."""
        lines = []
        for line, sign in zip(self.lines, self.by_layer(signs), strict=True):
            low = torch.where(sign > 0, line.low.clamp_min(0), line.low)
            high = torch.where(sign < 0, line.high.clamp_max(0), line.high)
            lines.append(Relaxation.between(low, high))
        return replace(self, lines=lines)

    def by_layer(self, flat: Tensor) -> list[Tensor]:
        """Values (B, neurons) of all hidden layers, each in the shape of its layer."""
        sizes = [line.low[0].numel() for line in self.lines]
        parts = flat.split(sizes, 1)
        return [part.view_as(line.low) for part, line in zip(parts, self.lines, strict=True)]


def _as(line: Relaxation, kind: torch.dtype) -> Relaxation:
    parts = vars(line).items()
    return Relaxation(*(value if name == "unstable" else value.to(kind) for name, value in parts))


@dataclass(frozen=True)
class Climbed:
    """What was reached.

    Attributes:
        least: (B,) float64, no image of the box leaves a smaller margin.
        slope: (B, C, H, W) of the bound: against it the margin falls.
        gaps: (B, neurons) how much the bound may lose at each ReLU.
    """

    least: Tensor
    slope: Tensor
    gaps: Tensor


def climbed(network: Convolutions, asked: Question, signs: Tensor, steps: int = STEPS) -> Climbed:
    """The best bounds that are found with these ReLUs held on (1) or off (-1).

    Args:
        network: the network.
        asked: the boxes.
        signs: (B, neurons); 0 = not held.
        steps: how often slopes and multipliers are moved.
    """
    parts = []
    for rows in torch.arange(len(signs)).split(AT_ONCE):
        some, held = asked.where(rows), signs[rows]
        parts.append(_climb(network, some.given(held), held, steps))
    names = ("least", "slope", "gaps")
    return Climbed(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _climb(network: Convolutions, asked: Question, signs: Tensor, steps: int) -> Climbed:
    kind = torch.float32
    rough = network.to(kind)
    lines = [_as(line, kind) for line in asked.lines]
    region = Region(asked.region.centre.to(kind), asked.region.radius.to(kind), [], [])
    lower = torch.cat([line.lower.flatten(1) for line in lines], 1)
    free = torch.cat([line.unstable.flatten(1) for line in lines], 1)
    count, sign = lower.shape[1], signs.to(kind)
    at = best_at = torch.cat([lower, torch.zeros_like(lower)], 1)  # slopes, then multipliers
    least = torch.zeros_like(at)
    most = torch.cat([torch.ones_like(lower), torch.full_like(lower, torch.inf)], 1)
    best = lower.new_full((len(lower),), -torch.inf)
    climb = Adam.at(at)
    for step in range(steps + 1):
        point = at.clone().requires_grad_()
        with torch.enable_grad():
            slopes = asked.by_layer(torch.where(free, point[:, :count], lower))
            held = asked.by_layer(point[:, count:] * sign)
            bound = margin_bound(rough, region, asked.y, lines, slopes, held).least
            together = bound.sum()
        better = bound.detach() > best
        best = torch.where(better, bound.detach(), best)
        best_at = torch.where(better[:, None], at, best_at)
        if step < steps:
            (uphill,) = torch.autograd.grad(together, point)
            at = (at + climb.step(uphill, RATE * LESS**step)).clamp(least, most)
    return _evaluated(network, asked, best_at[:, :count], best_at[:, count:] * sign)


@dataclass
class Adam:
    """Steps uphill (Kingma and Ba 2015, arXiv:1412.6980), without what `torch.optim` imports.

    Attributes:
        mean: of the slopes so far; `square`: of their squares.
        taken: steps.
    """

    mean: Tensor
    square: Tensor
    taken: int = 0

    @classmethod
    def at(cls, point: Tensor) -> "Adam":
        """At the start, in the shape of this."""
        return cls(torch.zeros_like(point), torch.zeros_like(point))

    def step(self, uphill: Tensor, rate: float) -> Tensor:
        """The next step, of a slope and a rate."""
        self.taken += 1
        self.mean = 0.9 * self.mean + 0.1 * uphill
        self.square = 0.999 * self.square + 0.001 * uphill**2
        size = (self.square / (1 - 0.999**self.taken)).sqrt() + 1e-8
        return rate / (1 - 0.9**self.taken) * self.mean / size


def _evaluated(network: Convolutions, asked: Question, lower: Tensor, held: Tensor) -> Climbed:
    """What slopes and multipliers bound, in float64, with rounding taken off."""
    lines = asked.lines
    slopes = [
        torch.where(line.unstable, one, line.chord)
        for line, one in zip(lines, asked.by_layer(lower.double()), strict=True)
    ]
    multipliers = asked.by_layer(held.double())
    gaps: list[Tensor] = []
    bound = margin_bound(network, asked.region, asked.y, lines, slopes, multipliers, gaps)
    added = sum(
        (one.abs() * size).flatten(1).sum(1)
        for one, size in zip(multipliers, asked.region.sizes, strict=False)
    )
    rounding = asked.region.rounding * (1 + added / asked.region.sizes[-1].sum(1))
    flat = torch.cat([gap.flatten(1) for gap in reversed(gaps)], 1)
    return Climbed(bound.least - rounding, bound.slope, flat)


def branched(
    network: Convolutions, asked: Question, start: Climbed, budget: int, steps: int = STEPS
) -> Tensor:
    """A lower bound of each margin, by taking ReLUs apart until it is above 0 or nothing is left.

    All that is open is halved at once, at the ReLU at which its bound may lose most. A box is given
    up where the budget would not last at the pace of its last halving.

    Args:
        network: the network.
        asked: the boxes, B.
        start: what was reached without branching.
        budget: parts that one box may be divided into, and that are bounded on the way.
        steps: as for `climbed`.

    Returns:
        (B,) float64.
    """
    result, rounds = start.least.clone(), int(math.log2(max(budget, 1) + 2)) - 1
    row = (result <= 0).nonzero()[:, 0]
    signs = torch.zeros_like(start.gaps[row], dtype=torch.int8)
    least, gaps = start.least[row], start.gaps[row]
    closed = torch.full_like(result, torch.inf)  # the least bound of parts that are done with
    for left in reversed(range(rounds)):
        widest, place = (gaps * (signs == 0)).max(1)
        stuck = row[widest <= 0]  # linear in each part: nothing can be taken apart any more
        going = ~torch.isin(row, stuck)
        row, signs, place, least = row[going], signs[going], place[going], least[going]
        if not len(row):
            break
        halves = []
        for sign in (1, -1):
            one = signs.clone()
            one[torch.arange(len(one)), place] = sign
            halves.append(one)
        row, signs, before = row.repeat(2), torch.cat(halves), least.repeat(2)
        found = climbed(network, asked.where(row), signs, steps)
        # what holds of a box holds of its parts
        least, gaps = torch.maximum(found.least, before), found.gaps
        worst = torch.full_like(result, torch.inf).scatter_reduce_(0, row, least, "amin")
        gain, touched = worst - result, worst < torch.inf
        result = torch.where(touched, torch.minimum(worst, closed), result)
        hopeless = touched & (result + gain * left <= 0)
        going = (least <= 0) & ~hopeless[row]
        closed.scatter_reduce_(0, row[~going], least[~going], "amin")
        row, signs, least, gaps = row[going], signs[going], least[going], gaps[going]
    return result
