"""From which log-odds on the models of a recipe call a patient ill: one constant for each model.

It is chosen on training records alone, and under a guarantee it is part of what is claimed: a
recipe that claims something decides for itself, by a cut that is public or paid for.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor

from pipeline.config import DecisionConfig
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.files import FailedCheck
from pipeline.models.answers import log_odds
from pipeline.models.population import Population
from pipeline.statistics.operating_point import cut_by, logit

DECISION = "decision"  # in the facts of a population that decides at a cut that somebody chose
PUBLIC, PAID = "public", "paid for"
OWN, INNER = "scores of its own training rows", "inner folds of its training rows"
Models = TypeVar("Models", bound=Population)
GUARANTEES = ("guarantee", "certificate")  # facts that a cut must not undermine


def decided(
    population: Models,
    dataset: Dataset,
    plan: Plan,
    decision: DecisionConfig,
    unseen: Tensor | None = None,
) -> Models:
    """The population with a cut of each member's own, by the configured rule.

    Args:
        population: M models, of two classes.
        dataset: the records.
        plan: who trained on whom.
        decision: the rule.
        unseen: (M, N), as `out_of_sample` returns it. Without it, or where it knows nobody of a
            member's training rows, they are scored by the member itself, which remembers them: its
            cut is a little too low.

    Returns:
        the same models; `facts["decision"]` says by which rule they decide, and where it looked.
    """
    if decision.rule == "threshold":
        return at_public_cut(population, decision, otherwise=0.0)
    index, valid = rectangle(plan.train)
    own = log_odds(population, dataset.x[index])
    scores = own if unseen is None else unseen.gather(1, index)
    nobody = (scores.isnan() | ~valid).all(1)
    scores = torch.where(nobody[:, None], own, scores)
    known = valid & ~scores.isnan()
    cuts = [
        cut_by(decision.rule, score[of].numpy(), dataset.y[rows[of]].numpy(), decision.value)
        for score, rows, of in zip(scores, index, known, strict=True)
    ]
    where = OWN if unseen is None or bool(nobody.all()) else INNER
    return _marked(population.decide_at(torch.tensor(cuts, dtype=torch.float64)), decision, where)


def at_public_cut(population: Models, decision: DecisionConfig, otherwise: float) -> Models:
    """The population with one cut for all, which no record was looked at for.

    Args:
        population: M models.
        decision: the rule.
        otherwise: log-odds, where the rule is no threshold itself.
    """
    cut = logit(decision.value) if decision.rule == "threshold" and decision.value else otherwise
    cuts = torch.full((population.size,), cut, dtype=torch.float64)
    return _marked(population.decide_at(cuts), decision, PUBLIC)


def _marked(population: Models, decision: DecisionConfig, where: str) -> Models:
    population.facts[DECISION] = {**decision.model_dump(), "chosen_on": where}
    return population


def out_of_sample(
    population: Population, inner: Population, pairs: Tensor, dataset: Dataset, plan: Plan
) -> Tensor:
    """(M, N) float64: log-odds of each member's training rows by models that did not train on them.

    Whom the other one of a pair holds out is scored for the member by that pair's model. A member
    without a pair is the release model, which trained on everyone: for it a patient's score is the
    mean over the members that hold him out. NaN = nobody scores this patient.

    Args:
        population: M models.
        inner: the models of `plan.inner()`'s plan.
        pairs: (P, 2), whose they are.
        dataset: the records.
        plan: who trained on whom.
    """
    total = torch.zeros(plan.train.shape, dtype=torch.float64)
    count = torch.zeros_like(total)

    def add(members: Tensor, models: Population, asked: Tensor) -> None:
        scores = log_odds(models, dataset.x.expand(models.size, *dataset.x.shape))
        total.index_add_(0, members, torch.where(asked, scores, 0.0))
        count.index_add_(0, members, asked.double())

    for one, other in ((0, 1), (1, 0)):
        add(pairs[:, one], inner, plan.held_out[pairs[:, other]])
    scoring = plan.scored()
    for member in range(plan.size):
        if member not in pairs and not scoring[member]:
            add(torch.full((plan.size,), member), population, plan.held_out)
    return torch.where(count > 0, total / count, torch.nan)


def check_decision(facts: dict[str, Any], name: str) -> None:
    """Whether a cut leaves a guarantee standing: it must be public, or part of what was paid.

    Raises:
        FailedCheck: it was chosen on the training records for nothing.
    """
    where = facts.get(DECISION, {}).get("chosen_on", PUBLIC)
    if any(one in facts for one in GUARANTEES) and where not in (PUBLIC, PAID):
        raise FailedCheck(
            f"{name}: its guarantee does not cover the decision threshold, which was chosen on "
            f"{where}; it must be public or paid for"
        )
