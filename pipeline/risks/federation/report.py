"""What is said of a federation with somebody inside who does not keep to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.presentation.chapter import Chapter, Finding, Fold, Items, Note, Part, Table
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.federation import hospital_report
from pipeline.risks.federation.measure.settings import RECIPE, FederationSettings
from pipeline.risks.federation.risk import MEASURED, NONE, read_most, told_first, worst
from pipeline.risks.federation.tables import EVERYTHING, participant
from pipeline.risks.risk import Context, Tables

FIGURES = {"accuracy": "right answers", "sensitivity": "ill who are found"}
HOSTILE, READ = "A hostile hospital in a federation", "What a federation gives away"
ATTACKS = (
    "In each model another hospital is malicious. flips: it learns from turned diagnoses. boost: "
    "its update, ten times and backwards. backdoor: every second record that can hold the trigger "
    "carries it and is called healthy; boosted_backdoor: and the update is as large as it must be "
    "to be the mean. little_is_enough: each weight a little against what the honest learn, and "
    "never beyond what one of them sends. against_krum: as far against it as Krum chooses it. "
    "tailored: of many such updates the one that leaves least progress under the rule in force. "
    "The last three know what honest hospitals send in the same round, so they are the worst that "
    "is tried, and not the worst there is."
)
LINES = (
    "The line from which on a model calls a patient ill is chosen on training records as they are, "
    "as the recipe does; a hospital that lies about its scores, too, is not tried. Records of "
    "malicious hospitals are asked about like all others."
)
SERVER = (
    "The server knows the weights that it gave out, the number of records and the public constants."
    " The record behind a single gradient is a quotient of two of its parts; more are searched for "
    "(1 - cosine, three starts). Rebuilt records stand beside the true ones that they are nearest "
    "to, which flatters every guess; so stand as many records of other hospitals, the second "
    "control. The first is the median elsewhere: what is known without any update."
)
INSIDE = (
    "Federations of random halves, each attacked with the others as its shadows (likelihood ratio)."
    " A participant asks about patients of another hospital: by the answers of the global model "
    "after each round, and by how much the steps of the others go along a record's own gradient, "
    "his own step taken out. The server asks by the step of the patient's own hospital."
)
COHORT = (
    "One cohort cut into hospitals is not real hospitals: these record otherwise, at other times, "
    "of patients who differ in more than what the cut is made by."
)
BEYOND = (
    "A federation whose hospitals are real, with their own devices and ways to record; hospitals "
    "that drop out, or join hands with the server; secure aggregation.",
    "A hospital that attacks once, late, or lies about how many records it has; rules of "
    "aggregation that remember earlier rounds.",
    "What the server reads if it gives out weights made for that purpose.",
)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """What hostile hospitals do; what a server and participants read; what hospitals gain."""
    if MEASURED not in tables:
        return ()
    return (_hostile(tables, context), _read(tables), *hospital_report.chapters(tables))


def _hostile(tables: Tables, context: Context) -> Chapter:
    own, table = told_first(tables, context.cfg), tables[MEASURED]
    caption = (
        f"{own['hospitals'].iloc[0]} hospitals, rule {own['aggregate'].iloc[0]}; all patients, out "
        "of fold"
    )
    parts: list[Part] = [
        Table(_harmed(own), "numbers", caption),
        Items(_told(tables)),
        Note(COHORT, small=False),
        Fold("How it was measured", [Note(ATTACKS), Note(LINES), Note(_concluding(context))]),
        Fold("Every number of hospitals and rule", [Table(_harmed(table, whole=True), "numbers")]),
        Fold("Every comparison", [Table(_verdicts(tables["federation_verdicts"]), "numbers")]),
    ]
    return Chapter(HOSTILE, parts, _result(tables, context))


def _read(tables: Tables) -> Chapter:
    seen = tables["federation_seen"]
    together = seen[seen["measurement"] == EVERYTHING]
    first = together[together["when"] == "first round"]
    shown = first[first["update"].isin(["gradient", "private gradient"])]
    by_name = seen[seen["measurement"] != EVERYTHING]
    parts: list[Part] = [
        Table(_seen(shown), "numbers", "What a server reads; mean error in units of scale"),
        Items(_members_told(tables)),
        Fold("How it was measured", [Note(SERVER), Note(INSIDE)]),
        Fold("Every kind of update", [Table(_seen(together, whole=True), "numbers")]),
        Fold("In clinical units", [Table(_seen(by_name, whole=True), "numbers")]),
        Fold("Members", [Table(_members(tables["federation_members"]), "numbers")]),
    ]
    return Chapter(READ, parts, _reading(tables))


def finding(tables: Tables, context: Context) -> Finding | None:
    """The worst attack under the configured rule; None: nothing was measured."""
    if MEASURED not in tables:
        return None
    return Finding(_result(tables, context), RECIPE, COHORT)


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if MEASURED not in tables:
        return ()
    return BEYOND


# ---- what is said ----


def _result(tables: Tables, context: Context) -> str:
    """The worst attack on the configured federation, beside none; the best rule beside it."""
    rows, row = told_first(tables, context.cfg), worst(tables, context.cfg)
    clean = rows[rows["attack"] == NONE].iloc[0]
    text = (
        f"{row['malicious']} hostile of {row['hospitals']} hospitals ({row['attack']}) leaves "
        f"{_bounded(row, 'accuracy')} of all patients answered rightly under the rule "
        f"{row['aggregate']}; {_bounded(clean, 'accuracy')} without it."
    )
    left = _least(tables[MEASURED], int(row["hospitals"]))
    left = left[left["aggregate"] != row["aggregate"]]
    if not len(left):
        return text
    best = left.loc[left["accuracy"].idxmax()]
    return (
        f"{text} The worst attack on {best['aggregate']} ({best['attack']}) leaves "
        f"{_bounded(best, 'accuracy')}."
    )


def _least(table: pd.DataFrame, hospitals: int) -> pd.DataFrame:
    """Of every rule the attack that leaves least."""
    rows = table[(table["hospitals"] == hospitals) & (table["attack"] != NONE)]
    return rows.loc[rows.groupby("aggregate", sort=False)["accuracy"].idxmin()]


def _told(tables: Tables) -> list[tuple[str, str]]:
    """By number of hospitals: what each rule loses, and costs without attack."""
    verdicts = tables["federation_verdicts"]
    said = []
    for (hospitals, aggregate), rows in verdicts.groupby(["hospitals", "aggregate"], sort=False):
        against, price = rows[rows["against"] == NONE], rows[rows["against"] == "mean"]
        worse = against[against["verdict"] == "worse"]
        text = (
            f"told to be worse under {_by_attack(worse)}"
            if len(worse)
            else "no attack is told apart from none; a loss of "
            f"{_shown(against, 'accuracy')} right answers, {_shown(against, 'sensitivity')} of the "
            "ill would have shown"
        )
        if len(price):
            costs = price[price["verdict"] != "not told apart"]
            text += "; nobody malicious, it costs, beside the mean, " + (
                ", ".join(_moved(line) for _, line in costs.iterrows())
                if len(costs)
                else "nothing that is told apart"
            )
        said.append((f"{hospitals} hospitals, {aggregate}", f"{text}."))
    return [*said, *_backdoors(tables[MEASURED])]


def _by_attack(worse: pd.DataFrame) -> str:
    """`boost (right answers -0.150, ill who are found -0.420)`, of every attack."""
    return ", ".join(
        f"{attack} ({', '.join(_moved(line) for _, line in lines.iterrows())})"
        for attack, lines in worse.groupby("attack", sort=False)
    )


def _moved(line: "pd.Series[Any]") -> str:
    return f"{FIGURES[str(line['figure'])]} {line['difference']:+.3f}"


def _shown(rows: pd.DataFrame, figure: str) -> str:
    """The largest of the differences that would have shown."""
    return f"{rows.loc[rows['figure'] == figure, 'smallest_detectable'].max():.3f}"


def _backdoors(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Of the first number of hospitals, whom the strongest backdoor turns, by rule."""
    rows = table[table["hospitals"] == table["hospitals"].iloc[0]]
    rows = rows.dropna(subset="attack_success_rate")
    if not len(rows):
        return []
    most = rows.loc[rows.groupby("aggregate", sort=False)["attack_success_rate"].idxmax()]
    each = [
        f"{line['aggregate']} {_bounded(line, 'attack_success_rate')} "
        f"({line['control']:.3f} without attack)"
        for _, line in most.iterrows()
    ]
    return [("A trigger hides, of the ill", f"{'; '.join(each)}.")]


