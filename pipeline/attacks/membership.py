"""Membership inference: was this record among those that the model was trained on?

Many models are trained, each on its own part of the same records. Each of them is a target in turn,
and all the others
are its shadow models. Shapes: T models, N records, D features. `member` (T, N) bool says who
trained on whom.

An attack maps `Signals` and `member` to scores (T, N), HIGHER = MORE LIKELY A MEMBER. It may read
the rows of `member` that belong to the shadows; the scores of target t do not depend on
`member[t]`, not even in the last bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from pipeline.attacks.log_odds import (
    VARIANCE_FLOOR,
    log_gain,
    on_common_scale,
    pooled_variance,
    shrunk_variance,
    straight_line,
    told_by_shadows,
    weighted_mean,
    without_drift,
)
from pipeline.data.schema import Dataset
from pipeline.models.answers import as_said, margin
from pipeline.models.population import Population
from pipeline.statistics.patients import numbered
from pipeline.statistics.separation import auroc

# how far to distrust that other models predict a model's answers, in units of their variance
DRIFT_PENALTIES = (1.0, 2.0, 8.0, 32.0)
RIDGE = 1.0  # penalty of the blind classifier, beside about N / 2 of each standardised feature


@dataclass(frozen=True)
class Signals:
    """What the attacker reads off every model for every record, each (T, N) float64.

    Attributes:
        log_odds: log p_y / (1 - p_y) of the recorded class y. It has no ceiling, as the probability
            has.
        confidence: the same of the class that is largest, for which no diagnosis need be known.
        label_share: in [0, 1], how much of the record and its noisy copies is answered with the
            recorded class.
    """

    log_odds: Tensor
    confidence: Tensor
    label_share: Tensor


@torch.no_grad()
def signals(
    population: Population,
    dataset: Dataset,
    *,
    copies: int,
    spread: float,
    generator: torch.Generator,
) -> Signals:
    """Asks every model about every record, and about noisy copies of it, the same for all models.

    Args:
        population: T models.
        dataset: N records and their recorded classes; a missing value (NaN) stays missing.
        copies: noisy copies of each record, at least 0; with none, `label_share` is 0 or 1.
        spread: standard deviation of the noise, in units of the schema's `scale`.
        generator: of the noise.
    """
    models, x, y = population.double(), dataset.x.double(), dataset.y
    shape, scale = (population.size, *x.shape), dataset.schema.column("scale").double()
    logits = models(x.expand(shape))
    odds = _log_odds(as_said(population, logits))
    hits = (margin(logits, y) > 0).double()
    for _ in range(copies):  # one after another, for memory's sake
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        hits += margin(models((x + spread * scale * noise).expand(shape)), y) > 0
    return Signals(_of_class(odds, y), odds.amax(-1), hits / (copies + 1))


@torch.no_grad()
def recorded_log_odds(population: Population, x: Tensor, y: Tensor) -> Tensor:
    """`Signals.log_odds` alone, (T, N) float64."""
    logits = population.double()(x.double().expand(population.size, *x.shape))
    return _of_class(_log_odds(as_said(population, logits)), y)


def _of_class(values: Tensor, y: Tensor) -> Tensor:
    """Of values (T, N, C), those of the classes (N,)."""
    return values.gather(-1, y.expand(values.shape[:2])[..., None])[..., 0]


def _log_odds(logits: Tensor) -> Tensor:
    """(..., C): log p_c / (1 - p_c) of each class.

    From the logits, because 1 - p_c is lost where a model is certain.
    """
    classes = range(logits.shape[-1])
    others = [
        logits[..., [other for other in classes if other != one]].logsumexp(-1) for one in classes
    ]
    return logits - torch.stack(others, -1)


def loss(signals: Signals, member: Tensor) -> Tensor:
    """The log-odds of the recorded class, which falls as the loss rises.

    Yeom et al. 2018, arXiv:1709.01604.
    """
    return signals.log_odds


def confidence(signals: Signals, member: Tensor) -> Tensor:
    """The log-odds of the class that the model prefers, right or wrong.

    Salem et al. 2019, arXiv:1806.01246.
    """
    return signals.confidence


def gap(signals: Signals, member: Tensor) -> Tensor:
    """1 if the model finds the recorded class the likelier one, otherwise 0.

    Yeom et al. 2018, arXiv:1709.01604.
    """
    return (signals.log_odds >= signals.confidence).double()


def lira(signals: Signals, member: Tensor) -> Tensor:
    """Likelihood ratio of two Gaussians of the log-odds, fitted to each record.

    Carlini et al. 2022, arXiv:2112.03570. Online, per-example variance: the shadows that trained on
    the record against those that did not.

    Args:
        signals: of all models.
        member: (T, N) bool.

    Returns:
        (T, N), natural logarithm of the ratio. With a single shadow on one side, that side's
        variance is the pooled one of `lira_fixed`; with none, nothing is known, and the score is 0.
    """
    return _likelihood_ratio(signals.log_odds, member, own_variance=True)


def lira_fixed(signals: Signals, member: Tensor) -> Tensor:
    """`lira` with one variance for all records, pooled within records (same paper).

    Members and others have a variance of their own.

    Better than `lira` where there are few shadows.
    """
    return _likelihood_ratio(signals.log_odds, member, own_variance=False)


def lira_offline(signals: Signals, member: Tensor) -> Tensor:
    """How far above the models without the record this one is.

    Carlini et al. 2022, arXiv:2112.03570, offline. One-sided: only shadows that did not train on
    the record are read, with one pooled variance.

    Returns:
        (T, N): log cdf / (1 - cdf) of the Gaussian of these shadows at the target's log-odds. It
        orders as the paper's cdf does (and as log cdf), without its ties where that rounds to 0 or
        1. Without a shadow: 0, the cdf being 1/2.
    """
    count, mean, squares = told_by_shadows(signals.log_odds, ~member)
    pooled, known = pooled_variance(count, squares)
    z = (signals.log_odds - mean) / pooled.clamp(min=VARIANCE_FLOOR).sqrt()
    score = torch.special.log_ndtr(z) - torch.special.log_ndtr(-z)
    return torch.where(known & (count > 0), score, 0.0)


def lira_bayes(signals: Signals, member: Tensor) -> Tensor:
    """`lira` with priors that the records share: on the variance, and on what membership moves.

    After BaVarIA-t (Brännvall 2026, arXiv:2603.11799): a normal-inverse-gamma prior, hence a ratio
    of Student's t densities. The prior of the variance has the mean and the dispersion of all
    records' variances (by moments). Other than there, members and others have one variance, and the
    prior of the shift between them follows how badly a record is answered: a straight line in the
    mean probability of a wrong answer, on the common scale, fitted over all records, and the
    scatter about it. So a record's few shadows need not tell its shift alone.

    Returns:
        (T, N), natural logarithm of the ratio; 0 without shadows on both sides.
    """
    odds = signals.log_odds
    inside, outside = (told_by_shadows(odds, chosen) for chosen in (member, ~member))
    known = ((inside[0] > 0) & (outside[0] > 0)).double()
    free = (inside[0] - 1).clamp(min=0) + (outside[0] - 1).clamp(min=0)
    freedom, variance = shrunk_variance(inside[2] + outside[2], free)
    shift = (inside[1] - outside[1]) / variance.sqrt()
    noise = 1 / inside[0].clamp(min=1) + 1 / outside[0].clamp(min=1)
    expected = straight_line(shift, torch.sigmoid(-on_common_scale(odds).mean(0)), known)
    scatter = weighted_mean((shift - expected).square() - noise, known).clamp(min=0)
    trusted = scatter / (scatter + noise)
    half = (expected + trusted * (shift - expected)) * variance.sqrt() / 2
    centred = odds - (inside[1] + outside[1]) / 2
    spread = freedom * variance * (1 + 1 / (inside[0] + outside[0]).clamp(min=1))
    with_it, without_it = (
        torch.log1p((centred - side).square() / spread) for side in (half, -half)
    )
    return torch.where(known.bool() & (free > 0), (freedom + 1) / 2 * (without_it - with_it), 0.0)


def rmia(signals: Signals, member: Tensor) -> Tensor:
    """The share of other records that gain less by this model.

    Zarifzadeh et al. 2024, arXiv:2312.03262, online. A record gains r(x) = p(x | target) / mean of
    p(x) over all other models, p being the probability of the recorded class; the score is the
    share of the other records z with r(x) / r(z) >= gamma = 1. The z are the N audited records
    themselves. Probabilities are those of `on_common_scale`: models whose logits are large, as a
    distilled student's, would answer 0 or 1, and all ratios would be alike.

    Returns:
        (T, N) in [0, 1 + 1/N). The paper's share takes only N values, each of them once for every
        target; so the rank of log r(x) among all targets and records is added, scaled into the gap
        below 1/N: it orders equal shares only.
    """
    return _share_that_gains_less(on_common_scale(signals.log_odds))


def rmia_drift(signals: Signals, member: Tensor) -> Tensor:
    """`rmia` after what is common to models has been taken out of each model's answers.

    Models drift: the luck of a training moves the answers to many records at once, and other models
    have drifted alike. What they predict of the target's answers is no sign of membership
    (`without_drift`). How far to trust that prediction is chosen on other targets, by AUROC: for
    those of even number on the odd ones, and the other way round.
    """
    scaled = on_common_scale(signals.log_odds)
    tried = [_share_that_gains_less(without_drift(scaled, penalty)) for penalty in DRIFT_PENALTIES]
    scores, even = torch.empty_like(scaled), torch.arange(len(scaled)) % 2 == 0
    for judged in (even, ~even):
        areas = torch.tensor([_area(one[~judged], member[~judged]) for one in tried])
        scores[judged] = tried[int(areas.nan_to_num(nan=-1).argmax())][judged]
    return scores


def _share_that_gains_less(log_odds: Tensor) -> Tensor:
    """`rmia` of log-odds (T, N) as they are.

    Where they exceed about 700 everywhere, probabilities are 1 to the last digit of a double, and
    records tie.
    """
    gain = log_gain(log_odds)
    records = gain.shape[1]
    # a record is not compared with itself
    below = torch.searchsorted(gain.sort(1).values, gain, right=True) - 1
    values, rank = gain.unique(return_inverse=True)
    tie_break: Tensor = rank.double() / (len(values) * records)
    return below.double() / max(records - 1, 1) + tie_break


def _area(scores: Tensor, member: Tensor) -> float:
    return auroc(scores[member].numpy(), scores[~member].numpy())


def label_only(signals: Signals, member: Tensor) -> Tensor:
    """`lira_fixed` of how often noisy copies keep the recorded class.

    Choquette-Choo et al. 2021, arXiv:2007.14321. Who sees labels only measures how far the record
    is from the boundary, by noise.
    """
    return _likelihood_ratio(signals.label_share, member, own_variance=False)


def _likelihood_ratio(signal: Tensor, member: Tensor, own_variance: bool) -> Tensor:
    """(T, N): log density of the target's signal among shadows with the record, less without it."""
    densities, all_known = [], torch.ones_like(member)
    for chosen in (member, ~member):
        count, mean, squares = told_by_shadows(signal, chosen)
        pooled, known = pooled_variance(count, squares)
        own = squares / (count - 1).clamp(min=1)
        variance = torch.where((count > 1) & own_variance, own, pooled).clamp(min=VARIANCE_FLOOR)
        densities.append(-((signal - mean) ** 2 / variance + variance.log()) / 2)
        all_known = all_known & known & (count > 0)
    return torch.where(all_known, densities[0] - densities[1], 0.0)


