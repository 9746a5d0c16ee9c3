"""Of a record that changes an answer, the version that changes the fewest values, and those least.

The search for the nearest record (`nearest`) moves every value as far as the distance allows, for
nothing. Here superfluous changes are taken back, and every other one as far as the grid allows.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.recodes import recoded
from pipeline.data.threat import Threat
from pipeline.verify.nearest import Nearest, nearest_record
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem
from pipeline.verify.quick import proved_at_once

Classes = tuple[Tensor, Tensor]
SUBSETS = 64  # of the values that may change; with more of them none but the found record is pruned


@torch.no_grad()
def pruned(
    network: Network, x: Tensor, classes: Classes, threat: Threat, found: Nearest, *, budget: int
) -> Nearest:
    """The same answers with records that change as few values as can be, by as little.

    Each record still changes the answer, in float64 with the margin that rounding demands; it is on
    the grid and no farther than before. What holds of it then:
        linf on a grid, with few enough subsets: no record within the distance changes fewer values,
            as far as the budget lets that be decided.
        a record whose categories or gaps differ from the patient's is left as it was found.
        always: no value can be put back to the patient's, the others left; nor any on a grid be
            moved towards it by one step.
    Among those of so few values it is the one with the least sum of changes, in units of scale,
    that taking back finds; no proof that there is none with less.

    Args:
        network: the network.
        x: (P, D) float32 records, NaN = missing.
        classes: own and other class indices, (P,) each.
        threat: under which they were found.
        found: the nearest records.
        budget: branch-and-bound boxes for one subset of values of one record.

    Returns:
        `found` with other records and, where one has become nearer, its distance.
    """
    asked = found.breaks_at.isfinite() & (found.breaks_at > 0)
    if threat.discrete:  # what is recoded or left out is no step that could be taken back
        variant, _ = recoded(threat, found.record, x)
        asked &= ((variant == x) | (variant.isnan() & x.isnan())).all(1)
        threat = threat.of_numbers
    rows = asked.nonzero()[:, 0]
    if not len(rows):
        return found
    corners = threat.box(x, found.breaks_at.nan_to_num(posinf=0)[:, None])
    slack = network.rounding(Problem.of(network, x, corners, classes, threat).size)
    pruning = _Pruning(network, x, classes, threat, slack).where(rows)
    radius = found.breaks_at[rows]
    best = _taken_back(pruning, found.record[rows])
    if threat.norm == "linf" and _few_choices(threat):
        best = _of_fewest(pruning, radius, best, budget)
    record, breaks_at = found.record.clone(), found.breaks_at.clone()
    record[rows] = best
    if threat.norm != "l0":  # what a spent budget left too far may have come nearer
        nearer = torch.minimum(radius, pruning.distance(best, radius))
        breaks_at[rows] = torch.maximum(nearer, found.robust_below[rows])
    return replace(found, record=record, breaks_at=breaks_at)


@dataclass(frozen=True)
class _Pruning:
    """Records (P, D) and how to tell whether another version of them changes the answer."""

    network: Network
    x: Tensor
    classes: Classes
    threat: Threat
    slack: Tensor  # (P,) what rounding may take of a margin

    def where(self, chosen: Tensor) -> "_Pruning":
        classes = (self.classes[0][chosen], self.classes[1][chosen])
        return replace(self, x=self.x[chosen], classes=classes, slack=self.slack[chosen])

    def changed(self, record: Tensor) -> Tensor:
        """(P, D) bool: the values that differ from the patient's."""
        return (record != self.x) & ~self.x.isnan() & self.threat.mutable

    def size(self, record: Tensor) -> Tensor:
        """(P, 2): how many values are changed, and the sum of their changes in units of scale."""
        change = (record.double() - self.x.double()).abs().nan_to_num() / self.threat.scale
        change = torch.where(self.threat.mutable, change, 0.0)
        return torch.stack([self.changed(record).sum(1).double(), change.sum(1)], 1)

    def problem(self, radius: Tensor, free: Tensor) -> Problem:
        """The question within a distance (P,), where only some values (P, D) may change."""
        low, high = self.threat.box(self.x, radius[:, None])
        own = self.x.double()
        corners = (torch.where(free, low, own), torch.where(free, high, own))
        return Problem.of(self.network, self.x, corners, self.classes, self.threat)

    def distance(self, record: Tensor, radius: Tensor) -> Tensor:
        """(P,): how far records within a distance (P,) are, as the search measures it."""
        problem = self.problem(radius, torch.ones_like(self.changed(record)))
        return problem.distance(torch.arange(len(record)), self.network.inputs(record))

    def margin(self, record: Tensor) -> Tensor:
        """(P,): what is left of the margin beyond rounding; not above 0 = it changes the answer.

        Without limit where the record breaks a relation.
        """
        margin = self.network.margin(self.network.filled(record), *self.classes) + self.slack
        relations = self.threat.relations
        if relations is None:
            return margin
        return torch.where(relations.broken(record, self.x) > 0, torch.inf, margin)

    def completed(self, record: Tensor) -> Tensor:
        """The records with what is derived as it follows."""
        relations = self.threat.relations
        return relations.completed(record, self.x) if relations else record

    def ticks(self, record: Tensor, feature: int) -> Tensor:
        """(P,): by how many steps a value can move towards the patient's without reaching it."""
        away = (record[:, feature].double() - self.x[:, feature].double()).abs().nan_to_num()
        steps = torch.ceil(away / self.threat.step[feature] - TICK_TOLERANCE) - 1
        return steps.clamp_min(0)

    def moved(self, record: Tensor, feature: int, ticks: Tensor) -> Tensor:
        """The records with one value moved towards the patient's by so many steps (P,)."""
        value, step = record[:, feature].double(), self.threat.step[feature]
        towards = torch.sign(self.x[:, feature].double() - value) * ticks
        result = record.clone()
        nearer = (torch.round(value / step) + towards) * step
        result[:, feature] = torch.where(ticks > 0, nearer.float(), record[:, feature])
        return self.completed(result)

    def put_back(self, record: Tensor, feature: int) -> Tensor:
        """The records with one value as the patient's."""
        result = record.clone()
        result[:, feature] = self.x[:, feature]
        return self.completed(result)


