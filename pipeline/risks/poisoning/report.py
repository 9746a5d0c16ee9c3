"""What is said of poisoning.

Which recipe loses how much, who still gets what they want, what filters find, what is certified.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.attacks.poisoning import ATTACKS, fitting
from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Fold,
    NotApplicable,
    Note,
    Part,
    Reader,
    Table,
)
from pipeline.presentation.numbers import count_told, interval_text
from pipeline.risks.poisoning.harm_tables import dose_name
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN, BACKDOOR, NONE, ONE_PATIENT
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.risks.poisoning.pair_tables import worst_on_everybody
from pipeline.risks.poisoning.pictures import draw, draw_certificate, draw_each
from pipeline.risks.poisoning.risk import RISK
from pipeline.risks.poisoning.shown import (
    SUCCESS,
    called_otherwise,
    every_attack,
    headline_dose,
    noticed,
    poisoned,
    shown_certificate,
    shown_filters,
    success,
    worst_attacks,
)
from pipeline.risks.risk import Context, Tables, nearest_of
from pipeline.risks.sentences import concluded, model_of, narrow, of_patients, said, whose

TITLE = "What poisoned training data do"
HOW = (
    "Every recipe is trained anew on poisoned records and scored on patients that it never "
    "saw, with the batches and seeds of the clean training. Intervals: bootstrap over "
    "patients, of success rates no narrower than Wilson's; trained models are taken as they "
    "are. In square brackets the same recipe, patients and models without poison. Attacks on "
    "everybody, by sensitivity where as many of the healthy are called ill as without poison, by "
    "the ranking (AUROC), and by sensitivity where the poisoned model draws the line itself: "
    "relabelled ill move that line, and whoever watches how many are called ill can move it back. "
    "adaptive_ attacks know the recipe and retrain it; the others know none. No attack is proved "
    "to be the worst. backdoor: of the ill rightly called so without poison, those called healthy "
    "with the trigger in their record; the trigger was chosen so that it does not look healthy "
    "by itself. one_patient (targeted): of the ill who are named, those called healthy."
)
FILTERING = (
    "Filters look at the training records of the undefended recipe and drop the most "
    "suspicious ones, without knowing how many are poisoned; majority drops whoever most "
    "of its neighbours disagree with, the others a fixed share. The recipe is then trained "
    "anew on what is left. Poison found and false alarms: shares of the poisoned and of "
    "the other records that were dropped, mean and range over the training sets; of a "
    "filter that sees nothing, both are the same. The figure: as above, not filtered and "
    "after; the change is paired, on the same training sets and patients."
)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: what poison does to every recipe, what filters find, and what is certified."""
    parts: list[Part] = []
    dose = context.cfg.section(PoisoningSettings).headline_dose
    unit = _unit(tables)
    table = tables.get("poisoning", pd.DataFrame())
    if len(table):
        dose = headline_dose(table, dose)
        parts += _harm(table, dose, context, folder)
        parts += _without_victims(table, context)
    if len(tables.get("filters", ())):
        filters = tables["filters"]
        parts.append(_filters(filters, headline_dose(filters, dose), unit))
    if len(tables.get("certificate", ())):
        parts.append(_certificate(tables["certificate"], unit, context, folder))
    if not parts:
        return ()
    found = finding(tables, context)
    brief: Mapping[Reader, Sequence[Part]] = (
        {"clinician": [Note(f"Poisoned training data. {found.text}", small=False)]} if found else {}
    )
    return (Chapter(TITLE, parts, _result(tables, context), brief),)