def blind(x: Tensor, y: Tensor, member: Tensor, together: Tensor | None = None) -> Tensor:
    """The control: guesses membership from the records, without any model.

    Ridge regression of membership on the standardised features, the diagnosis and all their
    pairwise products, fitted on every other record and applied to the rest, both ways. Members are
    drawn at random, so its AUROC must be 0.5; another value says that members and others differ as
    such, and that no attack's figure speaks of the model (Das et al. 2024, arXiv:2406.16201).

    Args:
        x: (N, D) records; a missing value counts as the feature's mean.
        y: (N,) recorded classes.
        member: (T, N) bool.
        together: (N,) int64, records of one number are members together, and so on one side of the
            fit; None = none are.

    Returns:
        scores (T, N). A half's own share of members is left out: it would betray that of the other
        half.
    """
    base = torch.cat([_standardised(x.double()), _standardised(y.double()[:, None])], 1)
    left, right = zip(*combinations_with_replacement(range(base.shape[1]), 2), strict=True)
    design = torch.cat([base, _standardised(base[:, list(left)] * base[:, list(right)])], 1)
    scores = torch.empty(member.shape, dtype=torch.float64)
    place = (
        torch.arange(len(x)) if together is None else torch.from_numpy(numbered(together.numpy()))
    )
    even = place % 2 == 0
    for fit, rest in ((even, ~even), (~even, even)):
        rows, answers = design[fit] - design[fit].mean(0), member[:, fit].double()
        penalty = RIDGE * torch.eye(design.shape[1], dtype=torch.float64)
        weights = torch.linalg.solve(rows.T @ rows + penalty, rows.T @ answers.T)
        scores[:, rest] = (design[rest] @ weights).T
    return scores


