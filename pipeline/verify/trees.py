"""Exact verification of tree ensembles: the nearest record that changes an answer, or none.

Each record is searched by itself (`pipeline.verify.search`); here stands what is asked of it, and
what becomes of the answers.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.data.threat import Threat
from pipeline.verify.cells import Ensemble, reaches
from pipeline.verify.leaves_in_reach import Asked, asked_of
from pipeline.verify.nearest import Nearest
from pipeline.verify.search import Turns, lowest, searched, turned
from pipeline.verify.within import Verdict

TOGETHER = 128  # records searched beside each other, so that memory does not grow with them


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
    wrong = ensemble.margin(x, y) <= 0
    proved, breaks = torch.zeros(2, len(x), dtype=torch.float64)
    breaks[~wrong] = torch.inf
    boxes, record = torch.zeros(len(x), dtype=torch.int64), x.clone()
    rows = torch.nonzero(~wrong)[:, 0] if threat.relations is None else torch.zeros(0).long()
    for some in _together(rows):
        asked, turns = _asked(ensemble, x[some], y[some], [end[some] for end in corners], threat)
        for row, found in zip(
            some.tolist(), searched(asked, threat.norm, largest, budget, turns), strict=True
        ):
            proved[row], breaks[row], boxes[row] = found.proved, found.breaks, found.boxes
            for place, value in found.values.items():
                record[row, place] = value
    return Nearest(proved, breaks, record, boxes)


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
    for some in _together(torch.arange(len(x))):
        asked, turns = _asked(ensemble, x[some], y[some], threat.box(x[some], reach), threat)
        for row, known in zip(
            some.tolist(), turned(asked, threat.norm, reach, budget, turns, until), strict=True
        ):
            proved[row], found[row] = known.proved > 0, known.breaks < np.inf
            boxes[row] = known.boxes
            for place, value in known.values.items():
                record[row, place] = value
    return verdict


def _together(rows: Tensor) -> list[Tensor]:
    """Records that are searched beside each other."""
    return [part for part in rows.split(TOGETHER) if len(part)]


def _asked(
    ensemble: Ensemble, x: Tensor, y: Tensor, corners: Sequence[Tensor], threat: Threat
) -> tuple[Asked, Turns]:
    """What is asked of records (P, D), and whether values of some features of one change it."""
    ways = reaches(ensemble, x, corners, threat)

    def turns(row: int, values: dict[int, float]) -> bool:
        there = x[row].clone()
        for place, value in values.items():
            there[place] = value
        return bool(ensemble.margin(there[None], y[row : row + 1])[0] <= 0)

    return asked_of(ensemble, x.double().numpy(), y.numpy(), ways), turns


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
    least: list[float] = []
    for some in _together(torch.arange(len(x))):
        asked, _ = _asked(ensemble, x[some], y[some], [end[some] for end in corners], threat)
        least += lowest(asked, budget)
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
