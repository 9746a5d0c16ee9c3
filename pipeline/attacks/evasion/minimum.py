"""The smallest change that breaks a record; it answers for every radius at once."""

import numpy as np
import torch
from torch import Tensor

from pipeline.attacks.evasion.control import better
from pipeline.attacks.evasion.losses import pullback
from pipeline.attacks.evasion.records import LogitsFn, corners, largest_radius, on_records, size_of
from pipeline.config import Count, Norm, Share
from pipeline.data.threat import Threat
from pipeline.models.answers import margin

OVERSHOOT = 1.05  # eta of FAB: a little beyond the boundary
HALVINGS = 4  # of the last search between the record and what broke it


@on_records("linf", "l2")
def fab(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    steps: Count,
    restarts: Count = 1,
    backward: Share = 0.9,
    bias: Share = 0.1,
    generator: torch.Generator,
) -> Tensor:
    """Fast adaptive boundary (Croce & Hein 2020, arXiv:1907.02044), untargeted.

    Each step goes to the nearest point of the box on the nearest boundary, taking the model to be
    linear where it stands, drawn a little toward the same boundary as seen from the record; once
    wrong, it steps back toward the record. One run for the largest radius answers all others. No
    step ever leaves that radius' box, since nothing beyond counts.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes.
        steps: of each restart; C - 1 gradients each.
        restarts: the first starts at the record itself, the others at random points of the box.
        backward: how much of a change that broke a record the next step keeps; beta of the paper.
        bias: the largest weight of the record itself in a step; alpha_max of the paper.
        generator: of the random starts.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model: of the
            record itself, the nearest point
        that breaks it and the same direction taken as far as eps allows, the one with the smallest
        margin.
    """
    widest = largest_radius(eps, x)
    low, high = corners(threat, x, widest)
    start, radius = x.expand(low.shape), torch.as_tensor(eps, dtype=x.dtype)
    best = x.expand(
        np.broadcast_shapes(x.shape, radius.shape)
    )  # torch.broadcast_shapes imports sympy
    with torch.no_grad():
        best_margin = margin(logits_fn(start), y).expand(best.shape[:-1])
    for restart in range(restarts):
        if restart:
            start = low + (high - low) * torch.rand(low.shape, generator=generator)
        nearest = _nearest_wrong(
            logits_fn, start, y, threat, x.expand(low.shape), widest, steps, backward, bias
        )
        distance = threat.distance(nearest, x).to(x.dtype)[..., None]
        as_far = x + (nearest - x) * torch.where(distance > 0, radius / distance, 1)
        for proposed in (nearest.expand(best.shape), as_far):
            best, best_margin = better(
                logits_fn, threat.project(proposed, x, eps), y, best, best_margin
            )
    return best.detach().clone()


def _nearest_wrong(
    logits_fn: LogitsFn,
    start: Tensor,
    y: Tensor,
    threat: Threat,
    x: Tensor,
    widest: float | Tensor,
    steps: int,
    backward: float,
    bias: float,
) -> Tensor:
    """One run of FAB: the nearest wrong record it meets.

    Where it meets none, its last record, whose direction may serve.
    """
    low, high = corners(threat, x, widest)
    scale = threat.scale.to(x.dtype)
    # Everything below is a move away from the record, in units of scale.
    move, least, most = ((place - x).div(scale).nan_to_num() for place in (start, low, high))

    def at(place: Tensor) -> tuple[Tensor, Tensor]:
        """What would be presented there, and whether it is wrong."""
        presented = threat.project(x + scale * place, x, widest)
        with torch.no_grad():
            return presented, margin(logits_fn(presented), y) <= 0

    nearest, already = at(torch.zeros_like(move))
    distance = torch.where(already, 0.0, torch.inf)
    for _ in range(steps):
        gap, slope = _nearest_boundary(logits_fn, x + scale * move, y, threat)
        step = _onto(gap, slope, least - move, most - move, threat.norm)
        from_record = _onto(
            gap + (slope * move).sum(-1, keepdim=True), slope, least, most, threat.norm
        )
        size, size_from_record = (size_of(one, threat.norm) for one in (step, from_record))
        weight = (size / (size + size_from_record)).nan_to_num(0).clamp(max=bias)
        move = (1 - weight) * (move + OVERSHOOT * step) + weight * OVERSHOOT * from_record
        move = torch.clamp(move, least, most)
        presented, wrong = at(move)
        far = threat.distance(presented, x).to(x.dtype)
        nearer = wrong & (far < distance)
        nearest = torch.where((nearer | distance.isinf())[..., None], presented, nearest)
        distance = torch.where(nearer, far, distance)
        move = torch.where(wrong[..., None], backward * move, move)
    whole, inner = ((nearest - x) / scale).nan_to_num(), torch.zeros_like(distance)
    outer = torch.ones_like(inner)
    for _ in range(HALVINGS):
        middle = (inner + outer) / 2
        presented, wrong = at(middle[..., None] * whole)
        nearest = torch.where((wrong & distance.isfinite())[..., None], presented, nearest)
        inner, outer = torch.where(wrong, inner, middle), torch.where(wrong, middle, outer)
    return nearest