def _standardised(columns: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the records.

    A missing value is the mean, a constant column is 0.
    """
    centred = columns - columns.nanmean(0)
    centred = torch.where(centred.isnan(), 0.0, centred)
    spread = centred.square().mean(0).sqrt()
    return centred / torch.where(spread > 1e-12, spread, torch.inf)


# In reading order: from what needs nothing but an answer, to what needs other models.
MEMBERSHIP: dict[str, Callable[[Signals, Tensor], Tensor]] = {
    "loss": loss,
    "confidence": confidence,
    "gap": gap,
    "lira": lira,
    "lira_fixed": lira_fixed,
    "lira_offline": lira_offline,
    "lira_bayes": lira_bayes,
    "rmia": rmia,
    "rmia_drift": rmia_drift,
    "label_only": label_only,
}

# The most that each attack sees of a model's answer.
MEMBERSHIP_ACCESS: dict[str, str] = {
    name: "labels" if name in ("gap", "label_only") else "scores" for name in MEMBERSHIP
}

# Whether what an attack says of several records of one patient is added up: likelihood ratios are.
ADDS_UP: dict[str, bool] = {
    name: name in ("lira", "lira_fixed", "lira_bayes", "label_only") for name in MEMBERSHIP
}

# Whether an attack needs models that are trained for it.
NEEDS_SHADOWS: dict[str, bool] = {
    name: name not in ("loss", "confidence", "gap") for name in MEMBERSHIP
}
