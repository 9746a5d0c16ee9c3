"""What is said of poisoning.

Which recipe loses how much, who still gets what they want, what filters find, what is certified.
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.attacks.poisoning import POISON_FACTS
from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Heading,
    NotApplicable,
    Note,
    Part,
    Picture,
    Table,
)
from pipeline.presentation.numbers import count_told, interval_text, with_interval
from pipeline.presentation.pictures import COLOURS, axes_of, save_picture
from pipeline.risks.poisoning.harm_tables import dose_name
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN, BACKDOOR, NONE, ONE_PATIENT
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.risk import Context, Tables

WORST = ("AUROC", "sensitivity at clean false alarms", "sensitivity at the operating point")
# records, in the table of the page; certificate.csv has all
SHOWN_RECORDS = (0, 1, 2, 3, 5, 10, 15, 20, 30, 50)
# What is shown of each goal; the ranking first, because a moved line can be moved back.
SHOWN_FIGURES = {
    "availability": {
        "AUROC": "auroc",
        "sensitivity at clean false alarms": AT_CLEAN,
        "sensitivity at the operating point": "sensitivity",
        "share called ill": "share_called_ill",
    },
    "backdoor": {"success": "attack_success_rate"},
    "targeted": {"success": "attack_success_rate"},
}


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: what poison does to every recipe, what filters find, and what is certified."""
    parts: list[Part] = []
    dose = context.cfg.section(PoisoningSettings).headline_dose
    unit = _unit(tables)
    if len(tables.get("poisoning", ())):
        table = tables["poisoning"]
        parts += _harm(table, headline_dose(table, dose), folder, unit)
        parts += _without_victims(table, context.cfg.section(PoisoningSettings).attacks)
    if len(tables.get("filters", ())):
        parts += _filters(tables["filters"], headline_dose(tables["filters"], dose), unit)
    if len(tables.get("certificate", ())):
        parts += _certificate(tables["certificate"], folder, unit)
    return (Chapter("What poisoned training data do", parts),) if parts else ()


def finding(tables: Tables, context: Context) -> Finding | None:
    """The worst that was found, in one sentence; None: nothing was measured."""
    return None


def cover(tables: Tables, context: Context, folder: Path) -> Picture | None:
    """Its picture for the first screen; None: it has none."""
    return None


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    return ()


def _harm(table: pd.DataFrame, dose: float, folder: Path, unit: str) -> list[Part]:
    how = (
        "Every recipe is trained anew on poisoned records and scored on patients that it never "
        "saw, with the batches and seeds of the clean training. Intervals: bootstrap over "
        "patients, of success rates no narrower than Wilson's; trained models are taken as they "
        f"are. {_poisoned(dose, unit)}; in square brackets the "
        "same recipe, patients and models without poison. Attacks on everybody, by the ranking "
        "(AUROC), by sensitivity where as many of the healthy are called ill as without poison, "
        "and by sensitivity where the poisoned model draws the line itself: relabelled ill move "
        "that line, and whoever watches how many are called ill can move it back. adaptive_ "
        "attacks know the recipe and retrain it; the others know none. No attack is proved to be "
        "the worst. backdoor: of the ill rightly called so without poison, those called healthy "
        "with the trigger in their record; the trigger was chosen so that it does not look healthy "
        "by itself. one_patient: of the ill who are named, those called healthy."
    )
    parts: list[Part] = [Note(how)]
    if len(worst := worst_attacks(table, dose)):
        asked = table.dropna(subset="patients").iloc[0]
        who = f"{asked['patients']:.0f} patients, {count_told(asked['ill'])} of them ill"
        parts += [Note(f"Each defense under its worst attack ({who}):", small=False), Table(worst)]
    parts += [Note("Every attack:", small=False), Table(_shown(table, dose))]
    if moved := called_otherwise(table, dose):
        parts.append(
            Note(f"Warning, seen in any clinic that counts whom it calls ill: {moved}", small=False)
        )
    return [*parts, *draw(table, folder)]


def _without_victims(table: pd.DataFrame, attacks: Sequence[str]) -> list[Part]:
    """What cannot be estimated, as there is nobody to be won."""
    clean = table[table["attack"] == NONE]
    ill = count_told(clean["ill"].iloc[0])
    parts: list[Part] = []
    if ONE_PATIENT in attacks and ONE_PATIENT not in set(table["attack"]):
        why = f"not estimable: 0 of {ill} ill patients are called ill by undefended models"
        parts.append(NotApplicable(ONE_PATIENT, why))
    stamped = table[table["attack"] == BACKDOOR]
    for defense, lines in stamped.groupby("defense", sort=False):
        if lines["attack_success_rate"].isna().all():
            why = f"not estimable: 0 of {ill} ill patients are called ill without poison"
            parts.append(NotApplicable(f"{BACKDOOR}, {defense}", why))
    return parts


def _unit(tables: Tables) -> str:
    """What a poisoner is counted by: records, or patients with all of theirs."""
    for name in ("poisoning", "certificate"):
        table = tables.get(name, pd.DataFrame())
        if len(table) and "unit" in table:
            return str(table["unit"].iloc[0])
    return "records"


