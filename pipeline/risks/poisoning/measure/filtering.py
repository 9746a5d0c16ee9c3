"""Finding and dropping poisoned records before the undefended recipe is trained.

Whoever filters does not know how many there are.

A job is one attack, all filters: they share its training sets, and two of them share their scores.
The batches of a set that lost records are others than before, so what a filter changes is what it
dropped and the luck of other batches. Where a filter drops nothing, the models are the same bit for
bit.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.poisoning import fitting as attacks_on
from pipeline.config import BASELINE, Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses import unfit
from pipeline.defenses.trained import train
from pipeline.files import NOT_FOR_IMAGES
from pipeline.models.population import Population
from pipeline.risks.poisoning.measure.filters import (
    FILTERS,
    RULES,
    Filter,
    Recipe,
    detection,
    left_by,
    loss,
    why_unfit,
)
from pipeline.risks.poisoning.measure.recipes import (
    BACKDOOR,
    NONE,
    ONE_PATIENT,
    CraftedPoison,
    held_out_margins,
    trained_on,
    triggered_margins,
)
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.poisoning.measure.training_sets import TrainingSets, unpoisoned

PREFIX = "filtered_"  # of the name of a file
RECIPE = BASELINE  # who filters trains as usual
FIELDS = ("margins", "triggered", "drop_rate", "precision", "recall", "false_alarm_rate")


@dataclass(frozen=True)
class Filtered:
    """What filters do against one attack, by filter.

    E doses, R training sets of each, S repetitions, N patients.

    Attributes:
        margins: (E, S, N) float32, the margin of the true class out of fold, in logits, of the
            recipe trained on what is left.
        triggered: (E, S, N) float32, likewise with the trigger in the record; NaN = it lacks a
            measurement that the trigger needs. Empty unless the attack is the backdoor.
        drop_rate: (E, R) float64, of a training set, the share that was dropped.
        precision: (E, R) float64, of the dropped records, the share that was poisoned; NaN =
            nothing was dropped.
        recall: (E, R) float64, of the poisoned records, the share that was dropped; NaN = there
            were none.
        false_alarm_rate: (E, R) float64, of the other records, the share that was dropped.
    """

    margins: dict[str, Tensor]
    triggered: dict[str, Tensor]
    drop_rate: dict[str, Tensor]
    precision: dict[str, Tensor]
    recall: dict[str, Tensor]
    false_alarm_rate: dict[str, Tensor]

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Filtered":
        """Reads what `save` wrote, bit for bit.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro poisoning`"
        return read_artifact(path, cls, what="what filters did", advice=advice)


def filtered_attacks(poison: CraftedPoison, cfg: Config) -> list[str]:
    """Attacks on everybody and the backdoor.

    First the control `none`, where filtering cannot help. Nothing where no filter is configured
    that looks at such data.
    """
    if not _rules(cfg):
        return []
    return [NONE, *(attack for attack in poison.sets if attack != ONE_PATIENT)]


def not_tried(cfg: Config) -> dict[str, str]:
    """What is configured and cannot be tried on such data, or on such a model, and why."""
    numbers, images = cfg.section(PoisoningSettings), cfg.data.image is not None
    fit = attacks_on(numbers.attacks, images=images)
    found = {name: unfit(name, cfg) for name in cfg.chosen(numbers.recipes)}
    found |= {name: NOT_FOR_IMAGES for name in numbers.attacks if name not in fit}
    found |= {f"filter {rule}": _unfit(rule, cfg) for rule in numbers.filters}
    return {name: why for name, why in sorted(found.items()) if why}


def filter_poison(attack: str, poison: CraftedPoison, cfg: Config) -> Filtered:
    """Filters every training set of an attack (or `none`); trains the undefended recipe on it."""
    sets = unpoisoned(poison.dataset, poison.plan) if attack == NONE else poison.sets[attack]
    doses = int(sets.dose.max()) + 1
    rules = _rules(cfg)
    scores = {
        name: _filters(cfg)[name](sets.dataset, sets.plan, _recipe(cfg))
        for name in {RULES[rule].filter for rule in rules}
    }
    results = {}
    for rule in rules:
        left = left_by(
            rule,
            scores[RULES[rule].filter],
            sets.plan.train,
            cfg.section(PoisoningSettings).drop,
            seed=cfg.seed,
        )
        results[rule] = _outcome(
            sets.plan.train & ~left, sets, poison, cfg, doses, triggered=attack == BACKDOOR
        )
    return Filtered(
        **{field: {rule: result[field] for rule, result in results.items()} for field in FIELDS}
    )


def _outcome(
    dropped: Tensor,
    sets: TrainingSets,
    poison: CraftedPoison,
    cfg: Config,
    doses: int,
    *,
    triggered: bool,
) -> dict[str, Tensor]:
    """The fields of a `Filtered` where these rows (E * R, N * V) are dropped."""
    models = trained_on(RECIPE, sets.without(dropped), cfg)
    found = detection(dropped, sets.poisoned, sets.plan.train)
    rates = {"drop_rate": dropped.sum(1).double() / sets.plan.train.sum(1), **found._asdict()}
    return {
        "margins": held_out_margins(models, poison.dataset.x, poison.dataset.y, poison.plan, doses),
        "triggered": triggered_margins(models, poison, doses) if triggered else torch.zeros(0),
        **{name: rate.view(doses, -1) for name, rate in rates.items()},
    }


def _rules(cfg: Config) -> list[str]:
    return [rule for rule in cfg.section(PoisoningSettings).filters if not _unfit(rule, cfg)]


def _unfit(rule: str, cfg: Config) -> str:
    return why_unfit(rule, images=cfg.data.image is not None, network=cfg.model.network)


def _filters(cfg: Config) -> dict[str, Filter]:
    return {**FILTERS, "loss": partial(loss, folds=cfg.section(PoisoningSettings).folds)}


def _recipe(cfg: Config) -> Recipe:
    def recipe(dataset: Dataset, plan: Plan) -> Population:
        return train(RECIPE, dataset, plan, cfg)

    return recipe
