"""The entry of poisoning in `RISKS`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.attacks.poisoning import ATTACKS
from pipeline.attacks.poisoning.goals import GOALS
from pipeline.config import BASELINE, Config
from pipeline.defenses import DEFENSES
from pipeline.files import BadInput
from pipeline.risks.poisoning.measure.filters import RULES
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.risk import Figure, HeadlineFigure, Risk, Tables, curve, own
from pipeline.validation import check_names

if TYPE_CHECKING:
    import pandas as pd

CURVES = (
    "accuracy",
    "accuracy_difference",
    "sensitivity",
    AT_CLEAN,
    "share_called_ill",
    "missed_diagnosis_rate",
    "auroc",
    "proved_accuracy",
    "attack_success_rate",
)
CERTIFIED = ("certified_accuracy", "certified_sensitivity")
# a moved line can be moved back; what is lost at equal false alarms, or of the ranking, is lost
ON_EVERYBODY = {
    AT_CLEAN: "ill patients found at the false alarms of clean models",
    "auroc": "AUROC",
}
ON_SOME = {
    "backdoor": "ill patients whom a trigger hides",
    "targeted": "named ill patients called healthy",
}
SUCCESS = "attack_success_rate"
COMPARED = ("backdoor",)  # of `ON_SOME`; who are named are too few for a bootstrap to compare


def check(cfg: Config, origin: str) -> None:
    """Refuses names in no registry, doses that repeat, and more repetitions than there are."""
    numbers = cfg.section(PoisoningSettings)
    check_names(numbers.recipes, DEFENSES, f"{origin}: poisoning.recipes", "defense")
    check_names(numbers.attacks, ATTACKS, f"{origin}: poisoning.attacks", "poisoning attack")
    check_names(numbers.filters, RULES, f"{origin}: poisoning.filters", "filter")
    if BASELINE not in numbers.recipes:
        raise BadInput(
            f"{origin}: poisoning.recipes: must hold {BASELINE}, with which the others are compared"
        )
    if len(set(numbers.doses)) < len(numbers.doses):
        raise BadInput(f"{origin}: poisoning.doses: must differ, not {numbers.doses}")
    unknown = [dose for dose in numbers.adaptive_doses if dose not in numbers.doses]
    if unknown and set(numbers.attacks) & set(GOALS):
        raise BadInput(
            f"{origin}: poisoning.adaptive_doses: {unknown[0]} is none of poisoning.doses"
        )
    if numbers.repetitions > cfg.plan.seeds:
        raise BadInput(
            f"{origin}: poisoning.repetitions: {numbers.repetitions} is more than plan.seeds "
            f"{cfg.plan.seeds}"
        )


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """The worst attacks on everybody for each defense, by two figures.

    Then who gets a patient misdiagnosed.
    """
    if not len(tables.get("poisoning", ())):
        return ()
    from pipeline.risks.poisoning.pair_tables import at_headline, worst_on_everybody

    at = at_headline(tables["poisoning"], cfg.section(PoisoningSettings).headline_dose)
    dose, pairs, found = at["dose"].iloc[0], tables.get("poisoning_pairs"), []
    dose_in_words = f"{100 * dose:g} % of the records" if dose < 1 else f"{dose:g} records"
    for value, figure in ON_EVERYBODY.items():
        worst, named = worst_on_everybody(at, value), f"{figure}, {dose_in_words} poisoned"
        if len(worst):
            found.append(
                HeadlineFigure.of(named, "high", worst, value, pairs=pairs, compared=value)
            )
    for goal, figure in ON_SOME.items():
        lines, named = at[at["goal"] == goal].dropna(subset=SUCCESS), f"{figure}, {dose_in_words}"
        if len(lines):
            own_pairs = pairs if goal in COMPARED else None
            found.append(
                HeadlineFigure.of(named, "low", lines, SUCCESS, pairs=own_pairs, compared=SUCCESS)
            )
    return found


def figures(tables: Tables, name: str, cfg: Config) -> Iterator[Figure]:
    """Against the share of the training records that are poisoned, in thousandths.

    What is certified, against their number.
    """
    if "poisoning" in tables:
        for _, line in own(tables, "poisoning", name).iterrows():
            for key in CURVES:
                yield Figure(
                    f"poisoning/{line['attack']}/{key}",
                    line[key],
                    round(line["poison_rate"] * 1000),
                )
    if len(tables.get("certificate", ())):
        for _, line in own(tables, "certificate", name).iterrows():
            for key in CERTIFIED:
                yield Figure(f"certificate/{key}", line[key], int(line["records"]))


def curves(tables: Tables, cfg: Config) -> "Mapping[str, pd.DataFrame]":
    """Ill patients whom a trigger hides, against the share of the records that are poisoned."""
    if not len(tables.get("poisoning", ())):
        return {}
    lines = tables["poisoning"][tables["poisoning"]["goal"] == "backdoor"]
    return {"backdoor": curve(lines, "poison_rate", SUCCESS)}


RISK = Risk(
    name="poisoning",
    settings=PoisoningSettings,
    check=check,
    headline=headline,
    figures=figures,
    curves=curves,
    steps={
        "poisoning": "the share of the records in thousandths",
        "certificate": "poisoned records",
    },
)
