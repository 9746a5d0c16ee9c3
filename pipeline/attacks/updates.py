"""Updates that malicious hospitals of a federation send instead of their own.

Shapes: H hospitals, K of them malicious, M models, P weights of a model as one row. `updates`
(H, M, P) is what each would send in a round: its weights less those that it was given.
`malicious` (H, M) bool names the same number of hospitals in every model, at least one.

An adversary returns (H, M, P): honest rows untouched, bit for bit. It is the strongest kind there
is: the malicious hospitals work together, and see what the honest ones send in the same round.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pipeline.standards import RISKS, Standards

Aggregate = Callable[[Tensor], Tensor]  # (H, M, P) to (M, P)
Adversary = Callable[[Tensor, Tensor, Aggregate], Tensor]
Taught = Literal["as recorded", "flipped", "triggered"]

BOOST = -10.0
WITHIN = 1.5  # standard deviations: what Baruch et al. take where many hospitals send
HALVINGS = 16  # of how far Krum still chooses
FARTHEST = 2.0  # so many times the largest distance from the honest mean it never does
STRENGTHS = (0.5, 1.0, 2.0, 10.0)
LEAST = 1e-12


def honest(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """What they learned, as it is: what is malicious is what they learned from."""
    return updates


def boosted(
    updates: Tensor, malicious: Tensor, aggregate: Aggregate, *, factor: float = BOOST
) -> Tensor:
    """The own update, many times and backwards (Blanchard et al. 2017, arXiv:1703.02757)."""
    return _sent(updates, malicious, factor * updates)


def replacing(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """The own update as large as it must be to be the mean (Bagdasaryan et al., arXiv:1807.00459).

    H / K times what was learned: if the others have converged, the mean is the malicious model.
    """
    return _sent(updates, malicious, updates * (len(updates) / int(malicious[:, 0].sum())))


def little_is_enough(
    updates: Tensor, malicious: Tensor, aggregate: Aggregate, *, within: float = WITHIN
) -> Tensor:
    """Each weight a little against what is learned, and never beyond what an honest hospital sends.

    After Baruch et al. 2019, arXiv:1902.06156: the honest mean, less so many standard deviations in
    its own direction, cut off at the least and largest honest value. So no rule that looks at one
    weight at a time can tell it from an honest one.
    """
    others = honest_ones(updates, malicious)
    mean, spread = others.mean(0), others.std(0, correction=0)
    wanted = mean - within * mean.sign() * spread
    low, high = others.amin(0), others.amax(0)
    return _sent(updates, malicious, wanted.clamp(low, high).expand_as(updates))


def against_krum(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """As far against the honest mean as Krum still chooses it (Fang et al., arXiv:1911.11815).

    All malicious hospitals send the same, so each is near the others. The step is bisected.
    """
    mean = honest_ones(updates, malicious).mean(0)
    return _as_far_as_krum(updates, malicious, mean)


def _as_far_as_krum(updates: Tensor, malicious: Tensor, way: Tensor) -> Tensor:
    """(H, M, P): the honest mean less as much of a way (M, P) as Krum still chooses.

    Where it chooses not even the mean itself, that.
    """
    others, count = honest_ones(updates, malicious), int(malicious[:, 0].sum())
    mean, unit = others.mean(0), way / way.norm(dim=-1, keepdim=True).clamp(min=LEAST)
    far = FARTHEST * (others - mean).norm(dim=-1).amax(0) + mean.norm(dim=-1)
    near = torch.zeros_like(far)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        instead = (mean - middle[:, None] * unit).expand_as(updates)
        chosen = nearest_to_others(_sent(updates, malicious, instead), count)
        taken = malicious.gather(0, chosen[None])[0]
        near, far = torch.where(taken, middle, near), torch.where(taken, far, middle)
    return _sent(updates, malicious, (mean - near[:, None] * unit).expand_as(updates))


def tailored(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """Whatever of many updates leaves least of the honest progress, by the rule that is in force.

    After Shejwalkar and Houmansadr 2021 (NDSS): the aggregation is known, and tried. The candidates
    go from the honest mean against its direction, against its signs, and by its spread, each by
    several strengths and as far as Krum chooses it; so do `little_is_enough` and `boosted`.
    Progress is the part of the aggregate along the honest mean.
    """
    others = honest_ones(updates, malicious)
    mean, spread = others.mean(0), others.std(0, correction=0)
    ways = (mean, mean.sign() * mean.norm(dim=-1, keepdim=True), mean.sign() * spread)
    candidates = [
        _sent(updates, malicious, (mean - strength * way).expand_as(updates))
        for way in ways
        for strength in STRENGTHS
    ]
    candidates += [_as_far_as_krum(updates, malicious, way) for way in ways]
    candidates += [one(updates, malicious, aggregate) for one in (little_is_enough, boosted)]
    left = torch.stack([(aggregate(one) * mean).sum(-1) for one in candidates])
    best = left.argmin(0)  # (M,)
    result = updates.clone()
    for place, one in enumerate(candidates):
        result[:, best == place] = one[:, best == place]
    return result


def honest_ones(updates: Tensor, malicious: Tensor) -> Tensor:
    """(H - K, M, P): of each model, the rows of the others, in their order."""
    order = malicious.to(torch.int8).argsort(dim=0, stable=True)
    others = order[: len(updates) - int(malicious[:, 0].sum())]
    return updates.gather(0, others[..., None].expand(-1, -1, updates.shape[-1]))


def nearest_to_others(updates: Tensor, malicious: int) -> Tensor:
    """(M,): the hospital that Krum chooses (Blanchard et al. 2017, arXiv:1703.02757).

    Least is the sum of squared distances to its nearest H - f - 2 others, at least one, where f are
    taken to be malicious.
    """
    others = len(updates) - 1
    kept = min(max(1, others - malicious - 1), others)
    by_model = updates.transpose(0, 1)
    apart = torch.cdist(by_model, by_model, compute_mode="donot_use_mm_for_euclid_dist").square()
    apart.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return apart.sort(-1).values[..., :kept].sum(-1).argmin(-1)


def _sent(updates: Tensor, malicious: Tensor, instead: Tensor) -> Tensor:
    return torch.where(malicious[..., None], instead, updates)


@dataclass(frozen=True)
class Attack:
    """What malicious hospitals do.

    Attributes:
        taught: what their own models learn from: their records with the diagnosis `flipped`, or
            with a trigger written into the ill, who are called healthy (`triggered`).
        sent: what becomes of the update.
        sees: whether they see what honest hospitals send in the same round.
        ids: in the catalogues.
    """

    taught: Taught = "as recorded"
    sent: Adversary = honest
    sees: bool = False
    ids: Standards = field(default_factory=lambda: RISKS["availability_poisoning"])


_SUPPLIED = Standards(("AML.T0018.000",), ("NISTAML.011", "NISTAML.026"), ("ML10:2023",))
# In reading order: what they learn from, what they send, and what they fit to who collects.
HOSTILE: dict[str, Attack] = {
    "flips": Attack("flipped"),
    "boost": Attack(sent=boosted, ids=_SUPPLIED),
    "backdoor": Attack("triggered", ids=RISKS["backdoor"]),
    "boosted_backdoor": Attack("triggered", replacing, ids=RISKS["backdoor"]),
    "little_is_enough": Attack(sent=little_is_enough, sees=True, ids=_SUPPLIED),
    "against_krum": Attack(sent=against_krum, sees=True, ids=_SUPPLIED),
    "tailored": Attack(sent=tailored, sees=True, ids=_SUPPLIED),
}
