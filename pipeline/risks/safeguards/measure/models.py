"""Models that stand beside the undefended ones: members of an ensemble, and calibrated ones."""

from dataclasses import replace

from pipeline.config import BASELINE, Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.trained import train_reported
from pipeline.models.population import Population
from pipeline.seeds import Stream, of


def companions(dataset: Dataset, plan: Plan, cfg: Config, count: int) -> list[Population]:
    """So many further populations, each trained on the same records as the plan's with other seeds.

    Args:
        dataset: the records.
        plan: whose training records they share.
        cfg: of the undefended recipe.
        count: of populations.

    Raises:
        BadInput: as the recipe.
    """
    found = []
    for number in range(count):
        seeds = plan.seeds.clone()
        for row, seed in enumerate(plan.seeds.tolist()):
            seeds[row] = of(Stream.ENSEMBLE, seed, number)
        found.append(train_reported(BASELINE, dataset, replace(plan, seeds=seeds), cfg))
    return found


def with_some_set_aside(
    population: Population, dataset: Dataset, plan: Plan, cfg: Config, share: float
) -> tuple[Population, Plan]:
    """Models that set patients aside to calibrate on: these, or others that do.

    Args:
        population: the undefended models.
        dataset: the records.
        plan: theirs.
        cfg: of the undefended recipe.
        share: of the training records of each model, where others are trained.
    """
    if plan.tune is not None:
        return population, plan
    some = plan.with_tune(dataset.y, share, dataset.together)
    return train_reported(BASELINE, dataset, some, cfg), some
