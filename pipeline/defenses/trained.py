"""Recipes run as they are configured, and models that decide."""

from typing import Any, cast

import torch

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses import DEFENSES, SET_BY_PROGRAM, refuse_unfit
from pipeline.defenses.decision import (
    DECISION,
    Nested,
    check_decision,
    decided,
    out_of_sample,
    scored_within,
)
from pipeline.files import FailedCheck
from pipeline.models.population import Population, joined
from pipeline.parallel import share_out
from pipeline.validation import check_options


def train(name: str, dataset: Dataset, plan: Plan, cfg: Config) -> Population:
    """Trains the defense `name` with the options that `cfg` holds for it.

    Each model decides at a cut, and is recalibrated by a line where that is configured, that are
    chosen on its own scores of its training rows, which is what hundreds of models can afford;
    `train_reported` does better. A recipe that decides for itself is left alone.

    Raises:
        BadInput: an option does not fit the recipe.
        FailedCheck: it claims a guarantee that does not cover what it decided by.
    """
    population = _undecided(name, dataset, plan, cfg)
    if DECISION in population.facts:
        return population
    return decided(population, dataset, plan, cfg.decision)


def train_reported(
    name: str, dataset: Dataset, plan: Plan, cfg: Config, nested: Nested | None = None
) -> Population:
    """`train`, but that others choose for each model: models of folds of its training rows.

    So what is reported and released stands among patients whom it has not seen where the rule says.
    Where the plan sets patients aside, they choose, and no further model is trained. `nested`
    names these models where the rows of the plan are no folds of each other.
    """
    population = _undecided(name, dataset, plan, cfg)
    if DECISION in population.facts:
        return population
    constant = cfg.decision.rule == "threshold" and cfg.decision.recalibrate == "none"
    if constant or plan.tune is not None:
        return decided(population, dataset, plan, cfg.decision)
    if nested is not None:
        own_folds = _undecided(name, dataset, nested.plan, cfg)
        unseen = scored_within(own_folds, nested, dataset, plan.size)
        return decided(population, dataset, plan, cfg.decision, unseen)
    folds, pairs = plan.inner()
    inner = _undecided(name, dataset, folds, cfg) if len(pairs) else population.select(pairs[:, 0])
    unseen = out_of_sample(population, inner, pairs, dataset, plan)
    return decided(population, dataset, plan, cfg.decision, unseen)


def _undecided(name: str, dataset: Dataset, plan: Plan, cfg: Config) -> Population:
    refuse_unfit([name], cfg, "", images=bool(dataset.schema.image))
    recipe = DEFENSES[name]
    options = check_options(recipe, cfg.defenses[name], name, given=SET_BY_PROGRAM)
    members = cfg.train.members or plan.size
    if plan.size <= members:
        population = recipe(dataset, plan, cfg, **options)
    else:
        population = _in_blocks(name, dataset, plan, cfg, options, members)
    check_decision(population.facts, name)
    return population


def _in_blocks(
    name: str, dataset: Dataset, plan: Plan, cfg: Config, options: dict[str, Any], members: int
) -> Population:
    """The recipe on so many rows of the plan at a time, each block by whichever process is free.

    Raises:
        FailedCheck: a block says otherwise of itself than the first, as where a claim depends on
            who trains: all rows must be trained together then.
    """
    blocks = [plan.select(rows) for rows in torch.arange(plan.size).split(members)]
    parts = share_out(_train_block, [(name, dataset, one, cfg, options) for one in blocks])
    if any(one.facts != parts[0].facts for one in parts):
        raise FailedCheck(
            f"{name}: blocks of train.members: {members} say different things of themselves; "
            "set it to null"
        )
    return cast(Population, joined(parts))


def _train_block(
    name: str, dataset: Dataset, plan: Plan, cfg: Config, options: dict[str, Any]
) -> Population:
    return DEFENSES[name](dataset, plan, cfg, **options)
