"""Who scores the training rows of a model in its stead: models of folds of them."""

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.data.plan import Plan, first_of
from pipeline.data.schema import Dataset
from pipeline.seeds import Stream, generator, of

FOLDS = 2  # three and five place a cut no better, and cost more (`python -m benchmarks.cuts`)


class Nested(NamedTuple):
    """Models that score training rows of others, which they did not learn from themselves.

    Attributes:
        plan: of these P models; `held_out` are the rows that each is asked about.
        member: (P,) int64, for which model of another plan.
    """

    plan: Plan
    member: Tensor


def own_folds(plan: Plan, dataset: Dataset, folds: int = FOLDS) -> Nested:
    """Models that score each model's training rows: as many as it has folds.

    Who is in which fold is drawn by the model's seed and by the order of its rows, never by
    diagnoses: a training set and the same one with other diagnoses, or with other versions of the
    same records, are cut alike. Records that are kept together stay in one fold. A fold beside
    which nobody of some class is left has no model.

    Args:
        plan: who trains the M models.
        dataset: the records.
        folds: of each training set.

    Returns:
        at most M * folds models; each learns from its model's training rows outside a fold, and is
        asked about those inside.
    """
    first = first_of(dataset.together)
    train, asked, member, seeds, labels = [], [], [], [], []
    for row, (mine, seed) in enumerate(zip(plan.train, plan.seeds.tolist(), strict=True)):
        fold = _folds(mine, first, seed, folds)
        present = dataset.y[mine].unique()
        for place in range(folds):
            inside = mine & (fold == place)
            outside = mine & ~inside
            if inside.any() and torch.equal(dataset.y[outside].unique(), present):
                train.append(outside)
                asked.append(inside)
                member.append(row)
                seeds.append(of(Stream.OWN_FOLD, seed, place))
                labels.append(f"{plan.labels[row]} without its fold {place}")
    nobody = torch.zeros(0, *plan.train.shape[1:], dtype=torch.bool)
    of_model = torch.tensor(member, dtype=torch.int64)
    of_folds = Plan(
        torch.stack(train) if train else nobody,
        torch.stack(asked) if asked else nobody,
        torch.full_like(of_model, -1),
        torch.tensor(seeds, dtype=torch.int64),
        tuple(labels),
    )
    return Nested(of_folds, of_model)


def _folds(mine: Tensor, first: Tensor, seed: int, folds: int) -> Tensor:
    """(N,) int64: the fold of each record of `mine` (N,), one for those of one `first` (N,)."""
    _, number = first[mine].unique(return_inverse=True)
    drawn = torch.randperm(int(number.max()) + 1, generator=generator(Stream.OWN_FOLDS, seed))
    return torch.full_like(first, -1).masked_scatter(mine, drawn[number] % folds)


def folds_within(rows: Plan, folds: Plan) -> Nested:
    """Models that score the training rows of each row: in each fold of its repetition's cut.

    Args:
        rows: R models, trained beside places.
        folds: of the cross-validation, F for each repetition.

    Returns:
        R * F models; each learns from its row's training rows outside a fold, and is asked about
        those inside.
    """
    pairs = [
        (row, fold)
        for row in range(rows.size)
        for fold in range(folds.size)
        if rows.repetition[row] == folds.repetition[fold]
    ]
    row, fold = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).T
    seeds = [
        of(Stream.ELSEWHERE_FOLD, *rows.seeds[one].tolist(), *folds.seeds[other].tolist())
        for one, other in zip(row[:, None], fold[:, None], strict=True)
    ]
    plan = Plan(
        rows.train[row] & folds.train[fold],
        rows.train[row] & folds.held_out[fold],
        torch.full_like(row, -1),
        torch.tensor(seeds, dtype=torch.int64),
        tuple(f"{rows.labels[a]} within {folds.labels[b]}" for a, b in pairs),
    )
    return Nested(plan, row)
