"""Few values, changed by a lot."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pipeline.attacks.evasion.records import LogitsFn, corners, on_records
from pipeline.data.threat import Threat
from pipeline.models.answers import margin


@on_records("l0")
@torch.no_grad()
def sparse(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    points: Annotated[int, Field(ge=2)],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Greedy coordinate search: the value whose change harms most, then the next, up to eps.

    A simple search of our own, in the line of Papernot et al. 2016 (arXiv:1511.07528), without
    gradients: a value may leave the neighbourhood in which a gradient says anything. Exact for one
    value, up to the `points` looked at. Reads D * points scores per changed value; a value changed
    before may be changed again. One search answers all radii of a grid, and no larger one is ever
    worse.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what; its norm is l0.
        eps: how many values may change; a float, or a tensor that broadcasts over the leading axes.
        points: values tried of each feature, spread evenly over its whole range.
        generator: not used; here because every attack takes one.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model: of all
            records tried with at
        most eps changes, the one with the smallest margin on the greedy path.
    """
    radius = torch.as_tensor(eps)
    features = x.shape[-1]
    low, high = corners(threat, x, float(features))
    share = torch.linspace(0, 1, points).view(-1, *[1] * x.dim())
    alone = replace(threat, relations=None)  # (points, ..., B, D), each one legal by itself
    values = alone.project(low + (high - low) * share, x, float(features))
    best, best_margin = x, margin(logits_fn(x), y)
    x_adv = x.expand(
        np.broadcast_shapes(x.shape, radius.shape)
    )  # torch.broadcast_shapes imports sympy
    for count in range(1, min(int(radius.max()), features) + 1):
        start = best
        for feature in range(features):
            if not bool(threat.mutable[feature]):
                continue
            tried = start.repeat(points, *[1] * x.dim())
            tried[..., feature] = values[..., feature]
            margins = margin(logits_fn(tried), y)
            if threat.relations:
                _, broken = threat.relations.completed_and_broken(tried, x)
                margins = torch.where(broken > 0, torch.inf, margins)
            lowest, at = margins.min(0)
            chosen = tried.gather(0, at[None, ..., None].expand(1, *x.shape))[0]
            improves = lowest < best_margin
            best = torch.where(improves[..., None], chosen, best)
            best_margin = torch.where(improves, lowest, best_margin)
        x_adv = torch.where(radius >= count, best, x_adv)
    if threat.relations:
        x_adv = threat.relations.completed(x_adv, x)
    return x_adv.detach().clone()
