"""How few forged measurements change an answer: every subset, over its whole range."""

from itertools import combinations

import torch
from torch import Tensor

from pipeline.data.threat import Threat
from pipeline.verify.nearest import Nearest, nearest_record
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem

Classes = tuple[Tensor, Tensor]


def one_at_a_time(
    network: Network, x: Tensor, classes: Classes, threat: Threat, budget: int
) -> tuple[Tensor, Tensor, Tensor]:
    """For each measurement, the smallest change of it alone that changes the answer.

    Args:
        network: the network.
        x: (P, D) float32 records, NaN = missing.
        classes: own and other class indices, (P,) each.
        threat: an L0 threat: its box at radius 1 is the range of every measurement that may be
            forged.
        budget: boxes for one measurement of one record.

    Returns:
        proved (P, D), no smaller change does, in units of scale; distance (P, D) of the smallest
        that does, inf = none; and the value (P, D) it takes then. NaN where the measurement cannot
        be forged or is missing.
    """
    subsets = torch.eye(x.shape[1], dtype=torch.bool)
    rows, feature, answer = _forge(network, x, classes, threat, subsets, budget, any_will_do=False)
    proved, distance, value = torch.full((3, *x.shape), torch.nan, dtype=torch.float64)
    proved[rows, feature], distance[rows, feature] = answer.robust_below, answer.breaks_at
    forged = answer.record.gather(1, feature[:, None])[:, 0].double()
    value[rows, feature] = torch.where(answer.breaks_at.isfinite(), forged, torch.nan)
    return proved, distance, value


def fewest(
    network: Network,
    x: Tensor,
    classes: Classes,
    threat: Threat,
    budget: int,
    *,
    most: int,
    spared: Tensor,
) -> Nearest:
    """The least number of measurements whose forgery changes each answer, up to `most`.

    Args:
        network: the network.
        x: (P, D) float32 records, NaN = missing.
        classes: own and other class indices, (P,) each.
        threat: as for `one_at_a_time`.
        budget: boxes for one subset of measurements of one record.
        most: the largest number tried.
        spared: (P,) bool, records that may not be changed at all.
    """
    lead = network.margin(network.filled(x), *classes)
    slack = network.rounding(network.filled(x).abs())
    breaks_at = torch.where(lead <= -slack, 0.0, torch.inf).double()
    proved = torch.where(lead <= slack, 0.0, torch.inf).double()
    record, boxes = x.clone(), torch.zeros(len(x), dtype=torch.int64)
    for size in range(1, most + 1):
        left = (breaks_at.isinf() & ~spared).nonzero()[:, 0]
        chosen = [
            torch.tensor(features)
            for features in combinations(threat.mutable.nonzero()[:, 0].tolist(), size)
        ]
        if not len(left) or not chosen:
            break
        subsets = torch.stack(
            [
                torch.zeros(x.shape[1], dtype=torch.bool).index_fill(0, features, True)
                for features in chosen
            ]
        )
        mine = (classes[0][left], classes[1][left])
        rows, _, answer = _forge(network, x[left], mine, threat, subsets, budget, any_will_do=True)
        rows = left[rows]
        boxes.scatter_add_(0, rows, answer.boxes)
        broken = answer.breaks_at.isfinite()
        unsure = rows[answer.robust_below.isfinite() & ~broken]
        proved[unsure] = proved[unsure].clamp_max(float(size))
        first = torch.full_like(boxes, len(rows)).scatter_reduce_(
            0, rows[broken], broken.nonzero()[:, 0], "amin"
        )
        found = (first < len(rows)).nonzero()[:, 0]
        breaks_at[found], record[found] = float(size), answer.record[first[found]]
    return Nearest(torch.minimum(proved, breaks_at), breaks_at, record, boxes)


def _forge(
    network: Network,
    x: Tensor,
    classes: Classes,
    threat: Threat,
    subsets: Tensor,
    budget: int,
    *,
    any_will_do: bool,
) -> tuple[Tensor, Tensor, Nearest]:
    """Every record with every subset (K, D) forged: which record, which subset, what it reaches."""
    low, high = threat.box(x, 1.0)
    rows, chosen = ((low < high)[:, None] | ~subsets).all(2).nonzero(as_tuple=True)
    own, forged = x[rows].double(), subsets[chosen]
    corners = (torch.where(forged, low[rows], own), torch.where(forged, high[rows], own))
    problem = Problem.of(network, x[rows], corners, (classes[0][rows], classes[1][rows]), threat)
    return rows, chosen, nearest_record(network, problem, budget=budget, any_will_do=any_will_do)
