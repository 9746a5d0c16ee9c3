"""Evasion: changed records that the model gets wrong. Pure functions of tensors; the model is any callable to logits.

An attack takes a whole grid of radii in one call: `eps` may be a tensor that broadcasts over the records' leading axes.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softmax

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


def _margin_ascent(logits: Tensor, y: Tensor) -> Tensor:
    """Gradient of the negative margin: from the true class to the best other one."""
    own = one_hot(y.expand(logits.shape[:-1]), logits.shape[-1]).to(logits.dtype)
    if logits.shape[-1] == 2:
        return 1 - 2 * own
    other = logits.masked_fill(own.bool(), -torch.inf).argmax(-1)
    return one_hot(other, logits.shape[-1]).to(logits.dtype) - own


def _cross_entropy_ascent(logits: Tensor, y: Tensor) -> Tensor:
    """Gradient of the cross-entropy; it vanishes where the model is certain."""
    return softmax(logits, -1) - one_hot(y.expand(logits.shape[:-1]), logits.shape[-1])


# What an attacker increases, as its gradient at the logits (..., C). The margin's never vanishes, so a confident model cannot
# hide behind it.
ASCENT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": _cross_entropy_ascent, "margin": _margin_ascent}


def ascent_sign(logits_fn: LogitsFn, x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """The sign of the loss' gradient at each record, and the model's answer there. The model is left as it was.

    Returns:
        signs like x, 0 for a missing value; logits (..., B, C).
    """
    pullback = getattr(logits_fn, "pullback", None)  # a population differentiates itself faster than autograd does
    if pullback is None:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            out = logits_fn(leaf)
            grad = torch.autograd.grad(out, leaf, ASCENT[loss](out.detach(), y))[0]
        return grad.sign_(), out.detach()
    if x.dim() > 3:
        blocks = zip(x, y.expand(x.shape[:-1]), strict=True)
        signs, answers = zip(*(ascent_sign(logits_fn, block, labels, loss) for block, labels in blocks), strict=True)
        return torch.stack(signs), torch.stack(answers)
    logits, pull = pullback(x.detach())
    return pull(ASCENT[loss](logits, y)).sign_(), logits


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
    sign, reach = ascent_sign(logits_fn, x, y, loss)[0], threat.scale.to(x.dtype) * eps
    if reach.dim() <= x.dim():
        return threat.project((x + reach * sign).detach(), x, eps)
    # One radius after another: each fits the cache.
    blocks = zip(reach, eps, strict=True)  # type: ignore[arg-type]
    return torch.stack([threat.project((x + size * sign).detach(), x, radius) for size, radius in blocks])


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
    best = start = x.expand(low.shape)
    best_margin = torch.empty(0)
    for restart in range(restarts):
        x_adv = start if restart == 0 else low + (high - low) * torch.rand(low.shape, generator=generator)
        for number in range(steps):
            sign, logits = ascent_sign(logits_fn, x_adv, y, loss)
            if restart == number == 0:
                best_margin = margin(logits, y)  # of the record itself
            moved = torch.addcmul(x_adv, sign, step)
            x_adv = torch.clamp(moved, low, high, out=moved)
        best, best_margin = _better(logits_fn, threat.project(x_adv, x, eps), y, best, best_margin)
    return best.detach().clone()


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


def worst(logits_fn: LogitsFn, candidates: list[Tensor], y: Tensor) -> Tensor:
    """Of several versions of each record, the one with the smallest margin; earlier ones win ties."""
    best = candidates[0]
    with torch.no_grad():
        best_margin = margin(logits_fn(best), y)
    for candidate in candidates[1:]:
        best, best_margin = _better(logits_fn, candidate, y, best, best_margin)
    return best.detach().clone()


@torch.no_grad()
def _better(logits_fn: LogitsFn, candidate: Tensor, y: Tensor, best: Tensor, best_margin: Tensor) -> tuple[Tensor, Tensor]:
    """The best of each record so far, after one more candidate; and its margin."""
    margins = margin(logits_fn(candidate), y)
    better = margins < best_margin
    return torch.where(better[..., None], candidate, best), torch.where(better, margins, best_margin)
