"""Exact verification of tree ensembles: the nearest record that changes an answer, or none.

Each record is searched by itself (`pipeline.verify.search`); here stands what is asked of it, and
what becomes of the answers.
"""

import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pipeline.data.threat import Threat
from pipeline.statistics import Array
from pipeline.verify.cells import Ensemble, Leaves, Reach, reaches
from pipeline.verify.nearest import Nearest
from pipeline.verify.search import Asked, lowest, searched, turned
from pipeline.verify.within import Verdict


def nearest_of_trees(
    ensemble: Ensemble,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    largest: float,
    budget: int,
    spared: Tensor,
) -> Nearest:
    """The smallest radius at which each answer of one ensemble can be changed; args as `verify`.

    Relations between values are not known here: where there are any, nothing is decided of a record
    that is answered rightly.
    """
    low, high = threat.box(x, largest)
    still = spared[:, None]
    corners = (torch.where(still, x.double(), low), torch.where(still, x.double(), high))
    proved, breaks, boxes, record = [], [], [], x.clone()
    margins = ensemble.margin(x, y)
    ways = reaches(ensemble, x, corners, threat)
    for row, own in enumerate(ways):
        if margins[row] <= 0 or threat.relations is not None:
            wrong = bool(margins[row] <= 0)
            proved.append(0.0)
            breaks.append(0.0 if wrong else np.inf)
            boxes.append(0)
            continue
        asked = asked_of(ensemble, x[row].double().numpy(), int(y[row]), own)
        turns = partial(_turns, ensemble, x[row], y[row : row + 1])
        found = searched(asked, threat.norm, largest, budget, turns)
        proved.append(found.proved)
        breaks.append(found.breaks)
        boxes.append(found.boxes)
        for place, value in found.values.items():
            record[row, place] = value
    return Nearest(
        torch.tensor(proved, dtype=torch.float64),
        torch.tensor(breaks, dtype=torch.float64),
        record,
        torch.tensor(boxes, dtype=torch.int64),
    )


def turned_within(
    ensemble: Ensemble,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    reach: float,
    *,
    budget: int,
    until: float = np.inf,
) -> Verdict:
    """Whether any record within reach changes the answer of one ensemble, under linf or l2.

    Relations between values are not known here: where there are any, nothing is found out.

    Args:
        ensemble: the ensemble.
        x: (P, D) float32 records, NaN = missing, each answered `y` (P,) by its own margin.
        y: (P,) class indices.
        threat: what may be changed.
        reach: radius.
        budget: boxes for one record.
        until: as for `within.turned_within`.
    """
    count = len(x)
    proved, found, boxes = np.zeros(count, bool), np.zeros(count, bool), np.zeros(count, np.int64)
    record = x.numpy().copy()
    verdict = Verdict(proved, found, record, boxes)
    if threat.relations is not None:
        return verdict
    for row, own in enumerate(reaches(ensemble, x, threat.box(x, reach), threat)):
        if time.monotonic() >= until:
            break
        asked = asked_of(ensemble, x[row].double().numpy(), int(y[row]), own)
        turns = partial(_turns, ensemble, x[row], y[row : row + 1])
        known = turned(asked, threat.norm, reach, budget, turns)
        proved[row], found[row] = known.proved > 0, known.breaks < np.inf
        boxes[row] = known.boxes
        for place, value in known.values.items():
            record[row, place] = value
    return verdict


def _turns(ensemble: Ensemble, record: Tensor, y: Tensor, values: dict[int, float]) -> bool:
    """Whether values of some features, the others of a record (D,) as they are, change it."""
    there = record.clone()
    for place, value in values.items():
        there[place] = value
    return bool(ensemble.margin(there[None], y)[0] <= 0)


def asked_of(ensemble: Ensemble, x: Array, y: int, ways: dict[int, Reach]) -> Asked:
    """What is asked of one record (D,) of class y: the leaves in reach, counted from its class."""
    leaves, sign = ensemble.columns, 1.0 if y == 1 else -1.0
    free = [place for place, way in ways.items() if len(way.cell) > 1]
    at = _met(leaves, x, ways)
    none = np.zeros((len(at), 0), np.int64)
    low = np.stack([_first(ways[j], leaves.low[j][at]) for j in free], 1) if free else none
    high = np.stack([_last(ways[j], leaves.high[j][at]) for j in free], 1) if free else none
    kept = (low <= high).all(1)
    at = at[kept]
    return Asked(
        np.array(free, dtype=np.int64),
        [ways[place] for place in free],
        low[kept],
        high[kept],
        sign * leaves.value[at],
        leaves.tree[at],
        -sign * ensemble.threshold,
        np.array([ways[place].own for place in free], dtype=np.int64),
        ensemble.rounding,
    )


