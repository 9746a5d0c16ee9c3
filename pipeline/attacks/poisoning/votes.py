"""Poison for a vote of base models that share no record: through its parts.

Whoever knows how records are dealt into parts can train each base model again with one diagnosis
turned, and see what its vote then does to the goal.
"""

import torch
from torch import Tensor

from pipeline.attacks.poisoning.goals import Slope
from pipeline.models.logistic import STEPS


def through_parts(
    slope_of: Slope,
    inputs: Tensor,
    y: Tensor,
    train: Tensor,
    part: Tensor,
    counts: list[int],
    *,
    clip: float,
    ridge: float,
    cut: float,
    either_way: bool,
    rounds: int,
) -> Tensor:
    """Which diagnoses to turn, of one model.

    In each round every base model is trained again, as the recipe trains it, with each diagnosis of
    its part turned, one at a time; the parts where that costs the goal most, to first order in the
    votes, get their worst one. The goal's slope is taken anew in each round. A record's score is
    the mean vote of the parts that did not learn from it: so it stands for a patient whom no part
    knows, and nobody gains by turning a record to change the answer to itself.

    Args:
        slope_of: of the goal, in the mean vote.
        inputs: (N, D + 1) float64, as the base models receive them, the last column 1.
        y: (N,) diagnoses.
        train: (N,) bool, who trains the model.
        part: (N,) which of K parts each record is dealt into.
        counts: how many to turn, one for each dose; smaller doses are parts of larger ones.
        clip: log-odds of a full vote.
        ridge: penalty of each base model.
        cut: in mean votes.
        either_way: whether the healthy are entered as ill, too.
        rounds: to the largest count.

    Returns:
        (E, N) bool; fewer than `counts` where no more may be turned.
    """
    rows, parts = train.nonzero()[:, 0], int(part.max()) + 1
    table, inside = _by_part(part, train, parts)
    x, labels, weight = inputs[table], y.double(), inside.double()
    unseen = (part[rows][:, None] != torch.arange(parts)).double()
    votes = _votes(inputs[rows], _newton(x, labels[table], weight, ridge), clip)
    may = (train & ((y == 1) | either_way)).nonzero()[:, 0]
    own, turned = part[may], torch.zeros_like(train)
    hit = (table[own] == may[:, None]) & inside[own]
    after, stale = votes.new_empty(len(rows), len(may)), torch.arange(parts)
    found: list[Tensor] = []
    wanted = sorted(set(counts))
    most = -(-wanted[-1] // rounds)
    while len(found) < len(wanted):
        if turned[may].all():
            found += [turned.clone()] * (len(wanted) - len(found))
            break
        # no other part has changed since it was last asked
        again = torch.isin(own, stale)
        some = own[again]
        wrong = torch.where(hit[again], 1 - labels[table][some], labels[table][some])
        beta = _newton(x[some], wrong, weight[some], ridge)
        after[:, again] = _votes(inputs[rows], beta, clip)
        slope = slope_of((votes * unseen).sum(1) / max(1, parts - 1), y[rows], cut)
        gain = -(slope @ ((after - votes[:, own]) * unseen[:, own]))
        gain = gain.masked_fill(turned[may], -torch.inf)
        best = torch.full((parts,), -torch.inf, dtype=torch.float64)
        best = best.scatter_reduce(0, own, gain, "amax")
        left = wanted[len(found)] - int(turned.sum())
        first = best.argsort(descending=True)[: min(most, left)]
        stale = first[best[first] > -torch.inf]
        for one in stale.tolist():
            place = int(torch.where(own == one, gain, -torch.inf).argmax())
            record = may[place]
            turned[record], labels[record] = True, 1 - labels[record]
            votes[:, one] = after[:, place]
        if int(turned.sum()) == wanted[len(found)]:
            found.append(turned.clone())
    return torch.stack([found[wanted.index(count)] for count in counts])


def _by_part(part: Tensor, train: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """(K, B) the training records of each part, filled up, and which of them are real."""
    own = [((part == one) & train).nonzero()[:, 0] for one in range(parts)]
    width = max(map(len, own))
    table = torch.stack([torch.cat([one, one.new_zeros(width - len(one))]) for one in own])
    return table, torch.stack([torch.arange(width) < len(one) for one in own])


def _votes(inputs: Tensor, beta: Tensor, clip: float) -> Tensor:
    """(n, B): clipped votes on records (n, D + 1) of models (B, D + 1)."""
    return (inputs @ beta.mT / clip).clamp(-1, 1)


def _newton(x: Tensor, y: Tensor, weight: Tensor, ridge: float) -> Tensor:
    """(B, D + 1): penalised logistic regressions of records (B, n, D + 1).

    From 0, with as many steps as the recipe takes: from coefficients that are nearly right, half of
    them sufficed for most, but the method is not damped, and ran away for some; these looked like
    the worst.
    """
    beta = x.new_zeros(len(x), x.shape[2])
    penalty = ridge * torch.eye(x.shape[2], dtype=x.dtype)
    for _ in range(STEPS):
        chance = torch.sigmoid((x @ beta[..., None])[..., 0])
        slope = ((weight * (y - chance))[:, None] @ x)[:, 0] - ridge * beta
        curvature = x.mT @ (x * (weight * chance * (1 - chance))[..., None]) + penalty
        beta = beta + torch.linalg.solve(curvature, slope)
    return beta
