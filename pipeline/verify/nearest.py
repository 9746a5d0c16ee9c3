"""The nearest record that changes an answer, by branch and bound over boxes; and the proof.

From the linear bound of a box follow: the proof that no record in it changes the answer; how far
from the patient one that does must be at least; which records to try; which slices to cut off. What
is left is halved, nearest boxes first, so that a search that is stopped has proved all smaller
distances.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.verify.bounds import Linear, margin_bound, tangent
from pipeline.verify.network import Network
from pipeline.verify.problem import Boxes, Problem

CHUNK = 1024  # boxes bounded at once: what fits the cache
TOGETHER = 8192  # problems solved beside each other, so that memory does not grow with them
# of eps: how closely the distance is known where a value has no grid; ten times the spacing of
# float32 records
# of eps: a distance of 3 mg/dL / 30 mg/dL is eps 0.1, whatever float64 makes of either
SAME_RADIUS = 1e-9
RESOLUTION = 1e-5
DESCENTS, DESCENT_STEPS = (
    (0.0, 0.5, 1.0),
    4,
)  # where the search for a first record starts, as shares of the way to the corner
# Where in a box records are tried: shares of the way from the nearest possible one to the corner.
TRIED = (0.0, 0.2, 0.4, 0.7)


@dataclass(frozen=True)
class Nearest:
    """The answers to P problems.

    Attributes:
        robust_below: (P,) no record nearer than this changes the answer: proved. inf = none at all
            between the corners.
        breaks_at: (P,) distance of the nearest record found that changes it; inf = none.
        record: (P, D) float32, that record; the patient's own where there is none.
        boxes: (P,) int64, how many boxes it took.
    """

    robust_below: Tensor
    breaks_at: Tensor
    record: Tensor
    boxes: Tensor

    @staticmethod
    def join(parts: "list[Nearest]") -> "Nearest":
        """The answers to all problems of all parts, one after another."""
        names = ("robust_below", "breaks_at", "record", "boxes")
        return Nearest(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


@torch.no_grad()
def nearest_record(
    network: Network, problem: Problem, *, budget: int, any_will_do: bool = False
) -> Nearest:
    """Solves every problem, or leaves it open after `budget` boxes.

    Args:
        network: the network.
        problem: P problems.
        budget: boxes for one problem.
        any_will_do: stop at the first record found, near or far; `robust_below` then says no more
            than whether there is one.
    """
    if len(problem) > TOGETHER:
        parts = [
            nearest_record(network, part, budget=budget, any_will_do=any_will_do)
            for part in problem.split(TOGETHER)
        ]
        return Nearest.join(parts)
    search = _Search(network, problem, any_will_do)
    search.offer_patients()
    search.descend()
    boxes = problem.boxes()
    least = boxes.distance(problem)
    while len(boxes):
        order = torch.argsort(least, stable=True)
        now, later = order[:CHUNK], order[CHUNK:]
        children, distance = search.process(boxes.where(now), least[now])
        spent = search.boxes[children.index] >= budget
        search.leave_open(children.where(spent), distance[spent])
        boxes = Boxes.join([boxes.where(later), children.where(~spent)])
        least = torch.cat([least[later], distance[~spent]])
    return search.result()


class _Search:
    """The state of `nearest_record`: the best record of each problem, and what was left open."""

    def __init__(self, network: Network, problem: Problem, any_will_do: bool) -> None:
        self.network, self.problem, self.any_will_do = network, problem, any_will_do
        self.best = torch.full((len(problem),), torch.inf, dtype=torch.float64)
        self.found = problem.record.clone()
        self.boxes = torch.zeros(len(problem), dtype=torch.int64)
        self.slack = network.rounding(problem.size)
        self.open = torch.where(
            self.slack.isfinite(), torch.inf, 0.0
        ).double()  # what has no bound stays open
        self.limit = problem.largest * (1 + RESOLUTION)
        moves = problem.low < problem.high
        self.resolution = torch.where((moves & ~problem.gridded).any(1), RESOLUTION, 0.0)

    def offer(self, index: Tensor, records: Tensor) -> Tensor:
        """Keeps records (B, D) that break problems `index` (B,) nearest; returns their margins."""
        problem = self.problem
        margin = self.network.margin(
            self.network.filled(records), problem.own[index], problem.other[index]
        )
        breaks = (margin <= -self.slack[index]) & problem.holds(index, records)
        distance = problem.distance(index, records)
        distance = torch.where(breaks & (distance <= self.limit), distance, torch.inf)
        before = self.best.clone()
        self.best.scatter_reduce_(0, index, distance, "amin")
        better = ((distance == self.best[index]) & (distance < before[index])).nonzero()[:, 0]
        first = torch.full_like(self.boxes, len(index)).scatter_reduce_(
            0, index[better], better, "amin"
        )
        first = first[first < len(index)]
        self.found[index[first]] = records[first]
        return margin

    def offer_patients(self) -> None:
        """Offers the records as they are; one whose margin drowns in rounding stays open."""
        margin = self.offer(torch.arange(len(self.problem)), self.problem.record)
        self.open[margin.abs() <= self.slack] = 0.0

    def descend(self) -> None:
        """Looks for near records before boxes are drawn: steps on the network's linear pieces."""
        problem = self.problem
        boxes = Boxes(torch.arange(len(problem)), problem.x, problem.low, problem.high)
        for share in DESCENTS:
            point = problem.x
            for step in range(DESCENT_STEPS):
                bound = tangent(self.network, point, problem)
                end = bound.ends(boxes, problem).amax(1)
                start = step == 0 and share > 0
                step_to = (
                    (share * end, end)
                    if start
                    else bound.reach(boxes, problem, torch.zeros_like(bound.offset))
                )
                point = self.try_records(bound, boxes, *step_to, shares=(0.0,))

    def process(self, boxes: Boxes, least: Tensor) -> tuple[Boxes, Tensor]:
        """Bounds boxes, tries records in them, halves the open ones; the least distance in each."""
        problem, best = self.problem, self.best[boxes.index]
        boxes = boxes.nearer(problem, best.clamp_max(self.limit))
        least = torch.maximum(least, boxes.distance(problem))
        wanted = best.isinf() if self.any_will_do else self.counts(boxes, least)
        boxes, possible = boxes.narrowed(problem)
        wanted &= possible
        boxes, least = boxes.where(wanted), least[wanted]
        self.boxes += torch.bincount(boxes.index, minlength=len(problem))
        bound = margin_bound(self.network, boxes, problem)
        slack = self.slack[boxes.index]
        unproved = bound.least(boxes) <= slack
        boxes, bound, slack, least = (
            boxes.where(unproved),
            bound.where(unproved),
            slack[unproved],
            least[unproved],
        )
        boxes = bound.cut(boxes, problem, slack)
        time, distance = bound.reach(boxes, problem, slack)
        self.try_records(bound, boxes, time, distance, TRIED)
        self.settle_points(boxes)
        least = torch.maximum(least, distance)  # what holds of a box holds of its halves
        alive = (boxes.low < boxes.high).any(1) & self.counts(boxes, least)
        boxes, least = boxes.where(alive), least[alive]
        halves = boxes.halves(problem, bound.looseness[alive])
        return halves, torch.cat([least, least])

    def counts(self, boxes: Boxes, least: Tensor) -> Tensor:
        """(B,): whether records at distances from `least` (B,) on would be news."""
        return (least < self.best[boxes.index] - self.resolution[boxes.index]) & (
            least <= self.limit
        )

    def try_records(
        self, bound: Linear, boxes: Boxes, time: Tensor, distance: Tensor, shares: tuple[float, ...]
    ) -> Tensor:
        """Offers records on the bound's path from `time` on; returns the first point (B, D)."""
        problem = self.problem
        later = 1 + RESOLUTION / 2 / distance.clamp_min(
            RESOLUTION
        )  # rounding must not leave a record short of the boundary
        end = bound.ends(boxes, problem).amax(1)
        if problem.norm == "linf":  # there time is distance
            end = torch.minimum(end, self.best[boxes.index])
        time = time * later
        room = (end - time).clamp_min(0)
        points = []
        for share in shares:
            point = bound.towards(boxes, problem, time + share * room)
            points.append(boxes.outward(problem, bound.slope, point))
            self.offer(boxes.index, problem.as_records(boxes.index, points[-1]))
        return points[0]

    def settle_points(self, boxes: Boxes) -> None:
        """A box of one record is decided by it; one drowned in rounding stays open."""
        points = boxes.where((boxes.low == boxes.high).all(1))
        records = self.problem.as_records(points.index, points.low)
        margin = self.offer(points.index, records)
        unsure = margin.abs() <= self.slack[points.index]
        unsure &= self.problem.holds(points.index, records)
        self.leave_open(points.where(unsure), points.distance(self.problem)[unsure])

    def leave_open(self, boxes: Boxes, distance: Tensor) -> None:
        """Nothing is proved of these boxes: records may break from `distance` (B,) on."""
        self.open.scatter_reduce_(0, boxes.index, distance, "amin")

    def result(self) -> Nearest:
        """What is known."""
        proved = torch.minimum(self.best - self.resolution, self.open).clamp_min(0)
        found = self.found[:, : self.network.features]
        return Nearest(proved, self.best, found, self.boxes)
