"""One change for everybody: made once, on other people's records, and worn by each new one."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pipeline.attacks.evasion.losses import Loss, ascent
from pipeline.attacks.evasion.records import LogitsFn, corners, on_records
from pipeline.config import Count, Positive
from pipeline.data.threat import Threat


@on_records("linf", "l2")
def universal(
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: float | Tensor,
    steps: Count,
    step_size: Positive,
    loss: Loss = "margin",
    generator: torch.Generator,
) -> Tensor:
    """Universal perturbations (Moosavi-Dezfooli et al. 2017, arXiv:1610.08401), one for each class.

    By the sign of the mean gradient over records (Shafahi et al. 2020, arXiv:1811.11304). The
    records are divided in two, and what is made on one half is worn by the other: so nobody's
    change was made on his own record, and the insider needs none of the model once he has it.

    Args:
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: radius in units of threat.scale; a float, or a tensor that broadcasts over the leading
            axes, so that a whole grid of radii is one call.
        steps: gradient steps.
        step_size: length of a step, as a fraction of eps.
        loss: what is increased.
        generator: says who is in which half.

    Returns:
        x_adv of the shape that x and eps broadcast to, detached, inside the threat model. A record
        of whose class the other half holds nobody stays as it is.
    """
    low, high = corners(threat, x, eps)
    limits = (low, high) if threat.norm == "linf" else threat.limits(x)
    reach = threat.scale.to(x.dtype) * eps
    lead = low.shape[:-1]
    half = torch.randperm(lead[-1], generator=generator) % 2
    classes = int(y.max()) + 1
    made_on, worn_by = (
        one_hot(2 * y.expand(lead) + part, 2 * classes).to(x.dtype) for part in (half, 1 - half)
    )
    change = x.new_zeros(*lead[:-1], 2 * classes, x.shape[-1])  # of each half and class, in eps
    for _ in range(steps):
        there = torch.clamp(x + reach * (made_on @ change), *limits)
        grad, _ = ascent(logits_fn, there, y, loss)
        grad = torch.where(threat.mutable, grad * threat.scale.to(x.dtype), 0)
        change = _moved(change, made_on.mT @ grad, step_size, threat)
    return threat.project((x + reach * (worn_by @ change)).detach(), x, eps)


def _moved(change: Tensor, grad: Tensor, step_size: float, threat: Threat) -> Tensor:
    """One step along the mean gradients, inside the ball of radius 1."""
    if threat.norm == "linf":
        return (change + step_size * grad.sign()).clamp(-1, 1)
    tiny = torch.finfo(grad.dtype).tiny
    moved = change + step_size * grad / grad.norm(dim=-1, keepdim=True).clamp(min=tiny)
    inside: Tensor = moved / moved.norm(dim=-1, keepdim=True).clamp(min=1)
    return inside
