"""What a recipe's models say and from where on they call a patient ill: a line and a cut for each.

Both are chosen on training records alone, or on those that a plan sets aside to choose on. Under a
guarantee they are part of what is claimed: a recipe that claims something decides for itself, by
constants that are public, or on the records set aside, which the claim does not cover.
"""

from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from pipeline.config import DecisionConfig
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.files import BadInput, FailedCheck
from pipeline.models.answers import log_odds
from pipeline.models.networks import Networks
from pipeline.models.population import ImageNetworks, Population
from pipeline.statistics.calibration import platt
from pipeline.statistics.operating_point import cut_by, logit

DECISION = "decision"  # in the facts of a population that decides at a cut that somebody chose
RECALIBRATION = "recalibration"  # in the facts, where it was asked for
PUBLIC, TUNED = "public", "the plan's tune table"
OWN, INNER = "scores of its own training rows", "inner folds of its training rows"
NOT_COVERED = "records of the tune table, on which it was chosen"
Models = TypeVar("Models", bound=Population)
GUARANTEES = ("guarantee", "certificate")  # facts that neither choice must undermine


class _Seen(NamedTuple):
    """Scores (M, B) of patients `rows` (M, B), as far as `known`, and whose they are."""

    rows: Tensor
    scores: Tensor
    known: Tensor
    where: str


def decided(
    population: Models,
    dataset: Dataset,
    plan: Plan,
    decision: DecisionConfig,
    unseen: Tensor | None = None,
) -> Models:
    """The population recalibrated if that is asked for, with a cut of each member's own.

    Args:
        population: M models, of two classes.
        dataset: the records.
        plan: who trained on whom. Where it sets patients aside, they alone choose.
        decision: the rule.
        unseen: (M, N), as `out_of_sample` returns it. Without it, or where it knows nobody of a
            class of a member's training rows, they are scored by the member itself, which remembers
            them: its cut is too low, and it is taken for better calibrated than it is.

    Returns:
        the same models; `facts["decision"]` says by which rule they decide, and where it looked,
        `facts["recalibration"]` likewise.

    Raises:
        BadInput: it is to be recalibrated, and is no stack of linear layers.
    """
    ruled = decision.rule != "threshold"
    if not ruled and decision.recalibrate == "none":
        return at_public_cut(population, decision, otherwise=0.0)
    seen = _seen(population, dataset, plan, unseen)
    if decision.recalibrate != "none":
        population, seen = _recalibrated(population, dataset, decision, seen)
    if not ruled:
        return _at(population, decision, otherwise=0.0)
    each = zip(seen.scores, seen.rows, seen.known, strict=True)
    cuts = [
        cut_by(decision.rule, score[of].numpy(), dataset.y[rows[of]].numpy(), decision.value)
        for score, rows, of in each
    ]
    moved = population.decide_at(torch.tensor(cuts, dtype=torch.float64))
    return _marked(moved, decision, seen.where)


def _seen(population: Population, dataset: Dataset, plan: Plan, unseen: Tensor | None) -> _Seen:
    """The scores that choose: of patients set aside, else of training rows."""
    index, valid = rectangle(plan.train if plan.tune is None else plan.tune)
    own = log_odds(population, dataset.x[index])
    if plan.tune is not None:
        return _Seen(index, own, valid, TUNED)
    if unseen is None:
        return _Seen(index, own, valid, OWN)
    scores, y = unseen.gather(1, index), dataset.y[index]
    known = valid & ~scores.isnan()
    lacks = torch.zeros(len(index), dtype=torch.bool)
    for label in y.unique():
        lacks |= (valid & (y == label)).any(1) & ~(known & (y == label)).any(1)
    scores, known = (torch.where(lacks[:, None], a, b) for a, b in ((own, scores), (valid, known)))
    return _Seen(index, scores, known, OWN if bool(lacks.all()) else INNER)


