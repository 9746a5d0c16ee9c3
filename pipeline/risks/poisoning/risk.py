"""The entry of poisoning in `RISKS`."""

from collections.abc import Iterator, Sequence

from pipeline.attacks.poisoning import ATTACKS
from pipeline.attacks.poisoning.goals import GOALS
from pipeline.config import BASELINE, Config
from pipeline.defenses import DEFENSES
from pipeline.files import BadInput
from pipeline.risks.poisoning.measure.filters import RULES
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.risk import Figure, HeadlineFigure, Risk, Tables, nearest_of, own
from pipeline.validation import check_names

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
    table = tables["poisoning"]
    dose = nearest_of(
        table.loc[table["dose"] > 0, "dose"], cfg.section(PoisoningSettings).headline_dose
    )
    dose_in_words = f"{100 * dose:g} % of the records" if dose < 1 else f"{dose:g} records"
    at, found = table[table["dose"] == dose], []
    crowd = at[at["goal"] == "availability"]
    for value, figure in ON_EVERYBODY.items():
        worst = crowd.loc[crowd.groupby("defense", sort=False)[value].idxmin()]
        if len(worst):
            found.append(
                HeadlineFigure.of(f"{figure}, {dose_in_words} poisoned", "high", worst, value)
            )
    for goal, figure in ON_SOME.items():
        lines = at[at["goal"] == goal].dropna(subset="attack_success_rate")
        if len(lines):
            found.append(
                HeadlineFigure.of(f"{figure}, {dose_in_words}", "low", lines, "attack_success_rate")
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


RISK = Risk(
    name="poisoning",
    settings=PoisoningSettings,
    check=check,
    headline=headline,
    figures=figures,
    steps={
        "poisoning": "the share of the records in thousandths",
        "certificate": "poisoned records",
    },
)
