"""Random halves of those whom a recipe learns from, as membership inference asks for."""

from dataclasses import replace

import torch
from torch import Tensor

from pipeline.config import PlanConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import SPLITS, Dataset


def learned_from(dataset: Dataset, plan: PlanConfig) -> Tensor:
    """(N,) bool: whom a recipe learns from under this kind of plan, and halves are halves of.

    Everybody; under an official split those whom it trains on. Its test records may differ from
    them as such, and then whoever tells one from the other tells no member from a stranger.
    """
    return _of_part(dataset, plan, "train")


def reported_on(dataset: Dataset, plan: PlanConfig) -> Tensor:
    """(N,) bool: whom figures of this kind of plan are made of; of an official split its test."""
    return _of_part(dataset, plan, "test")


def _of_part(dataset: Dataset, plan: PlanConfig, part: str) -> Tensor:
    """(N,) bool: this part of an official split; everybody where the plan is of another kind."""
    if plan.kind == "official" and dataset.split is not None:
        return dataset.split == SPLITS.index(part)
    return torch.ones(len(dataset.y), dtype=torch.bool)


def halves_of(dataset: Dataset, plan: PlanConfig, *, models: int, seed: int) -> Plan:
    """`Plan.random_halves` of those who are `learned_from`; a frozen model has none but itself.

    The others train no model. Those whom an official split sets aside to choose on are so here too;
    every other record is held out by the models that did not train on it.

    Args:
        dataset: the records.
        plan: the configured plan, whose kind counts.
        models: M.
        seed: of the coins and of the models' own seeds.
    """
    if plan.frozen:
        return Plan.of(dataset, plan, seed)
    halves = Plan.random_halves(len(dataset.y), models=models, seed=seed, together=dataset.together)
    if plan.kind != "official" or dataset.split is None:
        return halves
    train = halves.train & learned_from(dataset, plan)
    tune = (dataset.split == SPLITS.index("tune")).expand_as(train)
    return replace(
        halves, train=train, held_out=~train & ~tune, tune=tune.clone() if tune.any() else None
    )


def only(dataset: Dataset, rows: Tensor) -> Dataset:
    """The records `rows` (N,) bool; patients keep their numbers."""
    if rows.all():
        return dataset
    parts = {name: value[rows] for name, value in dataset.origins.items()}
    return Dataset(dataset.x[rows], dataset.y[rows], dataset.schema, **parts)