def finding(tables: Tables, context: Context) -> Finding | None:
    """Whom the worst poison costs their diagnosis; None: nothing was poisoned."""
    table = tables.get("poisoning", pd.DataFrame())
    if not len(table):
        return None
    name = whose(table)
    dose = headline_dose(table, context.cfg.section(PoisoningSettings).headline_dose)
    at = table[(table["defense"] == name) & (table["dose"] == dose)]
    crowd = worst_on_everybody(at, AT_CLEAN)
    if len(crowd):
        clean = table[(table["defense"] == name) & (table["attack"] == NONE)].iloc[0]
        return Finding(_of_everybody(crowd.iloc[0], clean, context), name)
    aimed = at.dropna(subset=SUCCESS)
    return Finding(_of_some(aimed.iloc[0], context), name) if len(aimed) else None


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if not len(tables.get("poisoning", ())):
        return ("Poisoned training data: nothing was measured.",)
    numbers = context.cfg.section(PoisoningSettings)
    images = context.cfg.data.image is not None
    left_out = [name for name in ATTACKS if name not in fitting(numbers.attacks, images=images)]
    trainings = "of the cross-validation" if context.cfg.plan.kind != "official" else "of the split"
    sentences = [
        "Poison in the order of images, triggers that no eye sees, several triggers."
        if images
        else "Poison in images, in the order of records, in the reference data of the schema.",
        "Clean-label poison and backdoors that are made for the recipe they meet: they are made "
        "against the undefended model. No attack is proved to be the worst.",
        f"Poison in other trainings: {numbers.repetitions} of {context.cfg.plan.seeds} repetitions "
        f"{trainings} were poisoned; the luck of a training, and of whom an attacker chose, "
        "is in no interval.",
    ]
    return (
        [*sentences, f"Poisoning attacks not run: {', '.join(left_out)}."]
        if left_out
        else (sentences)
    )


def _of_everybody(line: pd.Series, clean: pd.Series, context: Context) -> str:
    """The worst attack on everybody against one defense, in patients."""
    size = line["poisoned"] / line["poison_rate"]
    interval = interval_text(*(line[f"{AT_CLEAN}{end}"] for end in ("", "_low", "_high")))
    return (
        f"Whoever writes {line['access']} of {line['poisoned']:.0f} of about {size:.0f} training "
        f"records ({dose_name(line['dose'], str(line['unit']))}; {line['attack']}, knows "
        f"{line['knowledge']}) leaves {model_of(str(line['defense']), context)} "
        f"{of_patients(line[AT_CLEAN], line['ill'], context)} ill patients "
        f"(sensitivity {interval}) at as many false alarms as without poison; without poison it "
        f"finds {of_patients(clean[AT_CLEAN], line['ill'], context)}."
    )


def _of_some(line: pd.Series, context: Context) -> str:
    return (
        f"{line['attack']} ({dose_name(line['dose'], str(line['unit']))}, knows "
        f"{line['knowledge']}) succeeds against {model_of(str(line['defense']), context)} with "
        f"{success(line)}."
    )


def _result(tables: Tables, context: Context) -> str:
    found = finding(tables, context)
    sentences = [found.whole] if found else []
    if found:
        first = next(iter(RISK.headline(tables, context.cfg)), None)
        sentences.append(concluded(RISK.name, first, context) if first else "")
    if len(tables.get("certificate", ())):
        sentences.append(_certified(tables["certificate"], _unit(tables), context))
    return " ".join(text for text in sentences if text)


def _harm(table: pd.DataFrame, dose: float, context: Context, folder: Path) -> list[Part]:
    parts: list[Part] = []
    unit = str(table["unit"].iloc[0])
    crowd = table[table["goal"].isin(["availability", NONE])]
    aimed = table[table["goal"].isin(["backdoor", "targeted"])]
    drawn: list[Part] = []
    if (crowd["attack"] != NONE).any():
        found = finding({"poisoning": table}, context)
        parts.append(draw(table, dose, found.whole if found else "", context, folder))
        for measure, stem in (
            (AT_CLEAN, "poisoning_sensitivity"),
            ("auroc", "poisoning_auroc"),
            ("sensitivity", "poisoning_operating_point"),
        ):
            drawn.append(draw_each(crowd, measure, stem, context, folder))
    if len(aimed):
        drawn.append(draw_each(aimed, SUCCESS, "poison_success", context, folder))
    asked = table.dropna(subset="patients")
    who = (
        f"{count_told(asked['patients'].iloc[0])} patients, {count_told(asked['ill'].iloc[0])} of "
        "them ill"
        if len(asked)
        else "the patients, of whom too few are asked"
    )
    worst = worst_attacks(table, dose, context)
    if len(worst.columns) > 1:
        caption = f"Each defense under its worst attack, {poisoned(dose, unit)}; {who}"
        parts.append(Table(worst, caption=caption))
    moved: list[Part] = []
    if counts := noticed(table, dose, context):
        parts += said(f"Warning, seen in any clinic that counts whom it calls ill: {counts}.")
        moved = [Note(f"What is seen: {called_otherwise(table, dose, context)}.")]
    shown = every_attack(table, dose, context)
    return [
        *parts,
        Fold("How it was measured", [Note(f"{poisoned(dose, unit)}. {_how(context)}")]),
        Fold("Every attack", [*moved, *narrow(shown, ["attack", "figure"]), *drawn]),
    ]


