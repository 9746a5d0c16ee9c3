"""The smallest radius that breaks a record, by bisection: most radii then need no attack.

What is broken at 0.1 counts as broken at 0.2. The audit does not run this: it attacks at every
radius, and proves what can be proved. Only the benchmarks of whole grids of radii use it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipeline.attacks.evasion.records import LogitsFn
from pipeline.data.plan import rectangle
from pipeline.data.threat import Threat
from pipeline.models.answers import margin


def smallest_breaking_radius(
    attacks: Sequence[Callable[..., Tensor]],
    logits_fn: LogitsFn,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    eps: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Bisects an ascending grid of radii, each record on its own: log2(E) rounds, not E attacks.

    In a round each attack is given only the records that those before it did not break, so a cheap
    one first (FGSM) spares a dear one (PGD) half of its work. Success is taken to be monotone in
    the radius. Where it is not (a failed attempt below a radius that breaks the record is not
    repeated), the answer is an upper bound of the smallest radius, as with any attack.

    Args:
        attacks: each called as `attack(logits_fn, x, y, threat, eps=..., generator=...)` with one
            radius per record.
        logits_fn: maps records (M, B, D) to logits (M, B, C), whatever B.
        x: records in clinical units, (M, B, D); NaN = missing.
        y: class indices, broadcastable to (M, B).
        threat: what may be changed, and to what.
        eps: (E,) ascending radii in units of threat.scale.
        generator: passed to the attacks.

    Returns:
        (M, B) int64: the index into `eps` of the smallest radius that breaks the record; E = none
        does. And the records (M, B, D) that break it there; x itself where none does.
    """
    y = y.expand(x.shape[:-1])
    known_robust = torch.zeros_like(y)
    known_broken = torch.where(margin(logits_fn(x), y).detach() <= 0, 0, len(eps))
    found = x.clone()
    while (undecided := known_robust < known_broken).any():
        middle = (known_robust + known_broken) // 2
        standing = undecided.clone()
        for attack in attacks:
            index, valid = rectangle(standing)
            if not index.shape[1]:
                break
            records = x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
            labels, radius = (
                y.gather(1, index),
                eps[middle.gather(1, index).clamp(max=len(eps) - 1)],
            )
            x_adv = attack(
                logits_fn, records, labels, threat, eps=radius[..., None], generator=generator
            )
            member, place = (valid & (margin(logits_fn(x_adv), labels).detach() <= 0)).nonzero(
                as_tuple=True
            )
            standing[member, index[member, place]] = False
            found[member, index[member, place]] = x_adv[member, place]
        known_broken = torch.where(undecided & ~standing, middle, known_broken)
        known_robust = torch.where(standing, middle + 1, known_robust)
    return known_broken, found