def _taken_back(pruning: _Pruning, record: Tensor) -> Tensor:
    """Values put back while the answer stays changed, the least needed first; the rest moved back.

    Until nothing gives any more.
    """
    left = torch.arange(len(record))
    result = record.clone()
    while len(left):
        here, before = pruning.where(left), result[left]
        after = _nearer(here, _fewer(here, before))
        result[left] = after
        left = left[(after != before).logical_and(~before.isnan()).any(1)]
    return result


def _fewer(pruning: _Pruning, record: Tensor) -> Tensor:
    """Superfluous values put back, one at a time: the one without which the margin is least."""
    while True:
        changed = pruning.changed(record)
        margins = torch.full(record.shape, torch.inf, dtype=torch.float64)
        for feature in changed.any(0).nonzero()[:, 0].tolist():
            rows = changed[:, feature].nonzero()[:, 0]
            without = pruning.where(rows).put_back(record[rows], feature)
            margins[rows, feature] = pruning.where(rows).margin(without)
        least, feature = margins.min(1)
        rows = (least <= 0).nonzero()[:, 0]
        if not len(rows):
            return record
        record = record.clone()
        record[rows, feature[rows]] = pruning.x[rows, feature[rows]]


def _nearer(pruning: _Pruning, record: Tensor) -> Tensor:
    """Each changed value moved back on its grid while the answer stays changed, in halves."""
    gridded = pruning.changed(record).any(0) & (pruning.threat.step > 0)
    for feature in gridded.nonzero()[:, 0].tolist():
        low = torch.zeros(len(record), dtype=torch.float64)  # ticks after which it still breaks
        high = torch.where(pruning.changed(record)[:, feature], pruning.ticks(record, feature), 0.0)
        whole = pruning.margin(pruning.moved(record, feature, high)) <= 0
        low = torch.where(whole, high, low)
        while (high - low > 1).any():
            middle = torch.floor((low + high) / 2)
            breaks = pruning.margin(pruning.moved(record, feature, middle)) <= 0
            low, high = torch.where(breaks, middle, low), torch.where(breaks, high, middle)
        record = pruning.moved(record, feature, low)
    return record


def _few_choices(threat: Threat) -> bool:
    """Whether every choice of values can be searched: few of them, and all on a grid."""
    grid = threat.step[threat.mutable] > 0
    return bool(grid.all()) and 2 ** len(grid) <= SUBSETS


def _of_fewest(pruning: _Pruning, radius: Tensor, record: Tensor, budget: int) -> Tensor:
    """Of the records within the radius (P,) one with the fewest changes, then the least in sum.

    Where no choice of one value less holds a record, none of still fewer does: what few values can
    do, more can. So sizes are searched downwards, from what is known.
    """
    best, size = record.clone(), pruning.size(record)
    least = torch.zeros(len(record), dtype=torch.bool)  # all choices of that size were searched
    fewer = torch.arange(len(record))
    while len(fewer):
        before = size[fewer, 0].clone()
        _search(pruning, radius, best, size, fewer, before - 1, budget)
        least[fewer] = size[fewer, 0] == before - 1
        fewer = fewer[size[fewer, 0] < before]
    rest = (~least).nonzero()[:, 0]
    _search(pruning, radius, best, size, rest, size[rest, 0].clone(), budget)
    return best


def _search(
    pruning: _Pruning,
    radius: Tensor,
    best: Tensor,
    size: Tensor,
    rows: Tensor,
    count: Tensor,
    budget: int,
) -> None:
    """Puts into `best` and `size` what records with so many (R,) changes are better, of some rows.

    Every choice of so many values is searched, and what is found is taken back.
    """
    free = _choices(pruning.threat)
    recorded = (~pruning.x[rows].isnan())[:, None] | ~free
    at, chosen = ((free.sum(1) == count[:, None]) & recorded.all(2)).nonzero(as_tuple=True)
    index, free = rows[at], free[chosen]
    problem = pruning.where(index).problem(radius[index], free)
    open_ = ~proved_at_once(pruning.network, problem)
    index, free = index[open_], free[open_]
    if not len(index):
        return
    problem = pruning.where(index).problem(radius[index], free)
    answer = nearest_record(pruning.network, problem, budget=budget, any_will_do=True)
    broken = answer.breaks_at.isfinite()
    index, record = index[broken], answer.record[broken]
    record = _taken_back(pruning.where(index), record)
    for row, one, its_size in zip(
        index.tolist(), record, pruning.where(index).size(record), strict=True
    ):
        if tuple(its_size.tolist()) < tuple(size[row].tolist()):
            best[row], size[row] = one, its_size


def _choices(threat: Threat) -> Tensor:
    """(K, D) bool: every choice of values that may change."""
    features = threat.mutable.nonzero()[:, 0].tolist()
    chosen = torch.zeros(2 ** len(features), len(threat.mutable), dtype=torch.bool)
    for place, feature in enumerate(features):
        chosen[:, feature] = torch.arange(len(chosen)) >> place & 1 == 1
    return chosen
