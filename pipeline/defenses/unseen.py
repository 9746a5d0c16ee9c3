"""What models say of patients whom another model learned from, and they did not."""

import torch
from torch import Tensor

from pipeline.data.nested import Nested
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.answers import log_odds
from pipeline.models.population import Population


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
    sums = torch.zeros(2, *plan.train.shape, dtype=torch.float64)
    for one, other in ((0, 1), (1, 0)):
        _add(sums, pairs[:, one], inner, plan.held_out[pairs[:, other]], dataset)
    scoring = plan.scored()
    for member in range(plan.size):
        if member not in pairs and not scoring[member]:
            _add(sums, torch.full((plan.size,), member), population, plan.held_out, dataset)
    return _mean_scores(sums)


def scored_within(inner: Population, nested: Nested, dataset: Dataset, members: int) -> Tensor:
    """(M, N) float64: as `out_of_sample`, of training rows that are named one by one.

    Args:
        inner: the models of `nested.plan`.
        nested: whom they score, and for which model.
        dataset: the records.
        members: M.
    """
    sums = torch.zeros(2, members, len(dataset.y), dtype=torch.float64)
    _add(sums, nested.member, inner, nested.plan.held_out, dataset)
    return _mean_scores(sums)


def _add(
    sums: Tensor, members: Tensor, models: Population, asked: Tensor, dataset: Dataset
) -> None:
    """Adds to sums and counts (2, M, N) what P models say of `asked` (P, N), for `members`."""
    scores = log_odds(models, dataset.x.expand(models.size, *dataset.x.shape))
    sums[0].index_add_(0, members, torch.where(asked, scores, 0.0))
    sums[1].index_add_(0, members, asked.double())


def _mean_scores(sums: Tensor) -> Tensor:
    total, count = sums
    return torch.where(count > 0, total / count, torch.nan)
