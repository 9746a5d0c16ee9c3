"""Recipes run as they are configured, and models that decide."""

from typing import Any, cast

import torch

from pipeline.config import Config
from pipeline.data.nested import Nested, own_folds
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses import DEFENSES, SET_BY_PROGRAM, refuse_unfit
from pipeline.defenses.decision import DECISION, check_decision, decided
from pipeline.defenses.unseen import out_of_sample, scored_within
from pipeline.files import FailedCheck
from pipeline.models.population import ImageNetworks, Networks, Population, joined
from pipeline.parallel import share_out
from pipeline.validation import check_options


def train(
    name: str, dataset: Dataset, plan: Plan, cfg: Config, *, apart: bool = False
) -> Population:
    """Trains the defense `name` with the options that `cfg` holds for it.

    Each model decides at a cut, and is recalibrated by a line where that is configured, that others
    choose for it: models of `own_folds` of its training rows. Networks choose them on their own
    scores of these rows, which is what hundreds can afford, unless they are to be cut `apart`, too.
    Other kinds may know these rows by heart, as trees do, and would call nearly everybody else ill.
    A recipe that decides for itself is left alone.

    Args:
        name: of the recipe.
        dataset: the records.
        plan: who trains on whom.
        cfg: everything.
        apart: whether networks of records do as all others: for figures at the cut, which are
            compared with those of other kinds of model.

    Raises:
        BadInput: an option does not fit the recipe.
        FailedCheck: it claims a guarantee that does not cover what it decided by.
    """
    population = _undecided(name, dataset, plan, cfg)
    if DECISION in population.facts:
        return population
    by_themselves = ImageNetworks if apart else Networks | ImageNetworks
    if isinstance(population, by_themselves) or _settled(plan, cfg):
        return decided(population, dataset, plan, cfg.decision)
    return _decided_by(own_folds(plan, dataset), name, population, dataset, plan, cfg)


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
    if _settled(plan, cfg):
        return decided(population, dataset, plan, cfg.decision)
    if nested is not None:
        return _decided_by(nested, name, population, dataset, plan, cfg)
    folds, pairs = plan.inner()
    if not len(pairs):
        return _decided_by(own_folds(plan, dataset), name, population, dataset, plan, cfg)
    inner = _undecided(name, dataset, folds, cfg)
    unseen = out_of_sample(population, inner, pairs, dataset, plan)
    return decided(population, dataset, plan, cfg.decision, unseen)


def _settled(plan: Plan, cfg: Config) -> bool:
    """Whether nobody is needed to choose: nothing is chosen, or whoever is set aside chooses."""
    constant = cfg.decision.rule == "threshold" and cfg.decision.recalibrate == "none"
    return constant or plan.tune is not None or cfg.plan.frozen


def _decided_by(
    nested: Nested, name: str, population: Population, dataset: Dataset, plan: Plan, cfg: Config
) -> Population:
    """The population as models of folds of its training rows decide for it."""
    if not nested.plan.size:
        return decided(population, dataset, plan, cfg.decision)
    inner = _undecided(name, dataset, nested.plan, cfg)
    unseen = scored_within(inner, nested, dataset, plan.size)
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