def _met(leaves: Leaves, x: Array, ways: dict[int, Reach]) -> Array:
    """The leaves (an index) that the span of the cells in reach meets, column by column.

    Most leaves of a forest are left out by the first columns, before anything else is asked.
    """
    at = np.arange(len(leaves.value))
    for place, value in enumerate(x):
        if np.isnan(value):
            at = at[leaves.missing[place][at]]
        else:
            cells = ways[place].cell
            meets = (leaves.low[place][at] <= cells[-1]) & (leaves.high[place][at] >= cells[0])
            at = at[meets]
    return at


def _first(way: Reach, low: Array) -> Array:
    return np.searchsorted(way.cell, low, side="left")


def _last(way: Reach, high: Array) -> Array:
    return np.searchsorted(way.cell, high, side="right") - 1


def least_of_trees(
    ensemble: Ensemble, x: Tensor, y: Tensor, threat: Threat, eps: float, budget: int
) -> Tensor:
    """A lower bound of the margin over every record within reach; as `least.least_margins`.

    Under l2 and l0 over the whole box that holds what is in reach. Relations are not known here.

    Returns:
        (P,) float64, of the true class, in logits; -inf where there are relations.
    """
    if threat.relations is not None:
        return torch.full((len(x),), -torch.inf, dtype=torch.float64)
    low, high = threat.box(x, eps)
    moves = threat.attackable(y)[:, None]
    corners = (torch.where(moves, low, x.double()), torch.where(moves, high, x.double()))
    least = [
        lowest(asked_of(ensemble, x[row].double().numpy(), int(y[row]), own), budget)
        for row, own in enumerate(reaches(ensemble, x, corners, threat))
    ]
    return ensemble.in_logits(torch.tensor(least, dtype=torch.float64) - ensemble.rounding, y)


# ---- what a person reads of what was found ----


@torch.no_grad()
def fewer_changes(ensemble: Ensemble, x: Tensor, y: Tensor, found: Nearest) -> Nearest:
    """The same without changes of records (P, D) that are not needed, the first features first."""
    kept = found.record.clone()
    broken = found.breaks_at.isfinite() & (found.breaks_at > 0)
    for place in range(x.shape[1]):
        without = kept.clone()
        without[:, place] = x[:, place]
        needless = broken & (ensemble.margin(without, y) <= 0)
        kept[needless] = without[needless]
    return replace(found, record=kept)


@torch.no_grad()
def each_alone(ensemble: Ensemble, x: Tensor, y: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
    """For each measurement the smallest change of it alone that changes the answer, and its value.

    Args:
        ensemble: the model.
        x: (P, D) float32 records, NaN = missing.
        y: (P,) class indices.
        threat: an l0 threat, whose box at radius 1 is how far a measurement may go.

    Returns:
        (P, D) float64 each, as `Proofs.alone` and `alone_value`.
    """
    distance, value = torch.full((2, *x.shape), torch.nan, dtype=torch.float64)
    ways = reaches(ensemble, x, threat.box(x, 1), threat)
    right = ensemble.margin(x, y) > 0
    for place in torch.nonzero(threat.mutable)[:, 0].tolist():
        rows, values, moves = [], [], []
        for row, own in enumerate(ways):
            if place in own:
                rows += [row] * len(own[place].cell)
                values.append(own[place].value)
                moves.append(own[place].distance)
        if not rows:
            continue
        whose = torch.tensor(rows)
        forged = x[whose].clone()
        forged[:, place] = torch.from_numpy(np.concatenate(values))
        move = torch.from_numpy(np.concatenate(moves))
        turned = ensemble.margin(forged, y[whose]) <= 0
        far = torch.where(turned, move, torch.inf)
        known = torch.zeros(len(x), dtype=torch.bool)
        known[whose] = True
        nearest = torch.full((len(x),), torch.inf, dtype=torch.float64)
        nearest.scatter_reduce_(0, whose, far, "amin")
        nearest = torch.where(right, nearest, 0.0)
        distance[known, place] = nearest[known]
        at = ((far == nearest[whose]) & far.isfinite()).nonzero()[:, 0]
        value[whose[at], place] = forged[at, place].double()
        value[~right, place] = x[~right, place].double()
    return distance, value
