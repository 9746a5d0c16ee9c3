"""Recipes: `recipe(dataset, plan, cfg, **options) -> Population`.

`DEFENSES` lists them in the order people read them. A recipe's keyword-only parameters are its
options; `conf/defense/<name>.yaml` gives their values. What a recipe trains decides nothing yet,
unless it claims a guarantee, of which the decision is a part.
"""

from collections.abc import Callable, Sequence

from pipeline.config import Config
from pipeline.defenses.adversarial import adv_train
from pipeline.defenses.certified import train_on_bounds
from pipeline.defenses.distillation import distill
from pipeline.defenses.partition import train_by_parts
from pipeline.defenses.privacy import dp_train
from pipeline.defenses.private_adversarial import dp_adv_train
from pipeline.defenses.regression import logistic
from pipeline.defenses.self_ensembling import seda
from pipeline.defenses.undefended import baseline
from pipeline.models.population import Population

# Those that can be trained on images; of the others an audit of images says "not for images".
FOR_IMAGES = frozenset(
    {
        *("baseline", "adv_train", "certified", "distill", "dp_train", "dp_adv_train"),
        *("seda", "seda_whole"),
    }
)
SET_BY_PROGRAM = ("secret",)  # where noise comes from is no option of a configuration
DEFENSES: dict[str, Callable[..., Population]] = {
    "baseline": baseline,
    "logistic": logistic,
    "adv_train": adv_train,
    "certified": train_on_bounds,
    "distill": distill,
    "dp_train": dp_train,
    "dp_adv_train": dp_adv_train,
    "partition": train_by_parts,
    "seda": seda,
    "seda_whole": seda,
}


def trainable(recipes: Sequence[str], cfg: Config) -> list[str]:
    """Those of the recipes that are configured, and can be trained on data of this kind."""
    chosen = cfg.chosen(list(recipes))
    return [name for name in chosen if cfg.data.image is None or name in FOR_IMAGES]
