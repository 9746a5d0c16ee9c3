"""What a model gives away of a patient: a measurement that is missing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from pipeline.config import Count, FeatureConfig
from pipeline.data.schema import Dataset
from pipeline.models.one_hot import extended
from pipeline.models.population import Population

Access = Literal["scores", "labels"]
Attacker = Literal["posterior", "learned"]

RIDGE = 1.0  # penalty on squared weights, of inputs in public units; not on the intercept
BANDWIDTH = 0.1  # in log-odds: how near a candidate's score must come to the one that was seen
OTHER_LABEL = 0.05  # likelihood of a candidate that gets another label than the one that was seen
# in units of a feature's scale: an attribute that follows from the others still has a prior
LEAST_CHANCE = 1e-3  # of a level that a regression rules out
SMALLEST_SPREAD = 1e-3


@dataclass(frozen=True)
class Guess:
    """How far guesses of one attribute are off, with and without a model, by the same attacker.

    Attributes:
        attribute: the measurement that is guessed; all others are known.
        diagnosis: whether the attacker knows it, too.
        access: what the model said of the true record: its log-odds, or only its label.
        attacker: `posterior` weighs candidates by the model's answers, `learned` regresses on them.
        imputation: (V, N) absolute error without a model, in units of the feature's scale; NaN =
            nothing to guess.
        model: (V, N) the same with the victim's answers.
    """

    attribute: str
    diagnosis: bool
    access: Access
    attacker: Attacker
    imputation: Tensor
    model: Tensor


def attribute_inference(
    population: Population,
    dataset: Dataset,
    member: Tensor,
    attributes: Sequence[str],
    *,
    candidates: Count,
    generator: torch.Generator,
) -> list[Guess]:
    """Guesses one measurement of each patient from all others, alone and with a model's help.

    Two attackers after Fredrikson et al. 2014 (USENIX Security): the posterior mean over candidate
    values, each weighed by how well the model's answer to it agrees with the answer that was seen;
    and a ridge regression that is given the answer seen and what it moved the posterior mean by.
    Both start from a ridge regression of the attribute on the other measurements, and are compared
    with what that alone guesses (Jayaraman and Evans 2022, arXiv:2209.01100): for `posterior`, the
    mean over the same candidates when every answer is equally likely; for `learned`, the regression
    itself.

    What is learned is learned from a victim's non-members in one half of the records and scored on
    the other half, and the other way round. So no record's attribute is used to guess it, and no
    member's to guess anybody's. A victim that trained on everybody in a half leaves the other half
    without a guess.

    Args:
        population: V victims of two classes.
        dataset: N records and diagnoses.
        member: (V, N) bool, who trained each victim.
        attributes: the names of the measurements to guess, one at a time.
        candidates: values tried, evenly from `lower` to `upper`; those that the clinic would record
            as one count once.
        generator: halves the records.

    Returns:
        for each attribute, without and with the diagnosis, by scores and by labels: `posterior`,
            then `learned`.

    Raises:
        ValueError: an attribute is not among the names.
    """
    first_half = torch.randperm(len(dataset.y), generator=generator) % 2 == 0
    of_each = [
        _guesses(
            population.select(torch.tensor([victim])).double(),
            dataset,
            member[[victim]],
            attributes,
            candidates,
            first_half,
        )
        for victim in range(population.size)
    ]
    return [
        replace(
            same[0],
            imputation=torch.cat([one.imputation for one in same]),
            model=torch.cat([one.model for one in same]),
        )
        for same in zip(*of_each, strict=True)
    ]


def _guesses(
    models: Population,
    dataset: Dataset,
    member: Tensor,
    attributes: Sequence[str],
    candidates: Count,
    first_half: Tensor,
) -> list[Guess]:
    """Guesses with the help of these victims, all candidates of one attribute at a time."""
    x, schema = dataset.x.double(), dataset.schema
    known, hot = ~x.isnan(), schema.hot
    # the attacker fills gaps with the public centre, and marks them
    standard = torch.where(known, (x - schema.column("center")) / schema.column("scale"), 0.0)
    levels = extended(x, hot)[:, x.shape[1] :].nan_to_num(0.0)
    standard[:, hot[:, 0]] = 0.0  # a category is told by the columns of its levels
    guesses: list[Guess] = []
    for attribute in attributes:
        column = schema.names.index(attribute)
        feature, others = schema.features[column], torch.arange(x.shape[1]) != column
        nominal = feature.kind == "categorical"
        values = candidate_values(feature, feature.columns if nominal else candidates)
        evidence = _evidence(*answers(models, x, column, values))
        grid = (values - feature.center) / feature.scale
        unknown, theirs = ~known[:, column], levels[:, hot[:, 0] != column]
        inputs = torch.cat(
            [
                standard[:, others],
                theirs,
                (~known[:, others]).double(),
                dataset.y.double()[:, None],
            ],
            1,
        )
        if nominal:
            wanted, estimates = levels[:, hot[:, 0] == column], _level_estimates
        else:
            wanted, estimates = standard[:, column], _estimates
        for diagnosis in (False, True):
            given = inputs if diagnosis else inputs[:, :-1]
            first, second = (
                estimates(given, wanted, half & ~unknown & ~member, grid, evidence)
                for half in (~first_half, first_half)
            )
            for (access, attacker), pair in first.items():
                errors = [
                    _off(_of_halves(first_half, one, other), wanted)
                    for one, other in zip(pair, second[access, attacker], strict=True)
                ]
                alone, aided = (error.masked_fill(unknown, torch.nan) for error in errors)
                guesses.append(Guess(attribute, diagnosis, access, attacker, alone, aided))
    return guesses


def _of_halves(first_half: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Guesses (V, N) or (V, N, K), those of the first half from `one`."""
    return torch.where(first_half.view(-1, *[1] * (one.dim() - 2)), one, other)


