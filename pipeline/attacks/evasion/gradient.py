"""Attacks along the gradient: one step (FGSM), many (PGD), many with a step that adapts (APGD).

An attack takes a whole grid of radii in one call: `eps` may be a tensor that broadcasts over the
records' leading axes.
"""

import torch
from torch import Tensor

from pipeline.attacks.evasion.control import better
from pipeline.attacks.evasion.losses import LOSS, Loss, ascent, ascent_sign
from pipeline.attacks.evasion.records import LogitsFn, corners, on_records, uniform
from pipeline.config import Count, Positive
from pipeline.data.threat import Threat
from pipeline.models.answers import margin

MOMENTUM, PROGRESS = 0.75, 0.75  # alpha and rho of APGD


@on_records("linf", "l2", anywhere=True)
def fgsm(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    loss: Loss = "cross_entropy",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fast gradient method (Goodfellow et al. 2015, arXiv:1412.6572), untargeted.

    Along the sign of the gradient under linf, along the gradient itself under l2.

    The gradient does not depend on the radius, so all radii of a grid share one.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes.
        loss: what is increased.
        generator: not used; here because every attack takes one.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model.
    """
    direction, reach = _steepest(logits_fn, x, y, loss, threat)[0], threat.scale.to(x.dtype) * eps
    if reach.dim() <= x.dim():
        return threat.project((x + reach * direction).detach(), x, eps)
    # One radius after another: each fits the cache.
    blocks = zip(reach, eps, strict=True)  # type: ignore[arg-type]
    return torch.stack(
        [threat.project((x + size * direction).detach(), x, radius) for size, radius in blocks]
    )


@on_records("linf", "l2", anywhere=True)
def pgd(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    steps: Count,
    step_size: Positive,
    restarts: Count = 1,
    loss: Loss = "margin",
    generator: torch.Generator,
) -> Tensor:
    """Projected gradient descent (Madry et al. 2018, arXiv:1706.06083), untargeted.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes, so that a whole grid of radii is one call.
        steps: gradient steps of each restart.
        step_size: length of a step, as a fraction of eps.
        restarts: the first starts at the record itself, the others at random points of the box.
        loss: what is increased.
        generator: of the random starts.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model: of the
            record itself and
        those that the restarts end at, the one with the smallest margin. The model's mode, weights
        and .grad are unchanged.
    """
    low, high = corners(threat, x, eps)
    limits = (
        (low, high) if threat.norm == "linf" else threat.limits(x)
    )  # of a ball, the box would cut off the direction
    step = threat.scale.to(x.dtype) * (step_size * eps)
    best = start = x.expand(low.shape)
    best_margin = torch.empty(0)
    for restart in range(restarts):
        x_adv = start if restart == 0 else low + (high - low) * uniform(low, generator)
        if restart and threat.norm == "l2":
            x_adv = _into_ball(x_adv, x, threat, eps)
        for number in range(steps):
            direction, logits = _steepest(logits_fn, x_adv, y, loss, threat)
            if restart == number == 0:
                best_margin = margin(logits, y)  # of the record itself
            moved = torch.addcmul(x_adv, direction, step)
            x_adv = torch.clamp(moved, *limits, out=moved)
            if threat.norm == "l2":
                x_adv = _into_ball(x_adv, x, threat, eps)
        best, best_margin = better(logits_fn, threat.project(x_adv, x, eps), y, best, best_margin)
    return best.detach().clone()


@on_records("linf", "l2", anywhere=True)
def apgd(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    steps: Count,
    restarts: Count = 1,
    loss: Loss = "margin",
    generator: torch.Generator,
) -> Tensor:
    """Auto-PGD (Croce & Hein 2020, arXiv:2003.01690), untargeted.

    With momentum, and a step size of each record's own.

    A step is 2 eps at first. At checkpoints that grow denser it is halved, and the record goes back
    to the best point it has seen, where the loss rose in too few steps or nothing has improved
    since the last checkpoint. The paper's ratio loss (DLR) is not offered: it is undefined for two
    classes.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes.
        steps: gradient steps of each restart.
        restarts: the first starts at the record itself, the others at random points of the box.
        loss: what is increased.
        generator: of the random starts.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model: of the
            record itself and
        each restart's point of largest loss, the one with the smallest margin.
    """
    low, high = corners(threat, x, eps)
    limits = (low, high) if threat.norm == "linf" else threat.limits(x)
    best = start = x.expand(low.shape)
    with torch.no_grad():
        best_margin = margin(logits_fn(start), y)
    for restart in range(restarts):
        x_start = start if restart == 0 else low + (high - low) * uniform(low, generator)
        found = _auto_pgd(logits_fn, x_start, y, threat, x, eps, limits, steps, loss)
        best, best_margin = better(logits_fn, threat.project(found, x, eps), y, best, best_margin)
    return best.detach().clone()


def _auto_pgd(
    logits_fn: LogitsFn,
    start: Tensor,
    y: Tensor,
    threat: Threat,
    x: Tensor,
    eps: float | Tensor,
    limits: tuple[Tensor, Tensor],
    steps: int,
    loss: Loss,
) -> Tensor:
    """One run of APGD; the point of largest loss."""

    def inside(proposed: Tensor) -> Tensor:
        clipped = torch.clamp(proposed, *limits)
        return _into_ball(clipped, x, threat, eps) if threat.norm == "l2" else clipped

    scale, checkpoints = threat.scale.to(x.dtype), _checkpoints(steps)
    x_now = x_last = x_best = inside(start)
    direction, logits = _steepest(logits_fn, x_now, y, loss, threat)
    value = value_best = value_best_before = LOSS[loss](logits, y)
    direction_best = direction
    step = (2 * torch.as_tensor(eps, dtype=x.dtype, device=x.device)).expand(*value.shape, 1)
    rises, halved_before, last = (
        torch.zeros_like(value),
        torch.zeros_like(value, dtype=torch.bool),
        0,
    )
    for number in range(1, steps + 1):
        straight = inside(torch.addcmul(x_now, direction, step * scale))
        with_momentum = x_now + MOMENTUM * (straight - x_now) + (1 - MOMENTUM) * (x_now - x_last)
        x_now, x_last = straight if number == 1 else inside(with_momentum), x_now
        direction, logits = _steepest(logits_fn, x_now, y, loss, threat)
        value, value_last = LOSS[loss](logits, y), value
        rises += value > value_last
        improves = value > value_best
        value_best = torch.where(improves, value, value_best)
        x_best = torch.where(improves[..., None], x_now, x_best)
        direction_best = torch.where(improves[..., None], direction, direction_best)
        if number in checkpoints:
            halve = rises < PROGRESS * (number - last)
            halve |= ~halved_before & (value_best <= value_best_before)
            back = halve[..., None]
            step = torch.where(back, step / 2, step)
            x_now, x_last = torch.where(back, x_best, x_now), torch.where(back, x_best, x_last)
            direction = torch.where(back, direction_best, direction)
            value = torch.where(halve, value_best, value)
            value_best_before, halved_before, last = value_best, halve, number
            rises = torch.zeros_like(rises)
    return x_best


def _checkpoints(steps: int) -> set[int]:
    """After which steps a halving is considered: first every 22 %, in the end every 6 %."""
    before, percent = 0, 22
    numbers = set()
    while percent < 100:
        numbers.add(-(-percent * steps // 100))
        before, percent = percent, percent + max(percent - before - 3, 6)
    return numbers


def _steepest(
    logits_fn: LogitsFn, x: Tensor, y: Tensor, loss: Loss, threat: Threat
) -> tuple[Tensor, Tensor]:
    """In units of scale, the direction in which the loss rises fastest; and the model's answer."""
    if threat.norm == "linf":
        return ascent_sign(logits_fn, x, y, loss)
    grad, logits = ascent(logits_fn, x, y, loss)
    grad = torch.where(threat.mutable, grad * threat.scale.to(x.dtype), 0)
    return grad / grad.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny), logits


def _into_ball(x_adv: Tensor, x: Tensor, threat: Threat, eps: float | Tensor) -> Tensor:
    """Draws records toward x until they are in the l2 ball; `Threat.project` sees to the grid."""
    change = x_adv - x
    size: Tensor = (change / threat.scale.to(x.dtype)).nan_to_num().norm(dim=-1, keepdim=True)
    share = (torch.as_tensor(eps, dtype=x.dtype) / size.clamp(min=torch.finfo(x.dtype).tiny)).clamp(
        max=1
    )
    return x + change * share