def _reading(tables: Tables) -> str:
    """What the server reads of single records and of the largest batch; then the participant."""
    seen = tables["federation_seen"]
    rows = seen[(seen["measurement"] == EVERYTHING) & (seen["update"] == "gradient")]
    rows = rows[rows["when"] == "first round"]
    text, single, many = "", rows[rows["records"] == 1], read_most(tables)
    if len(single):
        text = (
            "Behind the gradient of one record the server reads "
            f"{_bounded(single.iloc[0], 'exact')} of the records to the last digit recorded. "
        )
    member = participant(tables)
    return (
        f"{text}Behind {many['records']} records it is off by {_bounded(many, 'error')} scales a "
        f"measurement; who sees no update by {_bounded(many, 'error_guess')}. A participant tells "
        f"members of other hospitals with an AUROC of {_bounded(member, 'auroc')}."
    )


def _members_told(tables: Tables) -> list[tuple[str, str]]:
    """Who finds members, at a false-positive rate of 1 %, beside whom the end alone tells."""
    table = tables["federation_members"].set_index("attack")
    said = []
    for name, line in table.iterrows():
        if line["who"] in ("participant", "server") and name != "steps of others":
            more = "auroc_difference"
            apart = line[f"{more}_low"] > 0 or line[f"{more}_high"] < 0
            text = (
                f"AUROC {_bounded(line, 'auroc')}, at 1 % {_bounded(line, 'tpr_at_1pct')}; than "
                f"the model at the end alone {'different' if apart else 'not told apart'} "
                f"({line[more]:+.3f})."
            )
            said.append((f"{line['who']}, {name}", text))
    return said