def _nearest_boundary(
    logits_fn: LogitsFn, x: Tensor, y: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    """The lead over the class whose boundary is nearest, (..., B, 1), and its negative gradient.

    The gradient is per unit of scale.
    """
    logits, pull = pullback(logits_fn, x)
    classes = logits.shape[-1]
    own = y.expand(logits.shape[:-1])[..., None]
    gap = slope = best = torch.empty(0)
    for number in range(classes - 1):
        other = (own + number + 1) % classes
        grad = pull(torch.zeros_like(logits).scatter(-1, other, 1).scatter(-1, own, -1))
        grad = torch.where(threat.mutable, grad * threat.scale.to(x.dtype), 0)
        lead = logits.gather(-1, own) - logits.gather(-1, other)
        # The dual norm says how fast the lead can fall; a flat boundary is infinitely far, never
        # undefined.
        fastest = (
            grad.abs().sum(-1, keepdim=True)
            if threat.norm == "linf"
            else grad.norm(dim=-1, keepdim=True)
        )
        away = lead.abs() / fastest.clamp(min=torch.finfo(x.dtype).tiny)
        if number == 0:
            gap, slope, best = lead, grad, away
        else:
            closer = away < best
            gap, slope, best = (
                torch.where(closer, *pair) for pair in ((lead, gap), (grad, slope), (away, best))
            )
    return gap, slope


def _onto(gap: Tensor, slope: Tensor, least: Tensor, most: Tensor, norm: Norm) -> Tensor:
    """The smallest move u in [least, most] with slope . u = gap, or as far as the box allows.

    Each value moves at its own speed (linf: all alike, l2: by its slope) until its room is used up:
    the solution is the time at which the gap is closed, found among the moments at which a value
    stops.

    Args:
        gap: (..., B, 1), of either sign.
        slope: (..., B, D), 0 where nothing may move.
        least: (..., B, D) <= 0.
        most: (..., B, D) >= 0.
        norm: linf or l2.
    """
    slope = slope * torch.where(gap < 0, -1, 1)
    pull = slope.abs()
    room = torch.where(slope > 0, most, -least).clamp(min=0) * (pull > 0)
    speed = (pull > 0).to(pull.dtype) if norm == "linf" else pull
    stops = room / torch.where(pull > 0, speed, 1)
    order = stops.argsort(-1)
    times = stops.gather(-1, order)
    used = (pull * room).gather(-1, order).cumsum(-1)
    rates = (pull * speed).gather(-1, order)
    left = rates.flip(-1).cumsum(-1).flip(-1)  # rate at which the gap closes just before each stop
    before = torch.nn.functional.pad(used[..., :-1], (1, 0))
    closes = before + times * left >= gap.abs()
    first = closes.int().argmax(-1, keepdim=True)
    time = (gap.abs() - before.gather(-1, first)) / left.gather(-1, first).clamp(
        min=torch.finfo(gap.dtype).tiny
    )
    time = torch.where(closes.any(-1, keepdim=True), time, times[..., -1:]).clamp(min=0)
    return slope.sign() * torch.minimum(time * speed, room)