def _off(guess: Tensor, wanted: Tensor) -> Tensor:
    """(V, N) how far guesses are off; of chances (V, N, K), what the true level's lacks."""
    if guess.dim() == 2:
        return (guess - wanted).abs()
    return 1 - (guess * wanted).sum(-1)


def candidate_values(feature: FeatureConfig, count: int) -> Tensor:
    """At most `count` values from `lower` to `upper`, rounded to the recorded step, each once.

    The values are float64, ascending.
    """
    values = recorded(
        torch.linspace(feature.lower, feature.upper, count, dtype=torch.float64), feature
    )
    return torch.tensor(sorted(set(values.tolist())), dtype=torch.float64)


def recorded(values: Tensor, feature: FeatureConfig) -> Tensor:
    """Values (...) as a clinic writes them down: on the grid, inside the plausible range."""
    return (torch.round(values / feature.step) * feature.step if feature.step else values).clamp(
        feature.lower, feature.upper
    )


@torch.no_grad()
def answers(models: Population, x: Tensor, column: int, values: Tensor) -> tuple[Tensor, Tensor]:
    """Log-odds of class 1 at the records (V, N), and with one column set to each value (K, V, N).

    `x` is (N, D).
    """
    records = x.expand(models.size, -1, -1)
    seen = lead_of_ill(models(records))
    trial, out = records.clone(), seen.new_empty(len(values), *seen.shape)
    # one block of records after another: hidden layers fit the cache
    for index, value in enumerate(values.tolist()):
        trial[..., column] = value
        out[index] = lead_of_ill(models(trial))
    return seen, out


def lead_of_ill(logits: Tensor) -> Tensor:
    """Log-odds (...) of class 1, of logits (..., 2)."""
    return logits[..., 1] - logits[..., 0]


def _evidence(seen: Tensor, if_value: Tensor) -> dict[Access, tuple[Tensor, Tensor]]:
    """By access: the answer seen (V, N), and each candidate's log-likelihood given it (K, V, N)."""
    label = seen > 0
    by_score = -0.5 * ((if_value - seen) / BANDWIDTH).square()
    by_label = torch.where(
        (if_value > 0) == label, 0.0, torch.tensor(OTHER_LABEL, dtype=seen.dtype).log()
    )
    return {"scores": (seen, by_score), "labels": (label.to(seen.dtype), by_label)}


def _estimates(
    inputs: Tensor,
    wanted: Tensor,
    auxiliary: Tensor,
    grid: Tensor,
    evidence: dict[Access, tuple[Tensor, Tensor]],
) -> dict[tuple[Access, Attacker], tuple[Tensor, Tensor]]:
    """Guesses (V, N) of everybody without and with the model, learned from records (V, N) alone."""
    inputs = inputs.expand(auxiliary.shape[0], -1, -1)
    imputed, left_out, spread = ridge(inputs, wanted, auxiliary)
    # Of an auxiliary record the prior must not know more than of the others, or `learned` would
    # trust it too much.
    prior = torch.where(auxiliary, left_out, imputed)
    log_prior = -0.5 * ((grid[:, None, None] - prior) / spread[:, None]).square()
    alone = _mean_over(grid, log_prior)
    estimates: dict[tuple[Access, Attacker], tuple[Tensor, Tensor]] = {}
    for key, (answer, log_likelihood) in evidence.items():
        aided = _mean_over(grid, log_prior + log_likelihood)
        # A model that ignores the attribute moves nothing: its columns are constant, and the
        # regression as without them.
        informed = torch.cat([inputs, torch.stack([answer, (aided - alone).nan_to_num()], -1)], -1)
        estimates[key, "posterior"] = alone, aided
        estimates[key, "learned"] = imputed, ridge(informed, wanted, auxiliary)[0]
    return estimates


