"""Whether any record within reach changes an answer: not the nearest, so a bound often settles it.

The bound, the cuts and the halves of `bounds` and `problem`, written in NumPy: of a few small boxes
most of the time of a search goes by between the operations of torch. Where a question holds more
than boxes on a grid (relations, l2, values off the grid), `nearest_record` answers it.
"""

import time
from dataclasses import dataclass

import numpy as np

from pipeline.statistics import Array
from pipeline.verify.nearest import nearest_record
from pipeline.verify.network import Network
from pipeline.verify.problem import GRID_SLACK, Problem

TOGETHER = 64  # problems searched beside each other, so that memory does not grow with them
STEPS = 2  # along the network's linear pieces, from the worst corner of a bound
WIDTH = 1e-12  # what the width of a side counts beside its looseness


@dataclass(frozen=True)
class Verdict:
    """The answers to P questions; where neither `proved` nor `found`, it was not found out.

    Attributes:
        proved: (P,) bool, no record within reach changes the answer, as far as rounding goes.
        found: (P,) bool, one does.
        record: (P, D) float32, that record; the patient's own where there is none.
        boxes: (P,) int64, how many boxes it took.
    """

    proved: Array
    found: Array
    record: Array
    boxes: Array

    @staticmethod
    def join(parts: "list[Verdict]") -> "Verdict":
        """The answers to all questions of all parts, one after another."""
        names = ("proved", "found", "record", "boxes")
        return Verdict(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def turned_within(
    network: Network, problem: Problem, *, budget: int, until: float = np.inf
) -> Verdict:
    """Whether any record between the corners of each problem changes the answer.

    Args:
        network: the network.
        problem: P problems.
        budget: boxes for one problem.
        until: when to stop, in seconds of `time.monotonic`; what is left then is not found out.
    """
    if problem.kept is not None or problem.norm != "linf" or problem.strays:
        nearest = nearest_record(network, problem, budget=budget, any_will_do=True)
        proved, found = nearest.robust_below.isinf(), nearest.breaks_at.isfinite()
        return Verdict(proved.numpy(), found.numpy(), nearest.record.numpy(), nearest.boxes.numpy())
    parts = []
    for part in problem.split(TOGETHER):
        search = _Search(network, part)
        search.start()
        while len(search.index) and time.monotonic() < until:
            search.step(budget)
        parts.append(search.verdict(network.features))
    return Verdict.join(parts)


@dataclass(frozen=True)
class Lower:
    """margin >= slope . x + offset over each of B boxes; the arrays of `bounds.Linear`."""

    slope: Array
    offset: Array
    looseness: Array


class _Search:
    """What is known of each problem, and the boxes that wait.

    All boxes of a problem that wait are bounded at once, so that what is found out about it, and in
    how many boxes, does not hang on the other problems.
    """

    def __init__(self, network: Network, problem: Problem) -> None:
        self.layers = [(weight.numpy(), bias.numpy()) for weight, bias in network.layers]
        self.steps = [one.numpy() for one in network.steps]
        self.impute = network.impute.numpy()
        self.record, self.x = problem.record.numpy(), problem.x.numpy()
        self.low, self.high, self.blur = (
            one.numpy() for one in (problem.low, problem.high, problem.blur)
        )
        self.grid, self.unit = problem.gridded.numpy(), problem.step.numpy()
        self.scale = problem.scale.numpy()
        weight, bias = self.layers[-1]
        own, other = problem.own.numpy(), problem.other.numpy()
        self.lead, self.ahead = (weight[:, own] - weight[:, other]).T, bias[own] - bias[other]
        self.slack = network.rounding(problem.size).numpy()
        count = len(problem)
        self.found, self.open = np.zeros(count, bool), ~np.isfinite(self.slack)
        self.shown = self.record.copy()
        self.boxes = np.zeros(count, np.int64)
        self.index = np.arange(count)

    def start(self) -> None:
        """The records as they are: one whose margin drowns in rounding stays open."""
        margin = self.try_points(self.index, self.x)
        self.open |= np.abs(margin) <= self.slack
        self.keep(~(self.found | self.open))

    def keep(self, chosen: Array) -> None:
        """Only some of the boxes wait on."""
        self.index, self.low, self.high = self.index[chosen], self.low[chosen], self.high[chosen]

    def step(self, budget: int) -> None:
        """Bounds the boxes, tries records in what is not proved, and halves it."""
        self.boxes += np.bincount(self.index, minlength=len(self.boxes))
        bound = self.bound(self.index, self.low, self.high)
        worst = np.where(bound.slope > 0, self.low, self.high)
        least = (worst * bound.slope).sum(1) + bound.offset
        left = ~(least > self.slack[self.index])
        self.keep(left)
        if not left.any():
            return
        index = self.index
        bound = Lower(bound.slope[left], bound.offset[left], bound.looseness[left])
        self.descend(index, self.low, self.high, worst[left])
        low, high = self.cut(bound, self.slack[index] - least[left])
        points = (low == high).all(1)
        margin = self.try_points(index[points], low[points])
        self.open[index[points][np.abs(margin) <= self.slack[index[points]]]] = True
        alive = ~points & (low <= high).all(1)
        count = 2 * np.bincount(index[alive], minlength=len(self.boxes))
        self.open |= (count > 0) & (self.boxes + count > budget)
        alive &= ~(self.found | self.open)[index]
        self.halve(index[alive], low[alive], high[alive], bound.looseness[alive])

    def descend(self, index: Array, low: Array, high: Array, point: Array) -> None:
        """Tries the worst corner of a bound, and where the network leads from there."""
        for step in range(STEPS + 1):
            margin, slope = self.at(index, point, slopes=step < STEPS)
            self.offer(index, point, margin)
            still = ~self.found[index]
            if step == STEPS or not still.any():
                return
            index, low, high, slope = index[still], low[still], high[still], slope[still]
            point = np.where(slope > 0, low, high)

    def try_points(self, index: Array, points: Array) -> Array:
        """The margins (B,) of the records that points (B, D) stand for, which are offered."""
        margin, _ = self.at(index, points, slopes=False)
        self.offer(index, points, margin)
        return margin

    def offer(self, index: Array, points: Array, margin: Array) -> None:
        """Keeps the records of points that turn the answer by more than rounding."""
        turns = (margin <= -self.slack[index]) & ~self.found[index]
        if turns.any():
            self.shown[index[turns]] = self.as_records(index[turns], points[turns])
            self.found[index[turns]] = True

    def as_records(self, index: Array, points: Array) -> Array:
        """`Problem.as_records`: float32; values left alone keep their bits."""
        record = self.record[index]
        alone = np.abs(points - self.x[index]) <= np.where(self.grid, GRID_SLACK * self.unit, 0.0)
        return np.where(alone | np.isnan(record), record, points.astype(np.float32))

    def at(self, index: Array, points: Array, *, slopes: bool) -> tuple[Array, Array]:
        """Margins (B,) of the records that points stand for; the network's slopes (B, D) there."""
        records = self.as_records(index, points)
        signal = np.where(np.isnan(records), self.impute, records.astype(np.float64))
        signals = []
        for weight, bias in self.layers[:-1]:
            signal = np.maximum(signal @ weight + bias, 0.0)
            signals.append(signal)
        carried = self.lead[index]
        margin = (signal * carried).sum(1) + self.ahead[index]
        if slopes:
            for (weight, _), signal in zip(self.layers[-2::-1], signals[::-1], strict=True):
                carried = np.where(signal > 0, carried, 0.0) @ weight.T
        return margin, carried

    def cut(self, bound: Lower, spare: Array) -> tuple[Array, Array]:
        """`Linear.cut`: the corners (B, D) without the slices in which the bound proves enough."""
        low, high = self.low, self.high
        slope = np.abs(bound.slope)
        room = np.divide(
            np.maximum(spare, 0.0)[:, None], slope, out=np.full_like(slope, np.inf), where=slope > 0
        )
        ticks = np.floor(room / self.unit + GRID_SLACK)
        bottom = np.where(self.grid, (np.round(high / self.unit) - ticks) * self.unit, high - room)
        top = np.where(self.grid, (np.round(low / self.unit) + ticks) * self.unit, low + room)
        wide = low < high
        return (
            np.where(wide & (bound.slope < 0), np.maximum(low, bottom), low),
            np.where(wide & (bound.slope > 0), np.minimum(high, top), high),
        )

    def halve(self, index: Array, low: Array, high: Array, weight: Array) -> None:
        """`Boxes.halves`: two boxes of each wait, cut across what the bound is loosest in."""
        rows, width = np.arange(len(index)), high - low
        side = np.where(width > 0, weight + WIDTH * width / self.scale, -1.0).argmax(1)
        first, last, unit = low[rows, side], high[rows, side], self.unit[side]
        ticks = np.round(first / unit) + np.floor((last - first) / unit / 2 + GRID_SLACK)
        grid, middle = self.grid[side], (first + last) / 2
        below, above = high.copy(), low.copy()
        below[rows, side] = np.where(grid, ticks * unit, middle)
        above[rows, side] = np.where(grid, (ticks + 1) * unit, middle)
        self.index = np.concatenate([index, index])
        self.low, self.high = np.concatenate([low, above]), np.concatenate([below, high])

    def bound(self, index: Array, low: Array, high: Array) -> Lower:
        """`bounds.margin_bound`, operation by operation."""
        blur = self.blur[index]
        low, high = low - blur, high + blur
        centre, radius = (low + high) / 2, (high - low) / 2
        lines: list[Lines] = []
        slopes: list[Array] = []
        for depth in range(len(self.layers) - 1):
            steep, line = self.neurons(depth, lines, centre, radius)
            lines.append(line)
            slopes.append(steep)
        carried, offset, loose = self.lead[index], self.ahead[index], np.zeros_like(centre)
        for (weight, bias), line, steep in zip(
            self.layers[-2::-1], lines[::-1], slopes[::-1], strict=True
        ):
            gap = np.where(line.unstable, np.abs(carried), 0.0)
            loose += gap @ steep.T if steep.ndim == 2 else np.matmul(gap[:, None], steep)[:, 0]
            offset = offset + (np.minimum(carried, 0.0) * line.intercept).sum(1)
            carried = np.where(carried >= 0, line.lower, line.chord) * carried
            offset = offset + carried @ bias
            carried = carried @ weight.T
        return Lower(carried, offset - (np.abs(carried) * blur).sum(1), loose * radius)

    def neurons(
        self, depth: int, lines: "list[Lines]", centre: Array, radius: Array
    ) -> "tuple[Array, Lines]":
        """How steep each neuron's input is in each feature, at most, and the lines of its ReLU."""
        weight, bias = self.layers[depth]
        if depth == 0:
            middle, reach = centre @ weight + bias, radius @ np.abs(weight)
            return np.abs(weight), Lines.between(middle - reach, middle + reach)
        last = lines[-1]
        slope = (last.chord @ self.steps[depth - 1]).reshape(len(centre), weight.shape[1], -1)
        middle = bias + (last.chord * self.layers[depth - 1][1]) @ weight
        above = last.intercept @ np.maximum(weight, 0.0)
        below = last.intercept @ np.minimum(weight, 0.0)
        for (earlier, offset), line in zip(
            self.layers[: depth - 1][::-1], lines[:-1][::-1], strict=True
        ):
            intercept = line.intercept[..., None]
            above = above + np.matmul(np.maximum(slope, 0.0), intercept)[..., 0]
            below = below + np.matmul(np.minimum(slope, 0.0), intercept)[..., 0]
            slope = slope * line.chord[:, None]
            middle = middle + slope @ offset
            slope = slope @ earlier.T
        middle = middle + np.matmul(slope, centre[..., None])[..., 0]
        steep = np.abs(slope)
        reach = np.matmul(steep, radius[..., None])[..., 0]
        least, most = np.maximum(last.low, 0.0), np.maximum(last.high, 0.0)
        mean, spread = (least + most) / 2 @ weight + bias, (most - least) / 2 @ np.abs(weight)
        return steep, Lines.between(
            np.maximum(middle - reach + below, mean - spread),
            np.minimum(middle + reach + above, mean + spread),
        )

    def verdict(self, features: int) -> Verdict:
        """What is known; what still waits is not found out."""
        self.open[self.index] = True
        proved = ~self.found & ~self.open
        return Verdict(proved, self.found, self.shown[:, :features], self.boxes)


@dataclass(frozen=True)
class Lines:
    """Two lines around the ReLU of each neuron; the arrays (B, n) of `bounds.Relaxation`."""

    low: Array
    high: Array
    unstable: Array
    chord: Array
    intercept: Array
    lower: Array

    @classmethod
    def between(cls, low: Array, high: Array) -> "Lines":
        """The lines of neurons that receive values between `low` and `high`."""
        below, above = np.minimum(low, 0.0), np.maximum(high, 0.0)
        chord = above / np.maximum(above - below, 1e-300)
        unstable = (below < 0) & (above > 0)
        lower = np.where(unstable, (above > -below).astype(np.float64), chord)
        return cls(low, high, unstable, chord, -below * chord, lower)
