"""What is said of a federation with somebody inside who does not keep to it."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from pipeline.presentation.chapter import Chapter, Finding, Fold, Items, Note, Part, Table
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.federation import hospital_report, pictures
from pipeline.risks.federation.measure.seen import GRADIENT, PRIVATE, SUM
from pipeline.risks.federation.measure.settings import PRIVATE_RECIPE, RECIPE, FederationSettings
from pipeline.risks.federation.risk import (
    MEASURED,
    RULES_TABLE,
    as_configured,
    read_most,
    told_first,
)
from pipeline.risks.federation.rules import GIVES_WAY, LOSS, OPEN, STANDS
from pipeline.risks.federation.tables import EVERYTHING, participant
from pipeline.risks.risk import Context, Tables

FIGURES = {"accuracy": "right answers", "sensitivity": "ill who are found"}
WORDS = {STANDS: STANDS, GIVES_WAY: GIVES_WAY, OPEN: "is not told to stand"}
TRAINED = {RECIPE: "as they are", PRIVATE_RECIPE: "private"}
HOSTILE, READ = "A hostile hospital in a federation", "What a federation gives away"
ATTACKS = (
    "In each model others are malicious. flips: they learn from turned diagnoses. boost: their "
    "update, ten times and backwards. backdoor: every second record that can hold the trigger "
    "carries it and is called healthy; boosted_backdoor: and the update is as large as it must be "
    "to be the mean. The others know what honest hospitals send in the same round. "
    "little_is_enough: each weight a little against what the honest learn, and never beyond what "
    "one of them sends. against_order: each weight beyond all of theirs, the most that a median or "
    "a trimmed mean can be moved back. against_krum: as far against it as Krum chooses it. min_max "
    "and min_sum: as far as honest ones are apart. tailored: of many such updates the one that "
    "leaves least progress under the rule in force. tailored_flips, tailored_backdoor: of many the "
    "one that brings that rule nearest to a model of turned diagnoses, or with the trigger. "
    "They look one round ahead, so they are the worst that is tried, and not the worst there is."
)
STANDING = (
    "A rule stands the attacks where the interval of none of their losses reaches above "
    f"{LOSS:g}: of the right answers, of the ill who are found, of the ill whom the trigger hides "
    "beyond those it hides without attack. It gives way where a loss is above that at the level of "
    "all of them together (Bonferroni). Between the two nothing is told. The strongest attack is "
    "chosen by the figure that is shown, so its figure is a little too bad."
)
PRIVATELY = (
    "Under differential privacy honest hospitals clip and add noise, malicious ones add none; the "
    "line from which on a patient is called ill is a public constant."
)
LINES = (
    "The line from which on a model calls a patient ill is chosen on training records as they are, "
    "as the recipe does; a hospital that lies about its scores, too, is not tried. Records of "
    "malicious hospitals are asked about like all others."
)
SERVER = (
    "The server knows the weights that it gave out, the number of records and the public constants."
    " The record behind a single gradient is a quotient of two of its parts; more are searched for "
    "(1 - cosine, three starts). A sum of hospitals is all that secure aggregation shows: of a "
    "gradient of each. Rebuilt records stand beside the true ones that they are nearest "
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
    return (_hostile(tables, context, folder), _read(tables), *hospital_report.chapters(tables))


def _hostile(tables: Tables, context: Context, folder: Path) -> Chapter:
    rules, table = tables[RULES_TABLE], tables[MEASURED]
    own = as_configured(rules)
    caption = (
        f"{_named(own.iloc[0])}; the strongest attack of {own['attacks'].iloc[0]}, all patients"
    )
    first = rules[rules["hospitals"] == own["hospitals"].iloc[0]]
    how = [Note(text) for text in (ATTACKS, STANDING, LINES, PRIVATELY, _concluding(context))]
    parts: list[Part] = [
        pictures.draw(first.assign(name=[_of(row) for row in first.to_dict("records")]), folder),
        Table(_standing(own), "numbers", caption),
        Items([*_told(tables), *_backdoors(own)]),
        Note(COHORT, small=False),
        Fold("How it was measured", how),
        Fold("The strongest attack on every federation", [Table(_standing(rules, whole=True))]),
        Fold("Every attack", [Table(_harmed(table), "numbers")]),
        Fold("Every comparison", [Table(_verdicts(tables["federation_verdicts"]), "numbers")]),
    ]
    return Chapter(HOSTILE, parts, _result(tables, context))


def _of(row: Mapping[Hashable, Any]) -> str:
    """`1 hostile`, `1 hostile, private`."""
    private = ", private" if row["defense"] == PRIVATE_RECIPE else ""
    return f"{row['malicious']} hostile{private}"


def _named(row: "Mapping[Hashable, Any] | pd.Series[Any]") -> str:
    return f"{row['hospitals']} hospitals, {_of(cast(Mapping[Hashable, Any], row))}"


def _read(tables: Tables) -> Chapter:
    seen = tables["federation_seen"]
    together = seen[seen["measurement"] == EVERYTHING]
    first = together[together["when"] == "first round"]
    shown = first[first["update"].isin([GRADIENT, PRIVATE, SUM])]
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
    """The worst attack on the configured federation, beside none; what the best rule leaves."""
    row = told_first(tables, context.cfg, RULES_TABLE).iloc[0]
    text = (
        f"{row['malicious']} hostile of {row['hospitals']} hospitals ({row['accuracy_attack']}) "
        f"leaves {_bounded(row, 'accuracy')} of all patients answered rightly under the rule "
        f"{row['aggregate']}; {_bounded(row, 'clean_accuracy')} without it."
    )
    others = as_configured(tables[RULES_TABLE])
    others = others[others["aggregate"] != row["aggregate"]]
    if not len(others):
        return text
    best = others.loc[others["accuracy"].idxmax()]
    stand = [str(name) for name in others.loc[others["verdict"] == STANDS, "aggregate"]]
    said = (
        f"every attack is stood by {', '.join(stand)}" if stand else "no rule is told to stand all"
    )
    return (
        f"{text} The worst attack on {best['aggregate']} ({best['accuracy_attack']}) leaves "
        f"{_bounded(best, 'accuracy')}; {said}."
    )


def _told(tables: Tables) -> list[tuple[str, str]]:
    """By federation: which rule stands, which gives way to what, and what each costs."""
    verdicts, said = tables["federation_verdicts"], []
    names = ["defense", "hospitals", "malicious"]
    for key, rows in tables[RULES_TABLE].groupby(names, sort=False):
        each = "; ".join(_word(row) for row in rows.to_dict("records"))
        same = (verdicts[names] == list(key)).all(axis=1)
        price = verdicts[same & (verdicts["against"] == "mean")]
        costs = price[price["verdict"] != "not told apart"]
        text = ""
        if len(price):
            text = " Nobody malicious, they cost, beside the mean, " + (
                "; ".join(f"{line['aggregate']} {_moved(line)}" for _, line in costs.iterrows())
                if len(costs)
                else "nothing that is told apart"
            )
        said.append((_named(rows.iloc[0]), f"{each}.{text}{'.' if text else ''}"))
    return said


def _word(row: Mapping[Hashable, Any]) -> str:
    """`median stands`, `krum gives way (tailored_backdoor)`."""
    why = f" ({row['why']})" if row["why"] else ""
    return f"{row['aggregate']} {WORDS[row['verdict']]}{why}"


def _moved(line: "pd.Series[Any]") -> str:
    return f"{FIGURES[str(line['figure'])]} {line['difference']:+.3f}"


def _backdoors(rules: pd.DataFrame) -> list[tuple[str, str]]:
    """Of the federation that is told first, whom the strongest backdoor turns, by rule."""
    each = [
        f"{line['aggregate']} {_bounded(line, 'attack_success_rate')} "
        f"({line['control']:.3f} without attack)"
        for _, line in rules.dropna(subset="attack_success_rate").iterrows()
    ]
    return [("A trigger hides, of the ill", f"{'; '.join(each)}.")] if each else []


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
    said = []
    for _, line in tables["federation_members"].iterrows():
        if line["who"] not in ("participant", "server") or line["attack"] == "steps of others":
            continue
        more, bound = "auroc_difference", line["auroc_bound"]
        apart = line[f"{more}_low"] > 0 or line[f"{more}_high"] < 0
        claim = (
            ""
            if bound != bound
            else (f" The claim allows {bound:.3f}, and {line['tpr_at_1pct_bound']:.3f} at 1 %.")
        )
        text = (
            f"AUROC {_bounded(line, 'auroc')}, at 1 % {_bounded(line, 'tpr_at_1pct')}; than "
            f"the model at the end alone {'different' if apart else 'not told apart'} "
            f"({line[more]:+.3f}).{claim}"
        )
        private = ", private" if line["defense"] == PRIVATE_RECIPE else ""
        said.append((f"{line['who']}{private}, {line['attack']}", text))
    return said


def _concluding(context: Context) -> str:
    wanted = context.cfg.section(FederationSettings)
    return (
        "Paired differences on the same patients, after Holm over all of one federation, at "
        f"{context.cfg.audit.confidence:.0%}: these models on new patients, {wanted.repetitions} "
        "repetitions averaged first; of other numbers of hospitals, of more hostile ones and of "
        "private ones one repetition."
    )


def _bounded(line: "pd.Series[Any]", name: str) -> str:
    return interval_text(*(float(line[f"{name}{end}"]) for end in ("", "_low", "_high")))


# ---- tables for people ----


def _standing(rules: pd.DataFrame, *, whole: bool = False) -> pd.DataFrame:
    """Of every rule what the strongest attack leaves, and the word."""
    named = {"federation": [_named(row) for row in rules.to_dict("records")]} if whole else {}
    words = [_word(row).partition(" ")[2] for row in rules.to_dict("records")]
    more = {"AUROC": with_interval(rules, "auroc")} if whole else {}
    return pd.DataFrame(
        {
            **named,
            "rule": rules["aggregate"].tolist(),
            "right, no attack": with_interval(rules, "clean_accuracy"),
            "right": with_interval(rules, "accuracy"),
            "missed, of the ill": with_interval(rules, "missed_diagnosis_rate"),
            **more,
            "hidden by the trigger": with_interval(rules, "attack_success_rate"),
            "the rule": words,
        }
    )


def _harmed(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "federation": [_named(row) for row in table.to_dict("records")],
            "rule": table["aggregate"].tolist(),
            "attack": table["attack"].tolist(),
            "right": with_interval(table, "accuracy"),
            "AUROC": with_interval(table, "auroc"),
            "missed, of the ill": with_interval(table, "missed_diagnosis_rate"),
            "hidden by the trigger": with_interval(table, "attack_success_rate"),
        }
    )


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "federation": [_named(row) for row in table.to_dict("records")],
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
    allowed = {
        name: ["" if one != one else f"{one:.3f}" for one in table[f"{figure}_bound"]]
        for name, figure in (("claim allows", "auroc"), ("claim allows, at 1 %", "tpr_at_1pct"))
    }
    return pd.DataFrame(
        {
            "hospitals": table["defense"].map(TRAINED).tolist(),
            "who": table["who"].tolist(),
            "reads": table["attack"].tolist(),
            "AUROC": with_interval(table, "auroc"),
            "found at 1 %": with_interval(table, "tpr_at_1pct"),
            **allowed,
        }
    )
