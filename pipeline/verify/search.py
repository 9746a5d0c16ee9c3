"""The search among the cells that records can reach: what changes an ensemble's answer.

Each record is searched by itself; the boxes that all of them ask about next are looked into
together (`boxes_of_cells`), so that nothing that is found out of one hangs on the others. Whether
anything within a radius changes the answer is asked of smaller and smaller gaps between what is
proved and what is found.
"""

import heapq
import time
from collections.abc import Callable, Generator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pipeline.config import Norm
from pipeline.statistics import Array
from pipeline.verify.boxes_of_cells import Box, Opened, drawn_in, opened, proved_at_once
from pipeline.verify.leaves_in_reach import Asked
from pipeline.verify.nearest import RESOLUTION, SAME_RADIUS

AT_ONCE = 8  # boxes of one record that are looked into together
LEAVES = 2**17  # in boxes that are looked into together: what fits the cache
Turns = Callable[[int, dict[int, float]], bool]


class Found(NamedTuple):
    """What is known of one record: as `Nearest`, and the values that change the answer."""

    proved: float
    breaks: float
    boxes: int
    values: dict[int, float]


class Wanted(NamedTuple):
    """Boxes of one record that are to be looked into, and `within` and `level` of `opened`."""

    boxes: list[Box]
    within: float
    level: float


Search = Generator[Wanted, list[Opened], Found]


class Spent(Exception):
    """No box is left to open."""


def searched(asked: Asked, norm: Norm, largest: float, budget: int, turns: Turns) -> list[Found]:
    """The nearest records of which the model says that they change the answer.

    Under l0 subset after subset of the measurements may take any value; under the other norms the
    radius is halved between what is proved and what is found, to the last value that there is under
    linf, to `RESOLUTION` under l2.

    Args:
        asked: about which records.
        norm: of the distance.
        largest: distance up to which to look.
        budget: boxes for one record.
        turns: whether values of some features of a record (its number), the others as they are,
            change its answer.
    """
    each = [_Search(asked, record, norm, budget, turns) for record in range(len(asked.start))]
    if norm == "l0":
        return _together(asked, norm, [one.by_subsets(int(largest)) for one in each])
    steps = [one.radii(largest) for one in each]
    below = [0] * len(each)
    if norm == "linf" and budget:
        below = proved_at_once(asked, steps).tolist()
    searches = [
        one.by_radius(radii, known) for one, radii, known in zip(each, steps, below, strict=True)
    ]
    return _together(asked, norm, searches)


def turned(
    asked: Asked, norm: Norm, reach: float, budget: int, turns: Turns, until: float = np.inf
) -> list[Found]:
    """Whether a record within reach changes the answer, not the nearest one; args as `searched`.

    Under linf or l2. `proved` is `reach` where none does, `breaks` the distance of one that does.
    What is left at `until`, in seconds of `time.monotonic`, is not found out.
    """
    each = [_Search(asked, record, norm, budget, turns) for record in range(len(asked.start))]
    return _together(asked, norm, [one.within_reach(reach) for one in each], until)


def _together(
    asked: Asked, norm: Norm, searches: list[Search], until: float = np.inf
) -> list[Found]:
    """What searches find, whose boxes are looked into side by side."""
    found = [Found(0.0, np.inf, 0, {})] * len(searches)
    told: dict[int, list[Opened]] = {number: [] for number in range(len(searches))}
    while told and time.monotonic() < until:
        wanted = {}
        for number, answers in told.items():
            try:
                one = searches[number]
                wanted[number] = one.send(answers) if answers else next(one)
            except StopIteration as end:
                found[number] = end.value
        told = {}
        for some in _batches(wanted):
            boxes = [box for number in some for box in wanted[number].boxes]
            counts = [len(wanted[number].boxes) for number in some]
            within, level = (
                np.repeat([wanted[number][field] for number in some], counts) for field in (1, 2)
            )
            known = iter(opened(asked, boxes, norm, within, level))
            told |= {number: [next(known) for _ in wanted[number].boxes] for number in some}
    return found


def _batches(wanted: dict[int, Wanted]) -> list[list[int]]:
    """Who is looked into together: so many leaves at most, or one alone."""
    batches: list[list[int]] = []
    room = 0
    for number, one in wanted.items():
        leaves = sum(len(box.leaves) for box in one.boxes)
        if leaves > room:
            batches.append([])
            room = LEAVES
        batches[-1].append(number)
        room -= leaves
    return batches


