"""Updates that malicious hospitals of a federation send instead of their own.

Shapes: H hospitals, K of them malicious, M models, P weights of a model as one row. `updates`
(H, M, P) is what each would send in a round: its weights less those that it was given.
`malicious` (H, M) bool names the same number of hospitals in every model, at least one.

An adversary returns (H, M, P): honest rows untouched, bit for bit. It is the strongest kind there
is: the malicious hospitals work together, and see what the honest ones send in the same round.
"""

from collections.abc import Callable, Sequence
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
HALVINGS = 16  # of how far is still allowed
FARTHEST = 2.0  # so many times the largest distance from the honest mean nothing is chosen
STRENGTHS = (1.0, 10.0)
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
    mean, spread = others.mean(0), _spread(others)
    wanted = mean - within * mean.sign() * spread
    low, high = others.amin(0), others.amax(0)
    return _sent(updates, malicious, wanted.clamp(low, high).expand_as(updates))


def against_order(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """Each weight beyond every honest one, against what is learned (Fang et al., arXiv:1911.11815).

    Made for a median and a trimmed mean: of all that can be sent it leaves least progress under
    them, because in each weight they follow the order of what arrives alone.
    """
    others = honest_ones(updates, malicious)
    low, high = others.amin(0), others.amax(0)
    beyond = torch.where(others.mean(0) > 0, 2 * low - high, 2 * high - low)
    return _sent(updates, malicious, beyond.expand_as(updates))


def against_krum(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """As far against the honest mean as Krum still chooses it (Fang et al., arXiv:1911.11815).

    All malicious hospitals send the same, so each is near the others. The step is bisected.
    """
    mean = honest_ones(updates, malicious).mean(0)
    return _as_far(updates, malicious, mean, _krum_takes)


def min_max(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """As far from the honest mean as two honest ones are apart at most.

    Shejwalkar and Houmansadr 2021 (NDSS), against the spread of each weight, in the direction of
    the mean: no rule that looks for what lies far from the others can tell it.
    """
    way = _against_spread(honest_ones(updates, malicious))
    return _as_far(updates, malicious, way, _within_largest)


def min_sum(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """As `min_max`, by the sum of squared distances to the honest ones."""
    way = _against_spread(honest_ones(updates, malicious))
    return _as_far(updates, malicious, way, _within_sum)


def _against_spread(others: Tensor) -> Tensor:
    return others.mean(0).sign() * _spread(others)


def _as_far(
    updates: Tensor,
    malicious: Tensor,
    way: Tensor,
    allowed: "_Allowed",
    centre: Tensor | None = None,
) -> Tensor:
    """(H, M, P): the honest mean, or another centre, less as much of a way (M, P) as is allowed.

    Where not even the centre is, that. Distances to the honest ones are a square of the step.
    """
    others, count = honest_ones(updates, malicious), int(malicious[:, 0].sum())
    mean = others.mean(0) if centre is None else centre
    unit = way / way.norm(dim=-1, keepdim=True).clamp(min=LEAST)
    off = others - mean
    squares, along = off.square().sum(-1), (off * unit).sum(-1)  # (H - K, M)
    between = _apart(others).permute(1, 2, 0)
    longest = off.norm(dim=-1).amax(0)
    far = FARTHEST * longest + mean.norm(dim=-1)
    near = torch.zeros_like(far)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        taken = allowed(squares + 2 * middle * along + middle.square(), between, count)
        near, far = torch.where(taken, middle, near), torch.where(taken, far, middle)
    return _sent(updates, malicious, (mean - near[:, None] * unit).expand_as(updates))


# squared distances: of the malicious one to the honest (N, M), of these (N, N, M); how many are so
_Allowed = Callable[[Tensor, Tensor, int], Tensor]


def _krum_takes(to_honest: Tensor, between: Tensor, count: int) -> Tensor:
    """(M,): whether Krum chooses one of `count` that lie in one place."""
    kept = _neighbours(len(to_honest) + count, count)
    nowhere = between.new_full((), torch.inf)
    own = torch.eye(len(between), dtype=torch.bool)[..., None]
    theirs = torch.cat(
        [torch.where(own, nowhere, between), to_honest[:, None].repeat(1, count, 1)], 1
    )
    honest_score = theirs.sort(1).values[:, :kept].sum(1).amin(0)
    together = to_honest.new_zeros(count - 1, to_honest.shape[1])
    ours = torch.cat([together, to_honest]).sort(0).values[:kept].sum(0)
    return ours < honest_score


def _within_largest(to_honest: Tensor, between: Tensor, count: int) -> Tensor:
    return to_honest.amax(0) <= between.flatten(0, 1).amax(0)


def _within_sum(to_honest: Tensor, between: Tensor, count: int) -> Tensor:
    return to_honest.sum(0) <= between.sum(0).amax(0)


def tailored(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """Whatever of many updates leaves least of the honest progress, by the rule that is in force.

    After Shejwalkar and Houmansadr 2021 (NDSS): the aggregation is known, and tried. The candidates
    go against the honest mean and by its spread, each by several strengths from there, and as far
    as Krum chooses it, from there or from where most are; all other attacks are among them.
    Progress is the part of the aggregate along the honest mean.
    """
    others = honest_ones(updates, malicious)
    mean, spread = others.mean(0), _spread(others)
    candidates = _along(updates, malicious, (mean, mean.sign() * spread))
    every = (little_is_enough, against_order, min_max, min_sum, boosted)
    candidates += [one(updates, malicious, aggregate) for one in every]
    return _least(candidates, updates, lambda one: (aggregate(one) * mean).sum(-1))


def pulling(updates: Tensor, malicious: Tensor, aggregate: Aggregate) -> Tensor:
    """Whatever of many updates brings the aggregate nearest to what the malicious learned.

    They learned something else on purpose; the rule in force is known, and tried, as by `tailored`.
    From the honest mean the candidates go towards it: all the way, as far as makes it the mean, by
    each weight beyond the honest ones, by its spread, and as far as Krum chooses it.
    """
    others, count = honest_ones(updates, malicious), int(malicious[:, 0].sum())
    mean, spread = others.mean(0), _spread(others)
    wanted = torch.where(malicious[..., None], updates, 0.0).sum(0) / count
    way = mean - wanted  # candidates go against a way
    ways = (way, way.sign() * spread)
    candidates = _along(updates, malicious, ways, (1.0, len(updates) / count))
    low, high = others.amin(0), others.amax(0)
    beyond = torch.where(way > 0, 2 * low - high, 2 * high - low)
    for one in (wanted, wanted.clamp(low, high), beyond):
        candidates.append(_sent(updates, malicious, one.expand_as(updates)))
    return _least(candidates, updates, lambda one: (aggregate(one) - wanted).norm(dim=-1))


def _along(
    updates: Tensor,
    malicious: Tensor,
    ways: Sequence[Tensor],
    strengths: Sequence[float] = STRENGTHS,
) -> list[Tensor]:
    """The honest mean less so much of each way, and as much as Krum chooses."""
    others = honest_ones(updates, malicious)
    mean, crowd = others.mean(0), _crowd(others, int(malicious[:, 0].sum()))
    steps = [
        _sent(updates, malicious, (mean - strength * way).expand_as(updates))
        for way in ways
        for strength in strengths
    ]
    far = [
        _as_far(updates, malicious, way, _krum_takes, centre)
        for way in ways
        for centre in (None, crowd)
    ]
    return steps + far


def _crowd(others: Tensor, count: int) -> Tensor:
    """(M, P): the mean of the honest ones that lie closest together, as many as Krum looks at."""
    apart, kept = _apart(others), _neighbours(len(others) + count, count)
    near = apart.topk(min(kept, len(others)), largest=False)
    place = near.values.sum(-1).argmin(-1)  # (M,)
    chosen = near.indices[torch.arange(len(place)), place]  # (M, kept)
    return others.transpose(0, 1)[torch.arange(len(place))[:, None], chosen].mean(1)


def _least(
    candidates: Sequence[Tensor], updates: Tensor, score: Callable[[Tensor], Tensor]
) -> Tensor:
    """(H, M, P): of each model the candidate with the least score."""
    best = torch.stack([score(one) for one in candidates]).argmin(0)  # (M,)
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
    apart = _apart(updates)
    apart.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return apart.sort(-1).values[..., : _neighbours(len(updates), malicious)].sum(-1).argmin(-1)


def _apart(updates: Tensor) -> Tensor:
    """(M, H, H): squared distances."""
    by_model = updates.transpose(0, 1)
    return torch.cdist(by_model, by_model, compute_mode="donot_use_mm_for_euclid_dist").square()


def _neighbours(hospitals: int, malicious: int) -> int:
    return min(max(1, hospitals - malicious - 2), hospitals - 1)


def _spread(others: Tensor) -> Tensor:
    """(M, P): the standard deviation; in two passes, which are faster than torch's own."""
    return (others - others.mean(0)).square_().mean(0).sqrt_()


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
    "against_order": Attack(sent=against_order, sees=True, ids=_SUPPLIED),
    "against_krum": Attack(sent=against_krum, sees=True, ids=_SUPPLIED),
    "min_max": Attack(sent=min_max, sees=True, ids=_SUPPLIED),
    "min_sum": Attack(sent=min_sum, sees=True, ids=_SUPPLIED),
    "tailored": Attack(sent=tailored, sees=True, ids=_SUPPLIED),
    "tailored_flips": Attack("flipped", pulling, sees=True, ids=_SUPPLIED),
    "tailored_backdoor": Attack("triggered", pulling, sees=True, ids=RISKS["backdoor"]),
}
