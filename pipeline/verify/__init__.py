"""Exact verification: the nearest record that a clinic could hold and that changes an answer, or the proof that there is none.

"Exact" means: of the network with its float32 weights, evaluated in float64, on float32 records. A proof demands more of the
margin than float64 rounding could take away (`Network.rounding`), a counterexample falls short by as much.
"""

import torch
from torch import Tensor

from pipeline.threat import Threat
from pipeline.verify.nearest import Nearest, nearest
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem
from pipeline.verify.sparse import fewest, one_at_a_time

ROUNDS = (0.3, 1.0)  # shares of the largest radius

__all__ = ["Nearest", "one_at_a_time", "verify"]


def verify(
    network: Network, x: Tensor, y: Tensor, threat: Threat, *, largest: float, budget: int, spared: Tensor | None = None
) -> Nearest:
    """The smallest radius at which each answer of one network can be changed.

    Args:
        network: the network.
        x: (P, D) float32 records in clinical units, NaN = missing.
        y: (P,) class indices.
        threat: what may be changed; under `l0` radii count measurements.
        largest: radius up to which to look; finite.
        budget: branch-and-bound boxes for one record (and wrong class, and subset of measurements under `l0`). When it is
            spent, `robust_below < breaks_at`.
        spared: (P,) bool, records that may not be changed at all.

    Returns:
        the nearest counterexample over all wrong classes.

    Raises:
        ValueError: `largest` is no finite radius.
    """
    if not 0 <= largest < torch.inf:
        raise ValueError(f"largest must be a finite radius, not {largest}")
    spared = torch.zeros_like(y, dtype=torch.bool) if spared is None else spared
    classes = network.layers[-1][1].shape[0]
    against = [(y, (y + shift) % classes) for shift in range(1, classes)]
    if threat.norm == "l0":
        return _least([fewest(network, x, pair, threat, budget, most=int(largest), spared=spared) for pair in against])
    return _least([_in_rounds(network, x, pair, threat, largest, budget, spared) for pair in against])


def _in_rounds(
    network: Network, x: Tensor, pair: tuple[Tensor, Tensor], threat: Threat, largest: float, budget: int, spared: Tensor
) -> Nearest:
    """Looks near the record first and then further out: a small ball is bounded tightly, and most answers change inside one.

    What a round proves stands whatever the next one leaves open; `budget` is for each round.
    """
    total = Nearest(
        robust_below=torch.full((len(x),), torch.inf, dtype=torch.float64),
        breaks_at=torch.full((len(x),), torch.inf, dtype=torch.float64),
        record=x.clone(),
        boxes=torch.zeros(len(x), dtype=torch.int64),
    )
    left, before = torch.arange(len(x)), 0.0
    for share in ROUNDS:
        answer = _within(network, x[left], (pair[0][left], pair[1][left]), threat, share * largest, budget, spared[left])
        proved = torch.minimum(answer.robust_below.clamp_min(before), answer.breaks_at)
        before = share * largest
        total.robust_below[left], total.breaks_at[left], total.record[left] = proved, answer.breaks_at, answer.record
        total.boxes[left] += answer.boxes
        left = left[answer.robust_below.isinf()]
    # Whom the search gave up on before it found anything may still be broken further out.
    left = (total.robust_below.isfinite() & total.breaks_at.isinf()).nonzero()[:, 0]
    answer = _within(network, x[left], (pair[0][left], pair[1][left]), threat, largest, 1, spared[left])
    total.breaks_at[left], total.record[left] = answer.breaks_at, answer.record
    total.boxes[left] += answer.boxes
    return total


def _within(
    network: Network, x: Tensor, pair: tuple[Tensor, Tensor], threat: Threat, radius: float, budget: int, spared: Tensor
) -> Nearest:
    low, high = threat.box(x, radius)
    corners = torch.where(spared[:, None], x.double(), low), torch.where(spared[:, None], x.double(), high)
    return nearest(network, Problem.of(network, x, corners, pair, threat, radius), budget=budget)


def _least(answers: list[Nearest]) -> Nearest:
    """What holds against every wrong class at once."""
    first = answers[0]
    for answer in answers[1:]:
        nearer = answer.breaks_at < first.breaks_at
        first = Nearest(
            torch.minimum(first.robust_below, answer.robust_below),
            torch.minimum(first.breaks_at, answer.breaks_at),
            torch.where(nearer[:, None], answer.record, first.record),
            first.boxes + answer.boxes,
        )
    return first