def _concluding(context: Context) -> str:
    wanted = context.cfg.section(FederationSettings)
    return (
        "Paired differences on the same patients, after Holm over all of them, at "
        f"{context.cfg.audit.confidence:.0%}: these models on new patients, {wanted.repetitions} "
        "repetitions averaged first."
    )


def _bounded(line: "pd.Series[Any]", name: str) -> str:
    return interval_text(*(float(line[f"{name}{end}"]) for end in ("", "_low", "_high")))


# ---- tables for people ----


def _harmed(table: pd.DataFrame, *, whole: bool = False) -> pd.DataFrame:
    whose = {
        "hospitals": table["hospitals"].map("{:g}".format).tolist(),
        "rule": table["aggregate"].tolist(),
    }
    shown = {
        "attack": table["attack"].tolist(),
        "right": with_interval(table, "accuracy"),
        "AUROC": with_interval(table, "auroc"),
        "missed, of the ill": with_interval(table, "missed_diagnosis_rate"),
        "hidden by the trigger": with_interval(table, "attack_success_rate"),
    }
    return pd.DataFrame({**whose, **shown} if whole else shown)


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "hospitals": table["hospitals"].map("{:g}".format).tolist(),
            "rule": table["aggregate"].tolist(),
            "attack": table["attack"].tolist(),
            "against": table["against"].tolist(),
            "figure": table["figure"].tolist(),
            "difference": table["difference"].map("{:+.3f}".format).tolist(),
            "p": table["p"].map("{:.3f}".format).tolist(),
            "conclusion": table["verdict"].tolist(),
            "would have shown": table["smallest_detectable"].map("{:.3f}".format).tolist(),
        }
    )


def _seen(table: pd.DataFrame, *, whole: bool = False) -> pd.DataFrame:
    shown = {
        "update": table["update"].tolist(),
        "records": table["records"].map("{:g}".format).tolist(),
        "read, off by": with_interval(table, "error"),
        "median elsewhere": with_interval(table, "error_guess"),
        "others' records": with_interval(table, "error_others"),
        "exactly": with_interval(table, "exact"),
    }
    if not whole:
        return pd.DataFrame(shown)
    return pd.DataFrame(
        {
            **shown,
            "when": table["when"].tolist(),
            "measurement": table["measurement"].tolist(),
            "unit": table["unit"].tolist(),
        }
    )


def _members(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "who": table["who"].tolist(),
            "reads": table["attack"].tolist(),
            "AUROC": with_interval(table, "auroc"),
            "found at 1 %": with_interval(table, "tpr_at_1pct"),
        }
    )
