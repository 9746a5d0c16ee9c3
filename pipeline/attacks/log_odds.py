"""Log-odds of many models: on one scale, without what they have in common, and told by shadows.

Shapes: T models, N records; `log_odds` and other signals (T, N), `member` (T, N) bool says who
trained on whom. Of each model, only what all others tell; nothing here reads a model's own
membership.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

VARIANCE_FLOOR = 1e-6  # of a signal: models that agree to the last digit are no infinite evidence
# median size of log-odds on the common scale: half of the answers give a class more than 3 in 4
COMMON_SCALE = math.log(3)
LEAST_DISPERSION = 1e-3  # squared coefficient of variation of variances, below which they are one


def on_common_scale(log_odds: Tensor) -> Tensor:
    """Log-odds (T, N) divided by one temperature for all models, so that half of them are large.

    The temperature brings the median of their sizes to `COMMON_SCALE`. It reads no membership, and
    takes nothing away: a defense that multiplies logits hides nobody.
    """
    size = log_odds.abs().median()
    return log_odds * (COMMON_SCALE / size) if size > 0 else log_odds


def without_drift(log_odds: Tensor, penalty: float) -> Tensor:
    """What the other models do not predict of each model's answers, around the records' means.

    Ridge regression of one model's deviations from the means, over all records, on those of every
    other model: kriging, whose leave-one-out residuals have a closed form (Dubrule 1983,
    doi:10.1007/BF01033232). It reads no membership.

    Args:
        log_odds: (T, N).
        penalty: in units of the models' mean squared deviation, above 0; the larger, the less is
            taken out.
    """
    means = log_odds.mean(0)
    centred = log_odds - means
    alike = centred @ centred.T
    unit = alike.diagonal().mean().clamp(min=torch.finfo(alike.dtype).tiny)
    inverse = torch.linalg.inv(alike / unit + penalty * torch.eye(len(alike), dtype=alike.dtype))
    residuals: Tensor = inverse @ centred / inverse.diagonal()[:, None]
    return means + residuals


def sum_over_others(values: Tensor) -> Tensor:
    """(T, N): the sum over all models but the target: of those before it, and of those after it.

    Subtracting the target from the sum of all would leave a rounding error that depends on whether
    it was a member.
    """

    def before(values: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(values[:1]), values[:-1].cumsum(0)])

    return before(values) + before(values.flip(0)).flip(0)


def told_by_shadows(signal: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number, mean signal, squared deviations of the chosen models but the target, each (T, N)."""
    centre = signal.mean(0)  # reads no membership; without it, squares would cancel
    centred, weight = signal - centre, chosen.double()
    count = sum_over_others(weight)
    mean = sum_over_others(weight * centred) / count.clamp(min=1)
    squares = sum_over_others(weight * centred**2) - count * mean**2
    return count, mean + centre, squares.clamp(min=0)


def pooled_variance(count: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """(T, 1): the variance within records, over all of them.

    Beside it, whether any record has two shadows to tell it from.
    """
    free = (count - 1).clamp(min=0).sum(1, keepdim=True)
    return squares.sum(1, keepdim=True) / free.clamp(min=1), free > 0


def shrunk_variance(squares: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Degrees of freedom and variance of each record, its prior shared by all, each (T, N).

    A scaled inverse chi-squared prior by moments: the more the records' variances differ beyond
    what chance makes of as many shadows, the less each leans on the others.
    """
    some = (free > 0).double()
    pooled = (squares.sum(1, keepdim=True) / free.sum(1, keepdim=True).clamp(min=1)).clamp(
        min=VARIANCE_FLOOR
    )
    chance = 1 + 2 / weighted_mean(free, some).clamp(min=1)
    ratios = squares / free.clamp(min=1) / pooled
    dispersion = (weighted_mean(ratios.square(), some) / chance - 1).clamp(min=LEAST_DISPERSION)
    prior = 4 + 2 / dispersion
    freedom = prior + free
    return freedom, ((prior - 2) * pooled + squares) / freedom


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """(T, 1): the mean over records, by weight."""
    return (weight * values).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)


def straight_line(values: Tensor, at: Tensor, weight: Tensor) -> Tensor:
    """(T, N): the least-squares line of values (T, N) at (N,), for each target."""
    centred = at - weighted_mean(at.expand_as(values), weight)
    level = weighted_mean(values, weight)
    slope = weighted_mean(centred * (values - level), weight) / weighted_mean(
        centred.square(), weight
    ).clamp(min=torch.finfo(values.dtype).tiny)
    return level + slope * centred


def log_gain(log_odds: Tensor) -> Tensor:
    """(T, N): log p(x | target) less the log of its mean over other models, precise everywhere."""
    shadows = max(len(log_odds) - 1, 1)
    doubt = sum_over_others(torch.sigmoid(-log_odds)) / shadows

    def before(logs: Tensor) -> Tensor:
        return torch.cat([torch.full_like(logs[:1], -torch.inf), logs[:-1].logcumsumexp(0)])

    log_p = logsigmoid(log_odds)
    total = torch.logaddexp(before(log_p), before(log_p.flip(0)).flip(0))
    mean = torch.where(
        doubt < 0.5, torch.log1p(-doubt), total - torch.tensor(shadows).double().log()
    )
    return log_p - mean
