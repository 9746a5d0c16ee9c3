"""Linear lower bounds of a network's margin over boxes, and what follows from them in closed form.

Inside the network the two lines around a ReLU share a slope (Fast-Lin, Weng et al. 2018,
arXiv:1804.09699), so that one matrix product serves all neurons of a layer over all boxes; the
margin itself is bounded with the tighter lines of CROWN (Zhang et al. 2018, arXiv:1811.00866).
Where a box holds no bend of the network, the bound is the network.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.verify.network import Network
from pipeline.verify.problem import GRID_SLACK, Boxes, Problem
from pipeline.verify.related import Line


@dataclass(frozen=True)
class Linear:
    """margin >= slope . x + offset for every x of a box, and for its float32 records.

    Attributes:
        slope: (B, D).
        offset: (B,).
        looseness: (B, D), how much of the gap between bound and network hangs on each feature.
    """

    slope: Tensor
    offset: Tensor
    looseness: Tensor

    def where(self, chosen: Tensor) -> "Linear":
        """The bounds of some boxes."""
        return Linear(self.slope[chosen], self.offset[chosen], self.looseness[chosen])

    def least(self, boxes: Boxes) -> Tensor:
        """(B,): the least value of the bound over each box."""
        return (torch.where(self.slope > 0, boxes.low, boxes.high) * self.slope).sum(
            1
        ) + self.offset

    def cut(self, boxes: Boxes, problem: Problem, slack: Tensor) -> Boxes:
        """Cuts off slices in which the margin exceeds `slack`, as the bound can prove."""
        spare = (slack - self.least(boxes))[:, None].clamp_min(0)
        room = torch.where(self.slope == 0, torch.inf, spare / self.slope.abs())
        ticks, step = torch.floor(room / problem.step + GRID_SLACK), problem.step
        bottom = torch.where(
            problem.gridded, (torch.round(boxes.high / step) - ticks) * step, boxes.high - room
        )
        top = torch.where(
            problem.gridded, (torch.round(boxes.low / step) + ticks) * step, boxes.low + room
        )
        if problem.strays:
            bottom, top = _cut_around(boxes, problem, room, bottom, top)
        wide = boxes.low < boxes.high
        low = torch.where(wide & (self.slope < 0), torch.maximum(boxes.low, bottom), boxes.low)
        high = torch.where(wide & (self.slope > 0), torch.minimum(boxes.high, top), boxes.high)
        return Boxes(boxes.index, boxes.x, low, high)

    def rate(self, problem: Problem) -> Tensor:
        """(B, D): how the worst point within a distance moves as the distance grows.

        In L-infinity all values move at once; in L2 each in proportion to what it achieves (the
        conditions of Karush, Kuhn and Tucker for the least distance at which a linear function is
        reached inside a box).
        """
        return (
            self.slope * problem.scale**2
            if problem.norm == "l2"
            else torch.sign(self.slope) * problem.scale
        )

    def ends(self, boxes: Boxes, problem: Problem) -> Tensor:
        """(B, D): when each value comes to the end of its side."""
        rate = self.rate(problem)
        far = torch.where(self.slope > 0, boxes.x - boxes.low, boxes.high - boxes.x)
        return torch.where(rate == 0, 0.0, far / rate.abs())

    def towards(self, boxes: Boxes, problem: Problem, time: Tensor) -> Tensor:
        """The worst points (..., B, D) at times (..., B) of that movement."""
        moved = boxes.x - time[..., None] * self.rate(problem)
        return torch.minimum(torch.maximum(moved, boxes.low), boxes.high)

    def reach(self, boxes: Boxes, problem: Problem, slack: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) each: when the worst point brings the bound to `slack`, and how far it is by then.

        The bound falls along straight lines between the times at which values start and stop to
        move: these are tried, and the line solved.
        """
        ends = self.ends(boxes, problem)
        if problem.norm == "l2":
            rate = self.rate(problem)
            start = torch.where(self.slope > 0, boxes.x - boxes.high, boxes.low - boxes.x)
            starts = torch.where(rate == 0, 0.0, start / rate.abs())
            stops = torch.cat([torch.zeros_like(ends[:, :1]), starts, ends], 1).clamp_min(0)
        else:  # what is as near as the nearest point of the box costs nothing
            start = boxes.distance(problem)[:, None]
            stops = torch.cat([start, torch.maximum(ends, start)], 1)
        stops = torch.sort(stops, 1).values
        points = self.towards(boxes, problem, stops.T)
        left = ((points * self.slope).sum(-1) + self.offset - slack).T
        after = (left > 0).sum(1, keepdim=True).clamp_max(stops.shape[1] - 1)
        before = (after - 1).clamp_min(0)
        above, below = left.gather(1, before), left.gather(1, after)
        share = torch.where(above > below, above / (above - below), 0.0).clamp(0, 1)
        first, last = stops.gather(1, before), stops.gather(1, after)
        time = (first + share * (last - first))[:, 0]
        moved = self.towards(boxes, problem, time) - boxes.x
        return time, problem.length(moved / problem.scale)


def _cut_around(
    boxes: Boxes, problem: Problem, room: Tensor, bottom: Tensor, top: Tensor
) -> tuple[Tensor, Tensor]:
    """Where to cut (B, D) boxes that hold, and may end in, own values between two grid points."""
    stray, step = problem.stray[boxes.index], problem.step
    least, most = boxes.high - room, boxes.low + room
    bottom = torch.where(stray, torch.ceil(least / step - GRID_SLACK) * step, bottom)
    top = torch.where(stray, torch.floor(most / step + GRID_SLACK) * step, top)
    kept = boxes.keeps_stray(problem)
    return (
        torch.where(kept & (boxes.x >= least), torch.minimum(bottom, boxes.x), bottom),
        torch.where(kept & (boxes.x <= most), torch.maximum(top, boxes.x), top),
    )