def _poisoned(dose: float, unit: str) -> str:
    """How much of what is poisoned."""
    owned = "" if unit == "records" else ", with all their records,"
    return f"{dose_name(dose, unit)} of a model's training {unit}{owned} poisoned"


def _filters(table: pd.DataFrame, dose: float, unit: str) -> list[Part]:
    poisoned, clean = table[table["attack"] != NONE], table[table["attack"] == NONE]
    parts: list[Part] = [
        Heading("Finding and dropping poisoned records"),
        Note(
            "Filters look at the training records of the undefended recipe and drop the most "
            "suspicious ones, without knowing how many are poisoned; majority drops whoever most "
            "of its neighbours disagree with, the others a fixed share. The recipe is then trained "
            "anew on what is left. Poison found and false alarms: shares of the poisoned and of "
            "the other records that were dropped, mean and range over the training sets; of a "
            "filter that sees nothing, both are the same. The figure: as above, not filtered and "
            "after; the change is paired, on the same training sets and patients."
        ),
    ]
    if len(poisoned):
        parts.append(Note(f"{_poisoned(dose, unit)}:", small=False))
        parts.append(Table(_shown_filters(poisoned[poisoned["dose"] == dose])))
    if len(clean):
        parts.append(Note("What filtering costs where there is no poison:", small=False))
        parts.append(Table(_shown_filters(clean).drop(columns=["attack", "poison found"])))
    return parts


def _certificate(table: pd.DataFrame, folder: Path, unit: str) -> list[Part]:
    lines = table[table["records"].isin(SHOWN_RECORDS)]
    what = "training records" if unit == "records" else "patients with all their training records"
    shown = pd.DataFrame(
        {
            "defense": lines["defense"],
            f"{unit} poisoned": lines["records"],
            "of which values may be changed": lines["changed"],
            "certified accuracy": with_interval(lines, "certified_accuracy"),
            "certified sensitivity": with_interval(lines, "certified_sensitivity"),
        }
    )
    how = (
        "Patients who are answered rightly, and provably still would be if somebody who knows "
        f"everything inserted, removed or relabelled so many {what}; one whose values are "
        "changed counts double. Patients are out of fold; intervals: bootstrap over patients. It "
        "says nothing of records that are forged at prediction time."
    )
    return [
        Heading("What no poison can do"),
        Note(how),
        Table(shown),
        draw_certificate(table, folder, unit),
    ]


def draw(table: pd.DataFrame, folder: Path) -> list[Picture]:
    """`poisoning.svg`: AUROC and both sensitivities against the dose.

    `poison_success.svg`: who gets what they want.
    """
    crowd = table[(table["goal"] == "availability") | (table["attack"] == NONE)]
    aimed = table[table["goal"].isin(["backdoor", "targeted"])]
    drawn = []
    if (crowd["attack"] != NONE).any():
        shows = "AUROC and sensitivity of each defense against the dose of poison"
        measures = ["auroc", AT_CLEAN, "sensitivity"]
        drawn.append(_panels(crowd, measures, folder / "poisoning.svg", shows))
    if len(aimed):
        shows = "success of backdoor and targeted attack on each defense against the dose of poison"
        drawn.append(_panels(aimed, ["attack_success_rate"], folder / "poison_success.svg", shows))
    return drawn


def _panels(table: pd.DataFrame, measures: list[str], path: Path, shows: str) -> Picture:
    """One row of panels for each measure, one column for each defense."""
    defenses = list(table["defense"].unique())
    figure, axes = axes_of(
        len(measures), len(defenses), (3.1 * len(defenses), 2.7 * len(measures) + 0.7)
    )
    doses = list(dict.fromkeys(table.loc[table["attack"] != NONE, "dose"]))
    places = np.arange(1, len(doses) + 1)
    for axis, (measure, defense) in zip(
        axes, [(m, d) for m in measures for d in defenses], strict=True
    ):
        lines = table[table["defense"] == defense]
        for colour, (attack, curve) in zip(
            cycle(COLOURS),
            lines[lines["attack"] != NONE].groupby("attack", sort=False),
            strict=False,
        ):
            clean = lines[lines["attack"] == NONE]
            start = pd.DataFrame(
                {f"{measure}{end}": curve["control"].iloc[:1] for end in ("", "_low", "_high")}
            )
            whole = pd.concat([clean if len(clean) else start, curve])
            x = np.r_[0, [1 + doses.index(dose) for dose in curve["dose"]]]
            axis.plot(
                x,
                whole[measure],
                marker="o",
                markersize=3,
                linewidth=1.2,
                color=colour,
                label=str(attack),
            )
            axis.fill_between(
                x,
                whole[f"{measure}_low"].astype(float),
                whole[f"{measure}_high"].astype(float),
                color=colour,
                alpha=0.1,
                linewidth=0,
            )
        names = [
            "none",
            *(dose_name(dose).replace(" records", "").replace(" record", "") for dose in doses),
        ]
        axis.set_xticks(np.r_[0, places], names, fontsize=7)
        axis.set(ylim=(-0.02, 1.02), title=str(defense) if measure == measures[0] else "")
    for row, measure in enumerate(measures):
        axes[row * len(defenses)].set_ylabel(measure.replace("_", " ").replace(" at ", "\nat "))
    for axis in axes[-len(defenses) :]:
        axis.set_xlabel("poison (records, or share of them)", fontsize=8)
    axes[0].legend(
        frameon=False, fontsize=7, loc="lower left" if measures[0] == "auroc" else "upper left"
    )
    return save_picture(figure, path, "Poisoned training data", shows)