class _Search:
    """The search for one record: boxes that were opened, and what `turns` is asked about."""

    def __init__(self, asked: Asked, record: int, norm: Norm, budget: int, turns: Turns) -> None:
        self.asked, self.record, self.norm = asked, record, norm
        self.budget, self.turns = budget, turns
        self.opened = 0
        self.own, self.last = asked.own[:, record], asked.last[:, record]

    def by_radius(self, steps: Array, below: int) -> Search:
        """The nearest under linf or l2.

        Args:
            steps: the distances at which something can happen, ascending from 0.
            below: nothing breaks within `steps[below]`.
        """
        breaks, values, spent = np.inf, dict[int, float](), False
        at, above = len(steps) - 1, len(steps)
        try:
            while below < at < above:
                cells = yield from self.first_broken([self.ball(steps[at])], steps[at])
                if cells is None:
                    below = at
                else:
                    cells = drawn_in(self.asked, self.record, cells)
                    breaks, values = self.distance(cells), self.values(cells)
                    above = min(at, int(np.searchsorted(steps, breaks * (1 - SAME_RADIUS))))
                at = (below + above) // 2
        except Spent:
            spent = True
        if not spent and (self.norm == "linf" or breaks == np.inf):
            return Found(breaks, breaks, self.opened, values)
        # between two steps nothing happens under linf
        proved = float(steps[min(below + (self.norm == "linf"), len(steps) - 1)])
        return Found(min(proved, breaks), breaks, self.opened, values)

    def radii(self, largest: float) -> Array:
        """The distances at which something can happen, ascending from 0."""
        if self.norm == "l2":
            return np.linspace(0, largest, max(1, round(largest / RESOLUTION)) + 1)
        every = np.unique(np.append(0.0, self.asked.distance[:, self.record]))
        return every[every <= largest * (1 + SAME_RADIUS)]

    def within_reach(self, reach: float) -> Search:
        """Any within reach, under linf or l2."""
        try:
            cells = yield from self.first_broken([self.ball(reach)], reach)
        except Spent:
            return Found(0.0, np.inf, self.opened, {})
        if cells is None:
            return Found(reach, np.inf, self.opened, {})
        return Found(0.0, self.distance(cells), self.opened, self.values(cells))

    def by_subsets(self, most: int) -> Search:
        """The fewest values under l0."""
        count, free = 0, np.flatnonzero(self.last)
        try:
            for count in range(1, min(most, len(free)) + 1):
                boxes = [self.freed(chosen) for chosen in combinations(free.tolist(), count)]
                cells = yield from self.first_broken(boxes, count)
                if cells is not None:
                    return Found(count, count, self.opened, self.values(cells))
        except Spent:
            return Found(count, np.inf, self.opened, {})
        return Found(np.inf, np.inf, self.opened, {})

    def box(self, low: Array, high: Array) -> Box:
        """With the leaves that it meets."""
        return Box(self.record, low, high, self.asked.inside(self.record, low, high))

    def ball(self, radius: float) -> Box:
        """The cells of each feature that lie within a radius, each by itself."""
        near = self.asked.distance[:, self.record] <= radius * (1 + SAME_RADIUS)
        return self.box(near.argmax(1), near.shape[1] - 1 - near[:, ::-1].argmax(1))

    def freed(self, features: tuple[int, ...]) -> Box:
        """Any cell of some features, of the others the record's own."""
        low, high = self.own.copy(), self.own.copy()
        chosen = list(features)
        low[chosen], high[chosen] = 0, self.last[chosen]
        return self.box(low, high)

    def distance(self, cells: Array) -> float:
        """Of the nearest record in a cell of each feature."""
        return float(self.asked.distances(np.array([self.record]), cells[:, None], self.norm)[0])

    def values(self, cells: Array) -> dict[int, float]:
        """The values that move, by feature."""
        return self.asked.values(self.record, cells)

    def first_broken(
        self, boxes: list[Box], radius: float
    ) -> Generator[Wanted, list[Opened], Array | None]:
        """Cells within a radius at which the answer changes; None = proved that there are none.

        Raises:
            Spent: the budget is.
        """
        within = radius * (1 + SAME_RADIUS)
        waiting = [(0.0, number, box) for number, box in enumerate(boxes)]
        count = len(waiting)
        while waiting:
            if self.opened >= self.budget:
                raise Spent
            most = min(AT_ONCE, len(waiting), self.budget - self.opened)
            now = [heapq.heappop(waiting)[-1] for _ in range(most)]
            self.opened += len(now)
            found = yield Wanted(now, within, self.asked.rounding)
            for one in found:
                for margin, cells in one.tried:
                    if self.breaks(margin, cells, within):
                        return cells
            for one in found:
                for bound, part in one.parts:
                    if self.distance(np.clip(self.own, part.low, part.high)) <= within:
                        count += 1
                        heapq.heappush(waiting, (bound, count, part))
        return None

    def breaks(self, margin: float, cells: Array, within: float) -> bool:
        """Whether the answer changes at cells; where rounding could decide, the model says so."""
        if margin > self.asked.rounding or self.distance(cells) > within:
            return False
        return margin < -self.asked.rounding or self.turns(self.record, self.values(cells))


def lowest(asked: Asked, budget: int) -> list[float]:
    """What the margin of each record is at least in reach, as closely as so many boxes tell."""
    searches = [_lowered(asked, record, budget) for record in range(len(asked.start))]
    return [one.proved for one in _together(asked, "linf", searches)]


def _lowered(asked: Asked, record: int, budget: int) -> Search:
    """The least margin of one record, as what is proved of it; the lowest boxes come first."""
    last = asked.last[:, record]
    low, found, count = np.zeros_like(last), np.inf, 0
    waiting = [(-np.inf, 0, Box(record, low, last, asked.inside(record, low, last)))]
    while waiting and count < budget and waiting[0][0] < found - asked.rounding:
        least, _, box = heapq.heappop(waiting)
        (known,) = yield Wanted([box], -1.0, found)
        found = min([found, *(margin for margin, _ in known.tried)])
        for bound, part in known.parts:
            count += 1
            heapq.heappush(waiting, (max(bound, least), count, part))
    return Found(min([found, *(bound for bound, _, _ in waiting[:1])]), np.inf, count, {})
