"""What is no step of a number: categories recoded, values left out."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.attacks.evasion.control import better
from pipeline.attacks.evasion.records import LogitsFn, corners, on_records
from pipeline.config import Count
from pipeline.data.recodes import left_for_numbers, variants
from pipeline.data.threat import Threat
from pipeline.models.answers import margin


@on_records("linf", "l2", "l0")
@torch.no_grad()
def recodes(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    listed: Count,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Every variant of a record, then its numbers one by one to either end of what is left.

    A simple search of our own, by scores. Exact where no number may move and all variants are
    tried. A variant that is cheap but weak alone is not built upon.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes.
        listed: variants of a record that are tried, the record itself among them; the cheapest.
        generator: not used; here because every attack takes one.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model: of the
            records tried within eps, the one with the smallest margin.
    """
    radius = torch.as_tensor(eps, dtype=torch.float64)
    shape = np.broadcast_shapes(x.shape, radius.shape)  # torch.broadcast_shapes imports sympy
    own, own_margin = x.expand(shape), margin(logits_fn(x), y).expand(shape[:-1])
    best, best_margin = own, own_margin
    for variant, cost in _one_of_each(threat, x, float(radius.max()), listed):
        margins = margin(logits_fn(variant), y)
        within = left_for_numbers(threat, cost[..., None], radius)[..., 0] >= 0
        improves = within & (margins < best_margin)
        best = torch.where(improves[..., None], variant, best)
        best_margin = torch.where(improves, margins, best_margin)
    found, found_margin = _moved(logits_fn, best, best_margin, x, y, threat, eps)
    if threat.discrete:  # what a recode costs may be better spent on numbers
        moved, _ = _moved(logits_fn, own, own_margin, x, y, threat, eps)
        found, _ = better(logits_fn, moved, y, found, found_margin)
    return found.detach().clone()


def _one_of_each(
    threat: Threat, x: Tensor, largest: float, most: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """A variant of every record at a time (..., B, D), with its cost (..., B); inf = no further."""
    flat = x.reshape(-1, x.shape[-1])
    made = variants(threat, flat, largest, most)
    rank = torch.arange(len(made.row)) - torch.searchsorted(made.row, made.row)  # rows are sorted
    for place in range(1, int(rank.max()) + 1 if len(rank) else 0):
        chosen = rank == place
        variant, cost = flat.clone(), torch.full((len(flat),), torch.inf, dtype=torch.float64)
        variant[made.row[chosen]] = made.x[chosen]
        cost[made.row[chosen]] = made.cost[chosen]
        yield variant.view(x.shape), cost.view(x.shape[:-1])


def _moved(
    logits_fn: LogitsFn,
    start: Tensor,
    start_margin: Tensor,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    eps: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """A record after each number in turn went to the end that harms most; and its margin."""
    best, best_margin = start, start_margin
    ends = corners(threat, x, eps)
    for feature in threat.mutable.nonzero()[:, 0].tolist():
        for end in ends:
            tried = best.clone()
            gap = best[..., feature].isnan()
            tried[..., feature] = torch.where(gap, best[..., feature], end[..., feature])
            tried = threat.project(tried, x, eps)
            best, best_margin = better(logits_fn, tried, y, best, best_margin)
    return best, best_margin