def _how(context: Context) -> str:
    if context.cfg.data.image is None:
        return HOW
    side = context.cfg.section(PoisoningSettings).trigger_pixels
    return (
        f"{HOW} The trigger is a square of {side} x {side} white pixels in the lower right corner, "
        "as a marker on a film would be; nothing is proved of images here."
    )


def _without_victims(table: pd.DataFrame, context: Context) -> list[Part]:
    """What cannot be estimated, as there is nobody to be won."""
    attacks = context.cfg.section(PoisoningSettings).attacks
    clean = table[table["attack"] == NONE]
    ill = count_told(clean["ill"].iloc[0])
    parts: list[Part] = []
    if ONE_PATIENT in attacks and ONE_PATIENT not in set(table["attack"]):
        why = f"not estimable: 0 of {ill} ill patients are called ill by undefended models"
        parts.append(NotApplicable(ONE_PATIENT, why))
    stamped = table[table["attack"] == BACKDOOR]
    for defense, lines in stamped.groupby("defense", sort=False):
        if lines[SUCCESS].isna().all():
            why = f"not estimable: 0 of {ill} ill patients are called ill without poison"
            parts.append(NotApplicable(f"{BACKDOOR}, {context.display(str(defense))}", why))
    return parts


def _unit(tables: Tables) -> str:
    """What a poisoner is counted by: records, or patients with all of theirs."""
    for name in ("poisoning", "certificate"):
        table = tables.get(name, pd.DataFrame())
        if len(table) and "unit" in table:
            return str(table["unit"].iloc[0])
    return "records"


def _filters(table: pd.DataFrame, dose: float, unit: str) -> Fold:
    by_poison, clean = table[table["attack"] != NONE], table[table["attack"] == NONE]
    parts: list[Part] = [Note(FILTERING)]
    if len(by_poison):
        shown = shown_filters(by_poison[by_poison["dose"] == dose])
        parts += narrow(shown, ["attack", "filter"], f"{poisoned(dose, unit)}")
    if len(clean):
        shown = shown_filters(clean).drop(columns=["attack", "poison found"])
        parts.append(Table(shown, caption="What filtering costs where there is no poison"))
    return Fold("Finding and dropping poisoned records", parts)


def _certificate(table: pd.DataFrame, unit: str, context: Context, folder: Path) -> Fold:
    what = "training records" if unit == "records" else "patients with all their training records"
    how = (
        "Patients who are answered rightly, and provably still would be if somebody who knows "
        f"everything inserted, removed or relabelled so many {what}; one whose values are "
        "changed counts double. Patients are out of fold; intervals: bootstrap over patients. It "
        "says nothing of records that are forged at prediction time."
    )
    shows = _certified(table, unit, context)
    return Fold(
        "What no poison can do (proved)",
        [
            Note(how),
            Table(shown_certificate(table, unit, context)),
            draw_certificate(table, unit, shows, context, folder),
        ],
    )


def _certified(table: pd.DataFrame, unit: str, context: Context) -> str:
    """Of each certified defense: what stays right whoever poisons 5 records."""
    told = []
    count = nearest_of(table["records"], 5)
    for name, own in table[table["records"] == count].groupby("defense", sort=False):
        line = own.iloc[0]
        share = interval_text(*(line[f"certified_accuracy{end}"] for end in ("", "_low", "_high")))
        told.append(f"{context.display(str(name))} {share}")
    return (
        f"Proved to be answered rightly whoever inserts, removes or relabels {count:.0f} training "
        f"{unit}: {'; '.join(told)} of the patients."
    )
