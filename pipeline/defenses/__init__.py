"""Recipes: `recipe(dataset, plan, cfg, **options) -> Population`.

`DEFENSES` lists them in the order people read them. A recipe's keyword-only parameters are its
options; `conf/defense/<name>.yaml` gives their values. What a recipe trains decides nothing yet,
unless it claims a guarantee, of which the decision is a part.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.config import Config
from pipeline.defenses.adversarial import adv_train
from pipeline.defenses.certified import train_on_bounds
from pipeline.defenses.distillation import distill
from pipeline.defenses.federated.private import train_privately
from pipeline.defenses.federated.recipe import train_federated
from pipeline.defenses.federated.server import train_under_noise
from pipeline.defenses.growing import GROWN, boosting, forest
from pipeline.defenses.hardening import hardened
from pipeline.defenses.kinds import MADE, baseline
from pipeline.defenses.noise_training import smoothed
from pipeline.defenses.partition import train_by_parts
from pipeline.defenses.privacy import dp_train
from pipeline.defenses.private_adversarial import dp_adv_train
from pipeline.defenses.regression import logistic
from pipeline.defenses.self_ensembling import seda
from pipeline.defenses.student import seda_student
from pipeline.files import (
    FOR_IMAGES_ALONE,
    FOR_NETWORKS_ALONE,
    FOR_TREES_ALONE,
    NOT_FOR_IMAGES,
    BadInput,
)
from pipeline.models.population import Population

# These learn the answers of a vote whose transformer is the undefended model.
STUDENTS = frozenset({"seda_student", "seda_student_hard"})
FEDERATIONS = ("federated", "federated_private", "federated_noisy_server")
SET_BY_PROGRAM = ("secret",)  # where noise comes from is no option of a configuration
DEFENSES: dict[str, Callable[..., Population]] = {
    "baseline": baseline,
    "logistic": logistic,
    **{name: MADE[name] for name in GROWN},
    "larger_leaves": forest,
    "small_boosting": boosting,
    "monotone": boosting,
    "hardened": hardened,
    "adv_train": adv_train,
    "certified": train_on_bounds,
    "smoothed": smoothed,
    "distill": distill,
    "dp_train": dp_train,
    "dp_adv_train": dp_adv_train,
    "partition": train_by_parts,
    "federated": train_federated,
    "federated_private": train_privately,
    "federated_noisy_server": train_under_noise,
    "seda": seda,
    "seda_whole": seda,
    "seda_student": seda_student,
    "seda_student_hard": seda_student,
}


class Serves(NamedTuple):
    """What a recipe can be trained on.

    Attributes:
        records: tables of patients; `images` likewise.
        network: it trains the network that `model` names, and asks that this is one.
        trees: it grows the trees that `model` names, and asks that they are of `GROWN`.
        versions: it may learn from poisoned sets, in which versions of a record lie side by side.
    """

    records: bool = True
    images: bool = False
    network: bool = False
    trees: bool = False
    versions: bool = True


_BOTH = Serves(images=True, network=True)
_IMAGES = Serves(records=False, images=True, network=True)
HOSPITALS_MOVE = (
    "hospitals are cut from the values of all records, a forger's too; hostile hospitals are the "
    "risk federation (experiment=federated)"
)
# What each serves; who is not named here is trained on records, and is a model of its own.
SERVES: dict[str, Serves] = {
    "baseline": Serves(images=True),
    **dict.fromkeys(("adv_train", "certified", "distill", "dp_train", "dp_adv_train"), _BOTH),
    **dict.fromkeys(("smoothed", "seda", "seda_whole", *STUDENTS), _IMAGES),
    "hardened": Serves(trees=True),
    **dict.fromkeys(FEDERATIONS, Serves(network=True, versions=False)),
}


def why_unfit(name: str, *, images: bool, network: bool, trees: bool = False) -> str:
    """Why a recipe cannot be trained; empty = it can.

    Args:
        name: of the recipe.
        images: whether the data are images, or else records.
        network: whether `model` names a network.
        trees: whether it names trees of `GROWN`.
    """
    serves = SERVES.get(name, Serves())
    if images and not serves.images:
        return NOT_FOR_IMAGES
    if not images and not serves.records:
        return FOR_IMAGES_ALONE
    if serves.trees and not trees:
        return FOR_TREES_ALONE
    return FOR_NETWORKS_ALONE if serves.network and not network else ""


def why_not_poisoned(name: str) -> str:
    """Why a recipe learns from no poisoned set; empty = it does."""
    return "" if SERVES.get(name, Serves()).versions else HOSPITALS_MOVE


def refuse_unfit(
    names: Sequence[str], cfg: Config, where: str, *, images: bool | None = None
) -> None:
    """Refuses recipes that cannot be trained on such data, or of such a model.

    Args:
        names: of the recipes.
        cfg: says what the data are, and what `model` is.
        where: the beginning of the line.
        images: whether the data are images; None = as `cfg` says.

    Raises:
        BadInput: names the first of them, and those that can be.
    """
    for name in names:
        if why := unfit(name, cfg, images):
            others = ", ".join(one for one in DEFENSES if not unfit(one, cfg, images))
            raise BadInput(f"{where}{name}: {why}; take of {others}")


def unfit(name: str, cfg: Config, images: bool | None = None) -> str:
    """Why a recipe cannot be trained as configured; empty = it can."""
    of_images = cfg.data.image is not None if images is None else images
    model = cfg.model
    return why_unfit(name, images=of_images, network=model.network, trees=model.name in GROWN)


def trainable(recipes: Sequence[str], cfg: Config) -> list[str]:
    """Those of the recipes that are configured, and can be trained."""
    return [name for name in cfg.chosen(list(recipes)) if not unfit(name, cfg)]