def _recalibrated(
    population: Models, dataset: Dataset, decision: DecisionConfig, seen: _Seen
) -> tuple[Models, _Seen]:
    """The population with other log-odds, and the same scores on their scale.

    A member that scores the healthy higher has no line that keeps its order: it is left as it is,
    and counted.
    """
    if not isinstance(population, Networks | ImageNetworks):
        raise BadInput(
            f"decision.recalibrate: {decision.recalibrate}: only networks trained here can be "
            "recalibrated; take none"
        )
    each = zip(seen.scores, seen.rows, seen.known, strict=True)
    lines = torch.tensor(
        [platt(score[of].numpy(), dataset.y[rows[of]].numpy()) for score, rows, of in each],
        dtype=torch.float64,
    )
    rises = lines[:, 0] > 0
    slope = torch.where(rises, lines[:, 0], 1.0)
    intercept = torch.where(rises, lines[:, 1], 0.0)
    line = population.recalibrate(slope, intercept)
    line.facts[RECALIBRATION] = {
        "method": decision.recalibrate,
        "chosen_on": seen.where,
        "left_as_they_were": int((~rises).sum()),
    }
    scores = slope[:, None] * seen.scores + intercept[:, None]
    return cast(Models, line), seen._replace(scores=scores)


def under_guarantee(
    population: Models, dataset: Dataset, plan: Plan, decision: DecisionConfig, otherwise: float
) -> Models:
    """The population of a recipe that claims something: what it chooses costs the claim nothing.

    Where the plan sets patients aside they choose, as in `decided`: the claim does not cover them,
    and the facts say so. Otherwise the cut is `at_public_cut`, and nothing is recalibrated.

    Args:
        population: M models.
        dataset: the records.
        plan: who trained on whom.
        decision: the rule.
        otherwise: log-odds, where there is no tune table and the rule is no threshold itself.
    """
    if plan.tune is None:
        return at_public_cut(population, decision, otherwise)
    chosen = decided(population, dataset, plan, decision)
    for one in (DECISION, RECALIBRATION):
        if chosen.facts.get(one, {}).get("chosen_on") == TUNED:
            chosen.facts[one]["not_covered"] = NOT_COVERED
    return chosen


def at_public_cut(population: Models, decision: DecisionConfig, otherwise: float) -> Models:
    """The population with one cut for all, and its own log-odds: no record was looked at.

    Args:
        population: M models.
        decision: the rule.
        otherwise: log-odds, where the rule is no threshold itself.
    """
    if decision.recalibrate != "none":
        population.facts[RECALIBRATION] = {"method": "none", "chosen_on": PUBLIC}
    return _at(population, decision, otherwise)


def _at(population: Models, decision: DecisionConfig, otherwise: float) -> Models:
    cut = logit(decision.value) if decision.rule == "threshold" and decision.value else otherwise
    cuts = torch.full((population.size,), cut, dtype=torch.float64)
    return _marked(population.decide_at(cuts), decision, PUBLIC)


def _marked(population: Models, decision: DecisionConfig, where: str) -> Models:
    rule = decision.model_dump(exclude={"recalibrate"})
    population.facts[DECISION] = {**rule, "chosen_on": where}
    return population


def check_decision(facts: dict[str, Any], name: str) -> None:
    """Whether cut and recalibration leave a guarantee standing.

    They must be public, or chosen on patients set aside, whom the facts say that it does not cover.

    Raises:
        FailedCheck: one was chosen on the training records, or on patients who are not told of.
    """
    if not any(one in facts for one in GUARANTEES):
        return
    for key, what in ((DECISION, "decision threshold"), (RECALIBRATION, "recalibration")):
        chosen = facts.get(key, {})
        where = chosen.get("chosen_on", PUBLIC)
        told = where == TUNED and chosen.get("not_covered") == NOT_COVERED
        if where != PUBLIC and not told:
            raise FailedCheck(
                f"{name}: its guarantee does not cover the {what}, which was chosen on {where}; "
                "it must be public, or chosen on a tune table whose patients it names as not "
                "covered"
            )
