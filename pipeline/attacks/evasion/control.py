"""The control that an attack must beat, and the choice among several versions of a record."""

import torch
from torch import Tensor

from pipeline.attacks.evasion.records import LogitsFn, corners, on_records, uniform
from pipeline.config import Count
from pipeline.data.threat import Threat
from pipeline.models.answers import margin


@on_records("linf", "l2", "l0", anywhere=True)
def noise(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    draws: Count = 1,
    generator: torch.Generator,
) -> Tensor:
    """The control: random corners of the same box, the worst of `draws`; what an attack must beat.

    Under l2 a corner is drawn back to the ball; under l0 it is that of eps random values.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes.
        draws: corners tried.
        generator: of the draws.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model.
    """
    low, high = corners(threat, x, eps)
    drawn = [torch.where(uniform(low, generator) < 0.5, low, high) for _ in range(draws)]
    if threat.norm == "l0":
        free = (low < high).float()
        ranks = (
            (uniform(low, generator) + free).argsort(-1, descending=True).argsort(-1) for _ in drawn
        )
        drawn = [
            torch.where(rank + 1 <= eps, corner, x)
            for rank, corner in zip(ranks, drawn, strict=True)
        ]
    return worst(logits_fn, [threat.project(corner, x, eps) for corner in drawn], y)


def worst(logits_fn: LogitsFn, candidates: list[Tensor], y: Tensor) -> Tensor:
    """Of several versions of each record, the one with the smallest margin; earlier ones win ties.

    Args:
        logits_fn: maps events (..., B, *event) to logits (..., B, C).
        candidates: events of equal shape.
        y: class indices, broadcastable to (..., B).
    """
    best = candidates[0]
    with torch.no_grad():
        best_margin = margin(logits_fn(best), y)
    for candidate in candidates[1:]:
        best, best_margin = better(logits_fn, candidate, y, best, best_margin)
    return best.detach().clone()


@torch.no_grad()
def better(
    logits_fn: LogitsFn, candidate: Tensor, y: Tensor, best: Tensor, best_margin: Tensor
) -> tuple[Tensor, Tensor]:
    """The best of each record so far, after one more candidate; and its margin (..., B)."""
    margins = margin(logits_fn(candidate), y)
    improves = margins < best_margin
    chosen = improves.view(improves.shape + (1,) * (best.dim() - improves.dim()))
    return torch.where(chosen, candidate, best), torch.where(improves, margins, best_margin)
