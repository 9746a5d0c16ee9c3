"""Evasion: changed records that the model gets wrong. Pure functions of tensors; the model is any callable to logits.

An attack takes a whole grid of radii in one call: `eps` may be a tensor that broadcasts over the records' leading axes.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipeline.config import Count, Positive
from pipeline.threat import Threat

LogitsFn = Callable[[Tensor], Tensor]
Loss = Literal["cross_entropy", "margin"]


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """How far the true class is ahead of the best other one: positive = right, otherwise wrong (a tie is an error).

    Args:
        logits: (..., C) with C >= 2.
        y: class indices, broadcastable to (...).

    Returns:
        (...), in logits.
    """
    if logits.shape[-1] == 2:  # the same in a third of the time
        return (logits[..., 1] - logits[..., 0]) * (2 * y - 1)
    index = y.expand(logits.shape[:-1])[..., None]
    own = logits.gather(-1, index)[..., 0]
    return own - logits.scatter(-1, index, -torch.inf).amax(-1)


def _negative_margin(logits: Tensor, y: Tensor) -> Tensor:
    return -margin(logits, y)


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    labels = y.expand(logits.shape[:-1])
    return cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none").view(labels.shape)


# What an attacker increases, per record. The margin does not saturate, so a confident model cannot hide behind it.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": _cross_entropy, "margin": _negative_margin}


def ascent_sign(logits_fn: LogitsFn, x: Tensor, y: Tensor, loss: Loss) -> Tensor:
    """The sign of the loss' gradient at each record, like x; 0 for a missing value. The model is left as it was."""
    pullback = getattr(logits_fn, "pullback", None)  # a population differentiates itself faster than autograd does
    if pullback is not None and x.dim() > 3:
        blocks = zip(x, y.expand(x.shape[:-1]), strict=True)
        return torch.stack([ascent_sign(logits_fn, block, labels, loss) for block, labels in blocks])
    with torch.enable_grad():
        if pullback is None:
            x = x.detach().requires_grad_()
            return torch.autograd.grad(LOSSES[loss](logits_fn(x), y).sum(), x)[0].sign_()
        logits, pull = pullback(x.detach())
        logits.requires_grad_()
        sign: Tensor = pull(torch.autograd.grad(LOSSES[loss](logits, y).sum(), logits)[0]).sign_()
        return sign


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
    """Fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572), untargeted, L-infinity.

    The gradient does not depend on the radius, so all radii of a grid share one.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading axes.
        loss: what is increased.
        generator: not used; here because every attack takes one.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model.
    """
    step = threat.scale.to(x.dtype) * eps * ascent_sign(logits_fn, x, y, loss)
    return threat.project((x + step).detach(), x, eps)


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
    """Projected gradient descent (Madry et al. 2018, arXiv:1706.06083), untargeted, L-infinity.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading axes, so that
            a whole grid of radii is one call.
        steps: gradient steps of each restart.
        step_size: length of a step, as a fraction of eps.
        restarts: the first starts at the record itself, the others at random points of the box.
        loss: what is increased.
        generator: of the random starts.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model: of the record itself and
        those that the restarts end at, the one with the smallest margin. The model's mode, weights and .grad are unchanged.
    """
    low, high = (corner.to(x.dtype) for corner in threat.box(x, eps))
    step = threat.scale.to(x.dtype) * (step_size * eps)
    start = x.expand(low.shape)
    candidates = [start]
    for restart in range(restarts):
        x_adv = start if restart == 0 else low + (high - low) * torch.rand(low.shape, generator=generator)
        for _ in range(steps):
            moved = torch.addcmul(x_adv, ascent_sign(logits_fn, x_adv, y, loss), step)
            x_adv = torch.clamp(moved, low, high, out=moved)
        candidates.append(threat.project(x_adv, x, eps))
    return worst(logits_fn, candidates, y)


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
    """The control: random corners of the same box, the worst of `draws`. Not an attack; what an attack must beat.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading axes.
        draws: corners tried.
        generator: of the draws.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model.
    """
    low, high = (corner.to(x.dtype) for corner in threat.box(x, eps))
    corners = [torch.where(torch.rand(low.shape, generator=generator) < 0.5, low, high) for _ in range(draws)]
    return worst(logits_fn, [threat.project(corner, x, eps) for corner in corners], y)


@torch.no_grad()
def worst(logits_fn: LogitsFn, candidates: list[Tensor], y: Tensor) -> Tensor:
    """Of several versions of each record, the one with the smallest margin; earlier ones win ties."""
    best, best_margin = candidates[0], margin(logits_fn(candidates[0]), y)
    for candidate in candidates[1:]:
        candidate_margin = margin(logits_fn(candidate), y)
        better = candidate_margin < best_margin
        best = torch.where(better[..., None], candidate, best)
        best_margin = torch.where(better, candidate_margin, best_margin)
    return best.detach().clone()
