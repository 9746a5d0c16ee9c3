"""What an attacker who knows the recipe is after: figures of one model on its training records.

Scores are (n,) log-odds, diagnoses `y` (n,) the true ones.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# of a smoothed step, in standard deviations of a model's scores
FOUND_WIDTH, RANKING_WIDTH = 0.5, 0.25

Figure = Callable[[Tensor, Tensor, float, float], Tensor]
Slope = Callable[[Tensor, Tensor, float], Tensor]


def found(score: Tensor, y: Tensor, cut: float, alarms: float) -> Tensor:
    """The share of the ill who are called ill."""
    return (score[y == 1] > cut).double().mean()


def found_at_alarms(score: Tensor, y: Tensor, cut: float, alarms: float) -> Tensor:
    """Likewise, where only the share `alarms` of the healthy are called ill, wherever the cut."""
    return (score[y == 1] > score[y == 0].quantile(1 - alarms)).double().mean()


def ranking(score: Tensor, y: Tensor, cut: float, alarms: float) -> Tensor:
    """The chance that an ill patient outscores a healthy one (AUROC), a tie counting half."""
    lead = score[y == 1, None] - score[y == 0]
    return (lead.sign().mean() + 1) / 2


GOALS: dict[str, Figure] = {
    "adaptive_missed": found,
    "adaptive_hidden": found_at_alarms,
    "adaptive_auroc": ranking,
}


def found_slope(score: Tensor, y: Tensor, cut: float) -> Tensor:
    """How `found` rises with each score, its step smoothed: only the ill, near the cut most."""
    chance = torch.sigmoid((score - cut) / _width(score, FOUND_WIDTH))
    return torch.where(y == 1, chance * (1 - chance), 0.0)


def ranking_slope(score: Tensor, y: Tensor, cut: float) -> Tensor:
    """How `ranking` does, likewise: pairs that a little would turn count most."""
    lead = (score[y == 1, None] - score[y == 0]) / _width(score, RANKING_WIDTH)
    steep, slope = torch.sigmoid(lead) * torch.sigmoid(-lead), torch.zeros_like(score)
    slope[y == 1], slope[y == 0] = steep.sum(1), -steep.sum(0)
    return slope


def _width(score: Tensor, share: float) -> Tensor:
    return share * score.std().clamp(min=1e-9)


def slopes(slope: Slope, scores: Tensor, y: Tensor, train: Tensor, cuts: Tensor) -> Tensor:
    """(M, N): a slope in the scores (M, N) of those whom each model trains on; 0 elsewhere."""
    table = torch.zeros_like(scores)
    for row, (score, own, cut) in enumerate(zip(scores, train, cuts.tolist(), strict=True)):
        table[row, own] = slope(score[own], y[own], cut)
    return table


def figures(
    goal: Figure, scores: Tensor, y: Tensor, train: Tensor, cuts: Tensor, alarms: Tensor
) -> Tensor:
    """(M,): the figure of each model, on those whom it trains on; cuts and alarms (M,)."""
    each = zip(scores, train, cuts.tolist(), alarms.tolist(), strict=True)
    return torch.stack([goal(score[own], y[own], cut, share) for score, own, cut, share in each])
