"""The entry of poisoning in `RISKS`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.attacks.poisoning import ATTACKS
from pipeline.attacks.poisoning.goals import GOALS
from pipeline.config import BASELINE, Config
from pipeline.defenses import DEFENSES, why_not_poisoned
from pipeline.files import BadInput
from pipeline.presentation.numbers import count_told, from_to
from pipeline.risks.poisoning.measure.filters import RULES
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.risk import HeadlineFigure, Risk, Tables, by_defense, curve, nearest_in
from pipeline.validation import check_names

if TYPE_CHECKING:
    import pandas as pd

# a moved line can be moved back; what is lost at equal false alarms, or of the ranking, is lost
ON_EVERYBODY = {
    AT_CLEAN: "ill patients found at the false alarms of clean models",
    "auroc": "AUROC",
}
ON_SOME = {
    "backdoor": "ill patients whom a trigger hides",
    "targeted": "named ill patients called healthy",
}
TARGETS = {
    "backdoor": "ill patients with the trigger, called ill without poison",
    "targeted": "named patients",
}
SUCCESS = "attack_success_rate"
COMPARED = ("backdoor",)  # of `ON_SOME`; who are named are too few for a bootstrap to compare


def check(cfg: Config, origin: str) -> None:
    """Refuses names in no registry, doses that repeat, and more repetitions than there are."""
    numbers = cfg.section(PoisoningSettings)
    check_names(numbers.recipes, DEFENSES, f"{origin}: poisoning.recipes", "defense")
    check_names(numbers.attacks, ATTACKS, f"{origin}: poisoning.attacks", "poisoning attack")
    check_names(numbers.filters, RULES, f"{origin}: poisoning.filters", "filter")
    for name in numbers.recipes:
        if why := why_not_poisoned(name):
            raise BadInput(f"{origin}: poisoning.recipes: {name}: {why}")
    if numbers.recipes and BASELINE not in numbers.recipes:
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
                HeadlineFigure.of(
                    named,
                    "high",
                    worst,
                    value,
                    pairs=pairs,
                    compared=value,
                    among=_among(worst, "ill" if value == AT_CLEAN else "patients"),
                    threat=_threat(worst, dose_in_words),
                )
            )
    for goal, figure in ON_SOME.items():
        lines, named = at[at["goal"] == goal].dropna(subset=SUCCESS), f"{figure}, {dose_in_words}"
        if len(lines):
            found.append(
                HeadlineFigure.of(
                    named,
                    "low",
                    lines,
                    SUCCESS,
                    pairs=pairs if goal in COMPARED else None,
                    compared=SUCCESS,
                    among=f"{_counts(lines['targets'])} {TARGETS[goal]}; without poison "
                    f"{from_to(lines['control'], 3)}",
                    threat=_threat(lines, dose_in_words),
                )
            )
    return found


def _among(lines: "pd.DataFrame", column: str) -> str:
    """`268 ill patients`, `768 patients`."""
    return f"{count_told(lines[column].iloc[0])} {'ill ' * (column == 'ill')}patients"


def _counts(counts: "pd.Series") -> str:
    """`8`, `131 to 164`: a number for each defense."""
    return "few" if counts.isna().any() else from_to(counts)


def _threat(lines: "pd.DataFrame", dose: str) -> str:
    """Goal, what is known and written, and how much of it."""
    goals, knows, writes = (
        " or ".join(dict.fromkeys(lines[name])) for name in ("goal", "knowledge", "access")
    )
    return f"{goals}; knows {knows}; writes {writes} of {dose}"


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """At the headline dose: who is found after the worst attack on everybody, and the backdoor."""
    if not len(tables.get("poisoning", ())):
        return {}
    from pipeline.risks.poisoning.pair_tables import at_headline, worst_on_everybody

    at = at_headline(tables["poisoning"], cfg.section(PoisoningSettings).headline_dose)
    dose = _dose(at["dose"].iloc[0])
    found = by_defense(
        worst_on_everybody(at, AT_CLEAN), **{f"poisoned_sensitivity_{dose}": AT_CLEAN}
    )
    for name, figures in by_defense(
        at[at["goal"] == "backdoor"], **{f"backdoor_success_{dose}": SUCCESS}
    ).items():
        found[name] = found.get(name, {}) | figures
    return found


def shown(cfg: Config) -> Sequence[str]:
    """The backdoor."""
    numbers = cfg.section(PoisoningSettings)
    return (f"backdoor_success_{_dose(nearest_in(numbers.doses, numbers.headline_dose))}",)


def _dose(dose: float) -> str:
    return f"at_{100 * dose:g}pct" if dose < 1 else f"at_{dose:g}_records"


def plotted(tables: Tables, cfg: Config) -> "Mapping[str, pd.DataFrame]":
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
    metrics=metrics,
    plotted=plotted,
    shown=shown,
    staged="each",
    glossary={
        "poisoning": "records of the training set are changed or added, to do harm to the model",
        "backdoor": "poisoning that lets a mark in a record turn the model's answer",
    },
)
