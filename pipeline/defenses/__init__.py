"""Recipes: `recipe(dataset, plan, cfg, **options) -> Population`.

`DEFENSES` lists them in the order people read them. A recipe's keyword-only parameters are its
options; `conf/defense/<name>.yaml` gives their values. What a recipe trains decides nothing yet,
unless it claims a guarantee, of which the decision is a part.
"""

from collections.abc import Callable, Iterable, Sequence

from pipeline.config import Config
from pipeline.defenses.adversarial import adv_train
from pipeline.defenses.certified import train_on_bounds
from pipeline.defenses.distillation import distill
from pipeline.defenses.growing import boosting, forest
from pipeline.defenses.noise_training import smoothed
from pipeline.defenses.partition import train_by_parts
from pipeline.defenses.privacy import dp_train
from pipeline.defenses.private_adversarial import dp_adv_train
from pipeline.defenses.regression import logistic
from pipeline.defenses.self_ensembling import seda
from pipeline.defenses.student import seda_student
from pipeline.defenses.undefended import baseline
from pipeline.files import NOT_FOR_IMAGES, BadInput
from pipeline.models.population import Population

# Those that can be trained on images; of the others an audit of images says "not for images".
FOR_IMAGES = frozenset(
    {
        *("baseline", "adv_train", "certified", "distill", "dp_train", "dp_adv_train"),
        *("smoothed", "seda", "seda_whole", "seda_student", "seda_student_hard"),
    }
)
# These learn the answers of a vote whose transformer is the undefended model.
STUDENTS = frozenset({"seda_student", "seda_student_hard"})
# These cannot be trained on records.
ONLY_IMAGES = frozenset({"smoothed", "seda", "seda_whole", *STUDENTS})
# Ensembles of trees, whose training no attacker follows along gradients.
GROWN = frozenset({"forest", "extra_trees", "boosting"})
SET_BY_PROGRAM = ("secret",)  # where noise comes from is no option of a configuration
DEFENSES: dict[str, Callable[..., Population]] = {
    "baseline": baseline,
    "logistic": logistic,
    "forest": forest,
    "extra_trees": forest,
    "boosting": boosting,
    "adv_train": adv_train,
    "certified": train_on_bounds,
    "smoothed": smoothed,
    "distill": distill,
    "dp_train": dp_train,
    "dp_adv_train": dp_adv_train,
    "partition": train_by_parts,
    "seda": seda,
    "seda_whole": seda,
    "seda_student": seda_student,
    "seda_student_hard": seda_student,
}


def fits(name: str, *, images: bool) -> bool:
    """Whether a recipe can be trained on images, or else on records."""
    return name in FOR_IMAGES if images else name not in ONLY_IMAGES


def refuse_unfit(names: Sequence[str], image: object, where: str) -> None:
    """Refuses recipes that cannot be trained on such data.

    Args:
        names: of the recipes.
        image: what says that the data are images; nothing: they are records.
        where: the beginning of the line.

    Raises:
        BadInput: names the first of them, and those that can be.
    """
    for name in names:
        if not fits(name, images=bool(image)):
            others = ", ".join(one for one in DEFENSES if fits(one, images=bool(image)))
            why = NOT_FOR_IMAGES if image else "for images alone"
            raise BadInput(f"{where}{name}: {why}; take of {others}")


def refuse_grown(names: Iterable[str], where: str) -> None:
    """Refuses ensembles of trees where attacks on training and theft ask for networks.

    Raises:
        BadInput: names the first of them.
    """
    for name in names:
        if name in GROWN:
            raise BadInput(
                f"{where}{name}: poisoning and theft are asked of networks alone, and these are "
                "trees; leave it out"
            )


def trainable(recipes: Sequence[str], cfg: Config) -> list[str]:
    """Those of the recipes that are configured, and can be trained on data of this kind."""
    images = cfg.data.image is not None
    return [name for name in cfg.chosen(list(recipes)) if fits(name, images=images)]
