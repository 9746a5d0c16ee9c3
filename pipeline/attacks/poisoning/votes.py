"""Poison for a vote of base models that share no record: through its parts.

Whoever knows how records are dealt into parts can train each base model again with one diagnosis
turned, and see what its vote then does to the goal.
"""

import torch
from torch import Tensor

from pipeline.attacks.poisoning.goals import Slope

STEPS = 12  # of Newton's method; half as many from coefficients that are nearly right


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

    In each round every base model is trained again with each diagnosis of its part turned, one at
    a time; the parts where that costs the goal most, to first order in the votes, get their worst
    one. The goal's slope is taken anew in each round.

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
    x, labels, turned = inputs[table], y.double(), torch.zeros_like(train)
    weight = inside.double()
    beta = _newton(x, labels[table], weight, ridge, STEPS)
    found: list[Tensor] = []
    wanted = sorted(set(counts))
    most = -(-wanted[-1] // rounds)
    while len(found) < len(wanted):
        votes = _votes(inputs[rows], beta, clip)
        mean = votes.mean(1)
        slope = slope_of(mean, y[rows], cut)
        open_to = (train & ~turned & ((y == 1) | either_way)).nonzero()[:, 0]
        if not len(open_to):
            found += [turned.clone()] * (len(wanted) - len(found))
            break
        own = part[open_to]
        hit = (table[own] == open_to[:, None]) & inside[own]
        wrong = torch.where(hit, 1 - labels[table][own], labels[table][own])
        after = _newton(x[own], wrong, weight[own], ridge, STEPS // 2, beta[own])
        gain = -(slope @ (_votes(inputs[rows], after, clip) - votes[:, own]))
        best = torch.full((parts,), -torch.inf, dtype=torch.float64)
        best = best.scatter_reduce(0, own, gain, "amax")
        left = wanted[len(found)] - int(turned.sum())
        for one in best.argsort(descending=True)[: min(most, left)].tolist():
            if best[one] > -torch.inf:
                place = int(torch.where(own == one, gain, -torch.inf).argmax())
                turned[open_to[place]] = True
                labels[open_to[place]] = 1 - labels[open_to[place]]
                beta[one] = after[place]
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


def _newton(
    x: Tensor, y: Tensor, weight: Tensor, ridge: float, steps: int, start: Tensor | None = None
) -> Tensor:
    """(B, D + 1): penalised logistic regressions of records (B, n, D + 1), from `start` or 0."""
    beta = x.new_zeros(len(x), x.shape[2]) if start is None else start.clone()
    penalty = ridge * torch.eye(x.shape[2], dtype=x.dtype)
    for _ in range(steps):
        chance = torch.sigmoid((x @ beta[..., None])[..., 0])
        slope = ((weight * (y - chance))[:, None] @ x)[:, 0] - ridge * beta
        curvature = x.mT @ (x * (weight * chance * (1 - chance))[..., None]) + penalty
        beta = beta + torch.linalg.solve(curvature, slope)
    return beta
