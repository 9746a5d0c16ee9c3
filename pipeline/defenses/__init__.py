"""Recipes: `recipe(dataset, plan, cfg, **options) -> Population`.

`DEFENSES` lists them in the order people read them. A recipe's keyword-only parameters are its
options; `conf/defense/<name>.yaml` gives their values.
"""

from collections.abc import Callable

from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.adversarial import adv_train
from pipeline.defenses.distillation import distill
from pipeline.defenses.partition import train_by_parts
from pipeline.defenses.privacy import dp_train
from pipeline.defenses.private_adversarial import dp_adv_train
from pipeline.defenses.undefended import baseline
from pipeline.models.population import Population
from pipeline.validation import check_options

SET_BY_PROGRAM = ("secret",)  # where noise comes from is no option of a configuration
DEFENSES: dict[str, Callable[..., Population]] = {
    "baseline": baseline,
    "adv_train": adv_train,
    "distill": distill,
    "dp_train": dp_train,
    "dp_adv_train": dp_adv_train,
    "partition": train_by_parts,
}


def train(name: str, dataset: Dataset, plan: Plan, cfg: Config) -> Population:
    """Trains the defense `name` with the options that `cfg` holds for it.

    Raises:
        BadInput: an option does not fit the recipe.
    """
    recipe = DEFENSES[name]
    options = check_options(recipe, cfg.defenses[name], name, given=SET_BY_PROGRAM)
    return recipe(dataset, plan, cfg, **options)
