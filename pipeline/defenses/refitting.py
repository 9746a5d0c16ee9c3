"""Models of which a recipe alone was kept are fitted again, from the same records."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.data.schema import Dataset
from pipeline.defenses.estimating import fit_again, fits
from pipeline.files import BadInput
from pipeline.models.first_call import SAME, frame_of_nobody
from pipeline.models.foreign import Foreign, Kept
from pipeline.models.opening import asked_by
from pipeline.models.population import Population
from pipeline.models.questions import Ask, Gaps, chances
from pipeline.models.recipes import Recipe, Refittable


def recalled(population: Population, dataset: Dataset) -> Population:
    """The same population, whatever of it was kept as a recipe alone fitted again.

    Args:
        population: as it was loaded; of models that answer it is returned as it is.
        dataset: the records that it was trained on.

    Raises:
        BadInput: these are other records, the recipe is not there or cannot be fitted, or it gives
            another model than the one that was kept.
    """
    if not isinstance(population, Foreign):
        return population
    known = [one.recipe if isinstance(one, Kept) else None for one in population.asked]
    if not any(known):
        return population
    again = iter(_refitted([one for one in known if one], dataset, population))
    asked = zip(population.asked, known, strict=True)
    return replace(population, asked=tuple(next(again) if of else one for one, of in asked))


def _refitted(recipes: Sequence[Recipe], dataset: Dataset, of: Foreign) -> list[Ask]:
    """A model for each recipe, which all are of one kind."""
    fit, origin = fit_again(recipes[0].made_by, dataset.schema)
    records = dataset.digest
    if any(one.records != records for one in recipes):
        raise BadInput(f"{origin}: was trained on other records than these; train again")
    rows, seeds = [one.rows for one in recipes], [one.seed for one in recipes]
    found: list[Ask] = []
    models = fits(fit, origin, dataset, rows, seeds, of.gaps)
    for made, recipe in zip(models, recipes, strict=True):
        ask = asked_by(made, dataset.schema)
        _same(ask, recipe, dataset, origin, of.gaps)
        found.append(Refittable(ask, recipe))
    return found


def _same(ask: Ask, recipe: Recipe, dataset: Dataset, origin: str, gaps: Gaps) -> None:
    """Whether a model says of records of nobody what was said when it was kept."""
    said = chances(ask, frame_of_nobody(dataset, gaps), origin)
    before = recipe.said.numpy()
    if said.shape != before.shape or (apart := float(np.abs(said - before).max())) > SAME:
        off = f" (by up to {apart:.2g})" if said.shape == before.shape else ""
        raise BadInput(
            f"{origin}: fits differently each time{off}: give it the seed, as random_state or as "
            "the third argument; or its code has changed: then train again"
        )