@dataclass(frozen=True)
class Relaxation:
    """Two lines around the ReLU of each neuron, all (B, n).

    Attributes:
        low: least value that the neuron receives; `high`: the largest.
        unstable: whether it is on in one part of the box and off in another.
        chord: slope of the upper line; 1 where the neuron is always on, 0 where it is always off.
        intercept: of the upper line.
        lower: slope of the lower line, which leaves out the smaller triangle.
    """

    low: Tensor
    high: Tensor
    unstable: Tensor
    chord: Tensor
    intercept: Tensor
    lower: Tensor

    @classmethod
    def between(cls, low: Tensor, high: Tensor) -> "Relaxation":
        """The lines of neurons that receive values between `low` and `high`."""
        below, above = low.clamp_max(0), high.clamp_min(0)
        chord = above / (above - below).clamp_min_(1e-300)
        unstable = (below < 0) & (above > 0)
        lower = torch.where(unstable, (above > -below).to(chord.dtype), chord)
        return cls(low, high, unstable, chord, -below * chord, lower)


def margin_bound(network: Network, boxes: Boxes, problem: Problem) -> Linear:
    """Bounds the lead of class `own` over `other` over each box and its float32 records."""
    blur, lines = problem.blur[boxes.index], list[Line]()
    low, high = boxes.low, boxes.high
    if problem.kept:
        low, high, lines = problem.kept.spread(boxes)
    low, high = low - blur, high + blur
    centre, radius = (low + high) / 2, (high - low) / 2
    relaxed: list[Relaxation] = []
    slopes: list[Tensor] = []
    for depth in range(len(network.layers) - 1):
        steep, relaxation = _neurons(network, depth, relaxed, centre, radius)
        relaxed.append(relaxation)
        slopes.append(steep)
    weight, bias = network.layers[-1]
    own, other = problem.own[boxes.index], problem.other[boxes.index]
    carried, offset = (weight[:, own] - weight[:, other]).T, bias[own] - bias[other]
    loose = torch.zeros_like(centre)
    for (weight, bias), relaxation, steep in reversed(
        list(zip(network.layers[:-1], relaxed, slopes, strict=True))
    ):
        gap = torch.where(relaxation.unstable, carried.abs(), 0.0)
        loose += gap @ steep.T if steep.dim() == 2 else torch.bmm(gap[:, None], steep)[:, 0]
        offset = offset + (carried.clamp_max(0) * relaxation.intercept).sum(1)
        carried = torch.where(carried >= 0, relaxation.lower, relaxation.chord) * carried
        offset = offset + carried @ bias
        carried = carried @ weight.T
    bound = Linear(carried, offset - (carried.abs() * blur).sum(1), loose * radius)
    return problem.kept.bounded(bound, boxes, lines) if problem.kept else bound


def tangent(network: Network, points: Tensor, problem: Problem) -> Linear:
    """The linear function that the margin is around one point (P, D) of each problem."""
    everyone = torch.arange(len(problem))
    around = Boxes(everyone, problem.x, points, points)
    lines: list[Line] = []
    if problem.kept:
        low, high, lines = problem.kept.spread(around)
        points = (low + high) / 2
    slope, offset = network.linear_at(points, problem.own, problem.other)
    bound = Linear(slope, offset, torch.zeros_like(slope))
    return problem.kept.bounded(bound, around, lines) if problem.kept else bound


def _neurons(
    network: Network, depth: int, relaxed: list[Relaxation], centre: Tensor, radius: Tensor
) -> tuple[Tensor, Relaxation]:
    """How steep each neuron's input is in each feature, at most, and the lines of its ReLU."""
    weight, bias = network.layers[depth]
    if depth == 0:  # linear in the record: exact
        middle, reach = centre @ weight + bias, radius @ weight.abs()
        return weight.abs(), Relaxation.between(middle - reach, middle + reach)
    last = relaxed[-1]
    slope = (last.chord @ network.steps[depth - 1]).view(
        len(centre), weight.shape[1], len(network.layers[depth - 1][0])
    )
    middle = bias + (last.chord * network.layers[depth - 1][1]) @ weight
    above, below = last.intercept @ weight.clamp_min(0), last.intercept @ weight.clamp_max(0)
    for (earlier, offset), relaxation in reversed(
        list(zip(network.layers[: depth - 1], relaxed[:-1], strict=True))
    ):
        above = above + torch.bmm(slope.clamp_min(0), relaxation.intercept[..., None])[..., 0]
        below = below + torch.bmm(slope.clamp_max(0), relaxation.intercept[..., None])[..., 0]
        slope = slope * relaxation.chord[:, None]
        middle = middle + slope @ offset
        slope = slope @ earlier.T
    middle = middle + torch.bmm(slope, centre[..., None])[..., 0]
    steep = slope.abs()
    reach = torch.bmm(steep, radius[..., None])[..., 0]
    # Interval arithmetic through the last layer alone is sometimes tighter.
    least, most = last.low.clamp_min(0), last.high.clamp_min(0)
    mean, spread = (least + most) / 2 @ weight + bias, (most - least) / 2 @ weight.abs()
    return steep, Relaxation.between(
        torch.maximum(middle - reach + below, mean - spread),
        torch.minimum(middle + reach + above, mean + spread),
    )