def _level_estimates(
    inputs: Tensor,
    wanted: Tensor,
    auxiliary: Tensor,
    grid: Tensor,
    evidence: dict[Access, tuple[Tensor, Tensor]],
) -> dict[tuple[Access, Attacker], tuple[Tensor, Tensor]]:
    """Chances (V, N, K) of each level of a category, without and with the model.

    As `_estimates`, with a regression for each level (`wanted` (N, K) is 1 at the true one), whose
    predictions are made chances.
    """
    inputs, levels = inputs.expand(auxiliary.shape[0], -1, -1), range(wanted.shape[1])
    fits = [ridge(inputs, wanted[:, level], auxiliary) for level in levels]
    imputed, left_out = (torch.stack([fit[part] for fit in fits], -1) for part in (0, 1))
    prior = _chances(torch.where(auxiliary[..., None], left_out, imputed))
    estimates: dict[tuple[Access, Attacker], tuple[Tensor, Tensor]] = {}
    for key, (answer, log_likelihood) in evidence.items():
        aided = torch.softmax(prior.log() + log_likelihood.movedim(0, -1), -1)
        moved = (aided - prior).nan_to_num()
        informed = torch.cat([inputs, answer[..., None], moved], -1)
        learned = torch.stack(
            [ridge(informed, wanted[:, level], auxiliary)[0] for level in levels], -1
        )
        estimates[key, "posterior"] = prior, aided
        estimates[key, "learned"] = _chances(imputed), _chances(learned)
    return estimates


def _chances(predicted: Tensor) -> Tensor:
    """Predictions (..., K) as chances, none of them 0, which add up to 1."""
    positive = predicted.clamp(LEAST_CHANCE, 1)
    return positive / positive.sum(-1, keepdim=True)


def _mean_over(grid: Tensor, log_weight: Tensor) -> Tensor:
    """Mean of the grid (K,) under log-weights (K, V, N)."""
    return (torch.softmax(log_weight, 0) * grid[:, None, None]).sum(0)


def ridge(inputs: Tensor, wanted: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regressions with an intercept that nothing penalises, each on rows of its own.

    Args:
        inputs: (V, N, P).
        wanted: (N,), read only where a row is used.
        rows: (V, N) bool, those to learn from.

    Returns:
        predictions (V, N); for the rows learned from, what the regression without that row would
        predict (V, N), elsewhere meaningless; the root-mean-square error of these (V,). NaN where
        fewer than two rows are there to learn from.
    """
    weight = rows.to(inputs.dtype)
    count = weight.sum(1, keepdim=True)
    share = weight / count.clamp(min=1)
    wanted = torch.where(rows, wanted, 0.0)
    inputs = inputs - share[:, None] @ inputs
    level = (share * wanted).sum(1, keepdim=True)
    weighted = inputs * weight[..., None]
    curvature = inputs.mT @ weighted + RIDGE * torch.eye(inputs.shape[-1], dtype=inputs.dtype)
    factor = torch.linalg.cholesky(curvature)
    beta = torch.cholesky_solve(weighted.mT @ (wanted - level)[..., None], factor)
    predicted = level + (inputs @ beta)[..., 0]
    predicted = predicted.masked_fill(count < 2, torch.nan)
    leverage = 1 / count + (inputs * torch.cholesky_solve(inputs.mT, factor).mT).sum(-1)
    residual = (wanted - predicted) / (1 - leverage)
    spread = (share * residual.square()).sum(1).sqrt().clamp(min=SMALLEST_SPREAD)
    return predicted, wanted - residual, spread


def by_side(errors: Tensor, member: Tensor) -> Tensor:
    """Mean error about each patient, over victims that were trained on them, and over the others.

    Args:
        errors: (V, N), NaN = nothing to guess.
        member: (V, N) bool, who trained each victim.

    Returns:
        (2, N): members, others; NaN where there are none.
    """
    return torch.stack(
        [torch.where(side, errors, torch.nan).nanmean(0) for side in (member, ~member)]
    )