def draw_certificate(table: pd.DataFrame, folder: Path, unit: str) -> Picture:
    """Certified accuracy and sensitivity against the number of poisoned records."""
    figure, axes = axes_of(1, 1, (5.2, 3.6))
    for defense, curve in table.groupby("defense", sort=False):
        for colour, figure_name in zip(
            COLOURS[1:], ("certified_accuracy", "certified_sensitivity"), strict=False
        ):
            label = f"{defense}: {figure_name.replace('_', ' ')}"
            axes[0].step(
                curve["records"], curve[figure_name], where="mid", color=colour, label=label
            )
            low, high = curve[f"{figure_name}_low"], curve[f"{figure_name}_high"]
            axes[0].fill_between(
                curve["records"], low, high, step="mid", color=colour, alpha=0.12, linewidth=0
            )
    axes[0].set(
        ylim=(0, 1),
        xlabel=f"training {unit} inserted, removed or relabelled",
        title="right, whoever poisons (proved)",
    )
    axes[0].legend(frameon=False, fontsize=8)
    return save_picture(
        figure,
        folder / "certificate.svg",
        "Certified against poisoned records",
        "certified accuracy and sensitivity against poisoned records",
    )


def headline_dose(table: pd.DataFrame, wanted: float) -> float:
    """The share nearest to the one wanted; of doses that are counts, the largest."""
    doses = [dose for dose in table["dose"].unique() if dose > 0]
    shares = [dose for dose in doses if dose < 1]
    nearest: float = min(shares, key=lambda dose: abs(dose - wanted)) if shares else max(doses)
    return nearest


def worst_attacks(table: pd.DataFrame, dose: float) -> pd.DataFrame:
    """One row per figure of the attacks on everybody, one column per defense.

    Each defense meets the attack that leaves it least, which is named; the control stands beside
    it.
    """
    crowd = table[(table["dose"] == dose) & (table["goal"] == "availability")]
    clean = table[table["attack"] == NONE].set_index("defense")
    lines: list[dict[str, str]] = []
    for figure in WORST if len(crowd) else ():
        measure = SHOWN_FIGURES["availability"][figure]
        line = {"figure": figure}
        for _, row in crowd.loc[crowd.groupby("defense", sort=False)[measure].idxmin()].iterrows():
            without = clean.loc[row["defense"], measure]
            line[str(row["defense"])] = (
                f"{in_words(row, measure)} by {row['attack']} [without: {without:.3f}]"
            )
        lines.append(line)
    return pd.DataFrame(lines)


def called_otherwise(table: pd.DataFrame, dose: float) -> str:
    """Whom poison gives itself away with: a share called ill that moved a lot; empty = nobody."""
    at = table[(table["dose"] == dose) & table["warning"].ne("none")]
    return "; ".join(
        f"{line['defense']} under {line['attack']}: {line['warning']}" for _, line in at.iterrows()
    )


def in_words(line: pd.Series, name: str) -> str:
    """A figure of one row with its interval."""
    return interval_text(*(float(line[f"{name}{end}"]) for end in ("", "_low", "_high")))


def _shown(table: pd.DataFrame, dose: float) -> pd.DataFrame:
    """One row per attack and figure, one column per defense."""
    at = table[table["dose"] == dose]
    clean = table[table["attack"] == NONE].set_index("defense")
    lines = []
    for attack, rows in at.groupby("attack", sort=False):
        for figure, measure in SHOWN_FIGURES[POISON_FACTS[str(attack)].goal].items():
            line = {"attack": str(attack), "figure": figure}
            for _, row in rows.iterrows():
                without = (
                    row["control"] if figure == "success" else clean.loc[row["defense"], measure]
                )
                line[str(row["defense"])] = f"{in_words(row, measure)} [without: {without:.3f}]"
            lines.append(line)
    return pd.DataFrame(lines)


def _shown_filters(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per attack and filter."""
    shown = []
    for _, line in lines.iterrows():
        measure = "accuracy" if line["attack"] == NONE else POISON_FACTS[str(line["attack"])].harms
        shown.append(
            {
                "attack": line["attack"],
                "filter": line["filter"],
                "poison found": in_words(line, "recall"),
                "false alarms": in_words(line, "false_alarm_rate"),
                "figure": "success" if measure == "attack_success_rate" else measure,
                "not filtered": in_words(line, f"{measure}_without"),
                "after filtering": in_words(line, measure),
                "change": in_words(line, f"{measure}_difference"),
            }
        )
    return pd.DataFrame(shown)
