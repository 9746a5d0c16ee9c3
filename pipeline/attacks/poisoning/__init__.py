"""Data poisoning: somebody writes into the training set, and the model is trained on it as usual.

An attack says how it would enter each record (`Poison.x, y`) and which records it would enter first
(`priority`). It knows the training records of the model that it harms and a linear stand-in that it
trained on them; never the held-out patients (but for the one that `one_patient` names). Adaptive
attacks know the recipe as well, and train it themselves with other seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.attacks.poisoning.before import (
    backdoor,
    clean_label,
    missed_disease,
    one_patient,
    random_flips,
    worst_flips,
    worst_missed,
)
from pipeline.attacks.poisoning.goals import GOALS
from pipeline.attacks.poisoning.poison import Attacker, Poison
from pipeline.standards import RISKS, Standards


@dataclass(frozen=True)
class PoisonFacts:
    """What names an attack completely.

    Attributes:
        goal: what it wants.
        harms: the figure that shows it: accuracy would hide who is only after the ill.
        knowledge: what it knows.
        access: what it can write.
        ids: in the standards.
        images: whether it poisons images too.
    """

    goal: str
    harms: str
    knowledge: str
    access: str
    ids: Standards
    images: bool = False


_SUCCESS = "attack_success_rate"
_NOTHING, _RECORDS = "none", "training records"
STAND_IN = "training records and a linear stand-in"  # what some attacks know
_AVAILABILITY, _BACKDOOR, _TARGETED = (
    RISKS["availability_poisoning"],
    RISKS["backdoor"],
    RISKS["targeted_poisoning"],
)

POISONS: dict[str, Callable[[Attacker], Poison]] = {
    "random_flips": random_flips,
    "missed_disease": missed_disease,
    "worst_flips": worst_flips,
    "worst_missed": worst_missed,
    "clean_label": clean_label,
    "backdoor": backdoor,
    "one_patient": one_patient,
}

_RECIPE = "training records and the recipe, not its seeds"

# All attacks: those of `POISONS` are made once for all recipes, those of `GOALS` for each.
ATTACKS = (*POISONS, *GOALS)

POISON_FACTS: dict[str, PoisonFacts] = {
    "random_flips": PoisonFacts(
        "availability", "accuracy", _NOTHING, "diagnoses", _AVAILABILITY, images=True
    ),
    "missed_disease": PoisonFacts(
        "availability", "sensitivity", _NOTHING, "diagnoses", _AVAILABILITY, images=True
    ),
    "worst_flips": PoisonFacts(
        "availability", "accuracy", STAND_IN, "diagnoses", _AVAILABILITY, images=True
    ),
    "worst_missed": PoisonFacts(
        "availability", "sensitivity", STAND_IN, "diagnoses", _AVAILABILITY, images=True
    ),
    "clean_label": PoisonFacts("availability", "accuracy", STAND_IN, "values", _AVAILABILITY),
    "backdoor": PoisonFacts(
        "backdoor", _SUCCESS, _RECORDS, "values and diagnoses", _BACKDOOR, images=True
    ),
    "one_patient": PoisonFacts(
        "targeted", _SUCCESS, f"{_RECORDS} and the patient's", "diagnoses", _TARGETED, images=True
    ),
    "adaptive_missed": PoisonFacts(
        "availability", "sensitivity", _RECIPE, "diagnoses", _AVAILABILITY
    ),
    "adaptive_hidden": PoisonFacts(
        "availability", "sensitivity at clean false alarms", _RECIPE, "diagnoses", _AVAILABILITY
    ),
    "adaptive_auroc": PoisonFacts("availability", "auroc", _RECIPE, "diagnoses", _AVAILABILITY),
}


def fitting(attacks: Sequence[str], *, images: bool) -> list[str]:
    """Those of the attacks that can be made on records, or on images."""
    return [name for name in attacks if POISON_FACTS[name].images or not images]
