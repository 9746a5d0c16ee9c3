"""The smallest radius that breaks a record, by bisection: broken at 0.1 is broken at 0.2, so most radii need no attack."""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.attacks.evasion import LogitsFn, margin
from pipeline.threat import Threat


def smallest_breaking_radius(
    attack: Callable[..., Tensor],
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Bisects an ascending grid of radii, each record on its own: log2(E) attacks in place of E.

    The attack's success is taken to be monotone in the radius. Where it is not (a failed attempt below a radius that
    breaks the record is not repeated), the answer is an upper bound of the smallest radius, as with any attack.

    Args:
        attack: called as `attack(logits_fn, x, y, threat, eps=..., generator=...)` with one radius per record.
        logits_fn: maps records (..., B, D) to logits (..., B, C).
        x: records in clinical units, (..., B, D); NaN = missing.
        y: class indices, broadcastable to (..., B).
        threat: what may be changed, and to what.
        eps: (E,) ascending radii in units of threat.scale.
        generator: passed to the attack.

    Returns:
        (..., B) int64: the index into `eps` of the smallest radius that breaks the record; E = none does. And the
        records (..., B, D) that break it there; x itself where none does.
    """
    clean_wrong = margin(logits_fn(x), y).detach() <= 0
    known_robust = torch.zeros(x.shape[:-1], dtype=torch.int64)
    known_broken = torch.where(clean_wrong, 0, len(eps))
    found = x.clone()
    while (known_robust < known_broken).any():
        middle = (known_robust + known_broken) // 2
        x_adv = attack(logits_fn, x, y, threat, eps=eps[middle.clamp(max=len(eps) - 1)][..., None], generator=generator)
        undecided = known_robust < known_broken
        broken = undecided & (margin(logits_fn(x_adv), y).detach() <= 0)
        found = torch.where(broken[..., None], x_adv, found)
        known_broken = torch.where(broken, middle, known_broken)
        known_robust = torch.where(undecided & ~broken, middle + 1, known_robust)
    return known_broken, found
