"""What is said of the guard: its price, what passes it, what it gives away, what is noticed."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.presentation.chapter import Chapter, Finding, Fold, Items, Note, Part, Table
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.guard.measure.taken import SHADOWS
from pipeline.risks.guard.pictures import draw
from pipeline.risks.guard.risk import BEYOND, adaptive, of_everyone
from pipeline.risks.risk import Context, Tables

ANSWERED, GIVEN = "Answers behind a guard", "What the guard gives away, and what it notices"
FIGURES = {"referred": "fewer referred", "wrong": "fewer wrong answers", "missed": "fewer missed"}
PROMISE = (
    "The guard answers where it is proved that no admissible record within r is decided otherwise; "
    "it refers all others to a person. Of two such records that are decided differently each is a "
    "counterexample of the other, so neither is answered: whoever reaches at most r turns no "
    "answer. The promise is of turned answers. It says nothing of answers that are wrong without "
    "attack, and nothing beyond r."
)
ATTACKS = (
    "nearest presents the nearest record with another answer that the verifier finds, margin the "
    "one where that answer leads most (APGD): neither knows of the guard. adaptive climbs what the "
    "guard looks at, too, asks the verifier about all that anybody has, and presents one that is "
    "answered. His figures are what these searches found: at least so many pass. Wrong and missed "
    "count those who are so without attack; he also moves records that were wrong and referred "
    "until they are answered."
)
COPIED = (
    "Half of the patients whom a model holds out are the thief's, without diagnosis, and moved "
    "until there are enough; the other half tells how faithful the copy is. A referral costs a "
    "query and counts as a chance of one half. With shadow models: the models of other "
    "repetitions, behind the same guard; the recorded diagnosis is known."
)
NOTICED = (
    "Simulated at the rates measured here, with the channels and thresholds of the deployed guard: "
    "one false alarm in 10 000 queries for all of them. The attack begins with the first query, "
    "honest and attacked queries are drawn independently. Diagnoses count when they are confirmed, "
    "which may take weeks."
)
BEYOND_THIS = (
    "Behind the guard: attackers without gradients, copies by other strategies and other attacks "
    "on members, several keys that work together, images, and models that nothing is proved of.",
    "The people to whom the guard refers, who err too, and how many referrals they can read.",
)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """Two chapters: what is answered and who passes; what is given away and noticed."""
    if "guard_price" not in tables:
        return ()
    return (_answers(tables, context, folder), _gives(tables, context))


def _answers(tables: Tables, context: Context, folder: Path) -> Chapter:
    price, attacks = tables["guard_price"], tables["guard_attacks"]
    best = attacks[attacks["attacker"] == "adaptive"]
    named = best.assign(name=_names(best, context))
    whole = price[price["by"] == ""]
    parts: list[Part] = [
        draw(named, f"{context.cfg.audit.headline} threat", folder),
        Table(_priced(whole, context), "numbers", "All patients, nobody attacks; r 0: no guard"),
        Items(_told(tables, context)),
        Fold("How it was measured", [Note(PROMISE), Note(ATTACKS), Note(_concluding(context))]),
        Fold("Every attacker and reach", [Table(_attacked(attacks, context), "numbers")]),
        Fold("By diagnosis and group", [Table(_grouped(price, context), "numbers")]),
        Fold("Every comparison", [Table(_verdicts(tables["guard_verdicts"], context), "numbers")]),
    ]
    return Chapter(ANSWERED, parts, _result(tables, context))


def _gives(tables: Tables, context: Context) -> Chapter:
    theft, members = tables["guard_theft"], _asked_members(tables)
    first = theft["defense"].iloc[0]
    budget = theft["budget"].max()
    own = theft[(theft["defense"] == first) & (theft["budget"] == budget)]
    caption = f"Copies of {context.display(str(first))}'s models, {budget} queries"
    parts: list[Part] = [
        Table(_copies(own, context, short=True), "numbers", caption),
        Items([("Alarms", text) for text in noticed(tables, context)]),
        Fold("How it was measured", [Note(COPIED), Note(NOTICED)]),
        Fold("Every copy", [Table(_copies(theft, context), "numbers")]),
    ]
    if len(members):
        parts.append(Fold("Members", [Table(_members(members, context), "numbers")]))
    alarms = Table(_alarms(tables["guard_alarms"], context), "numbers")
    parts.append(Fold("Every delay", [alarms]))
    return Chapter(GIVEN, parts, _given(tables, context))


def _asked_members(tables: Tables) -> pd.DataFrame:
    """Its rows; none where the plan has one repetition, whose models have no others to compare."""
    return tables.get("guard_membership", pd.DataFrame())


def finding(tables: Tables, context: Context) -> Finding | None:
    """The price at `guard.r`, and who passes beyond it; None: nothing was measured."""
    if "guard_price" not in tables:
        return None
    return Finding(_result(tables, context), str(tables["guard_price"]["defense"].iloc[0]))


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if "guard_price" not in tables:
        return ("A guard that answers only what is proved: not measured.",)
    return BEYOND_THIS


# ---- what is said ----


def _result(tables: Tables, context: Context) -> str:
    """Of the first recipe at `guard.r`."""
    r = context.cfg.section(GuardSettings).r
    line = of_everyone(tables, r).iloc[0]
    beyond = _of(adaptive(tables, r, BEYOND), str(line["defense"]))
    text = (
        f"Where the guard answers only what is proved to eps {r:g}, it refers "
        f"{_bounded(line, 'referred')} of {context.display(str(line['defense']))}'s patients and "
        f"answers {_bounded(line, 'accuracy')} of the others rightly. {_nobody(tables, r)} "
    )
    return text + (
        f"Who reaches {beyond['reach']:g} times as far turns {_bounded(beyond, 'passed')} of all "
        "answers and is answered."
    )


def _nobody(tables: Tables, r: float) -> str:
    """The promise beside what the attack found; the stage fails where they disagree."""
    table = tables["guard_attacks"]
    inside = table[table["proved_none"] & (table["r"] == r)]
    if not len(inside):
        return "Nobody who reaches at most so far turns an answer: proved, and not attacked."
    if (inside["passed"] > 0).any():
        return "Records that are not admissible were turned within it; the guard must refuse these."
    return "Nobody who reaches at most so far turns an answer: proved, and attacked in vain."


def _told(tables: Tables, context: Context) -> list[tuple[str, str]]:
    """What is concluded of the recipes and radii, what the ill pay, and where the promise ends."""
    verdicts, r = tables["guard_verdicts"], context.cfg.section(GuardSettings).r
    said = []
    for kind, same in (("Another recipe", False), ("A larger radius", True)):
        own = verdicts[(verdicts["defense"] == verdicts["other"]) == same]
        own = own[own["r"] == r]
        for (name, other, other_r), lines in own.groupby(
            ["defense", "other", "other_r"], sort=False
        ):
            whom = f"r {other_r:g}" if same else context.display(str(other))
            said.append(
                (kind, f"{context.display(str(name))} at r {r:g} against {whom}: {_by(lines)}")
            )
    said += [("Who is referred", _ill(tables, context, r)), ("Where it ends", _ends(tables, r))]
    return [one for one in said if one[1]]


def _by(lines: pd.DataFrame) -> str:
    parts = [
        f"{FIGURES[line['figure']]}: {line['verdict']}"
        + ("" if line["verdict"] == "not told apart" else f" by {abs(line['difference']):.3f}")
        for line in lines.to_dict("records")
    ]
    return f"{'; '.join(parts)}."


def _ill(tables: Tables, context: Context, r: float) -> str:
    """Referrals of the ill beside those of the healthy, of every recipe."""
    table, target = tables["guard_price"], context.cfg.data.target
    own = table[(table["by"] == target) & (table["r"] == r)].dropna(subset="referred")
    said = []
    for name, lines in own.groupby("defense", sort=False):
        each = [f"{_bounded(line, 'referred')} of {line['group']}" for _, line in lines.iterrows()]
        said.append(f"{context.display(str(name))} {', '.join(each)}")
    return f"{'; '.join(said)}." if said else ""


def _ends(tables: Tables, r: float) -> str:
    """Who passes beyond r, of the first recipe."""
    table = tables["guard_attacks"]
    own = table[(table["attacker"] == "adaptive") & (table["r"] == r) & (table["reach"] > 1)]
    own = own[own["defense"] == table["defense"].iloc[0]]
    each = [f"{_bounded(line, 'passed')} at eps {line['eps']:g}" for _, line in own.iterrows()]
    return f"turned and answered, of all: {', '.join(each)}." if each else ""


def _given(tables: Tables, context: Context) -> str:
    """Copies and members through the guard, beside the same without it, of the first role."""
    wanted = context.cfg.section(GuardSettings)
    table, first = tables["guard_theft"], tables["guard_theft"]["defense"].iloc[0]
    text, budget = [], table["budget"].max()
    for role in wanted.roles:
        own = table[(table["defense"] == first) & (table["role"] == role)]
        own = own[own["budget"] == budget].set_index("r")
        text.append(
            f"{budget} answers to a {role} make a copy that agrees on "
            f"{_bounded(own.loc[wanted.r], 'fidelity')} of the patients; "
            f"{_bounded(own.loc[0.0], 'fidelity')} without the guard."
        )
    members = _asked_members(tables)
    if len(members):
        own = members[(members["defense"] == first) & (members["attack"] == SHADOWS)]
        with_it = own[own["r"] == wanted.r]
        worst = with_it.loc[with_it["auroc"].idxmax()]
        text.append(f"Members are told from others with an AUROC of {_bounded(worst, 'auroc')}.")
    return " ".join(text)


def noticed(tables: Tables, context: Context) -> list[str]:
    """Who is seen by which channel, of the first recipe, at the middle share of attacks."""
    table = tables["guard_alarms"]
    shares = sorted(table["share"].unique())
    share = shares[len(shares) // 2]
    own = table[(table["defense"] == table["defense"].iloc[0]) & (table["share"] == share)]
    return [
        f"{line['attacker']}, {share:.0%} are attacks, by {_channel(line)}: {_seen(line)}."
        for line in own.to_dict("records")
        if line["found"] == line["found"]
    ]


def _channel(line: Mapping[Hashable, Any]) -> str:
    return (
        "referrals of queries"
        if line["channel"] == "referrals"
        else "confirmed diagnoses of ill patients"
    )


def _seen(line: Mapping[Hashable, Any]) -> str:
    if line["events"] != line["events"]:
        return f"not seen within 4000 of them in {1 - line['found']:.0%} of the simulated streams"
    return f"seen after {line['events']:.0f} of them, the median"


def _concluding(context: Context) -> str:
    return (
        "Paired differences on the same patients, after Holm over all of them, at "
        f"{context.cfg.audit.confidence:.0%}: these models on new patients. Nobody attacks there."
    )


def _of(lines: pd.DataFrame, defense: str) -> "pd.Series[Any]":
    return lines[lines["defense"] == defense].iloc[0]


def _bounded(line: "pd.Series[Any]", name: str) -> str:
    return interval_text(*(float(line[f"{name}{end}"]) for end in ("", "_low", "_high")))


# ---- tables for people ----


def _names(table: pd.DataFrame, context: Context) -> list[str]:
    whose = table[["defense", "r"]].itertuples(index=False, name=None)
    return [_at(context.display(str(name)), r) for name, r in whose]


def _at(name: str, r: float) -> str:
    """The name of a recipe, its flags beside it, and its radius."""
    return f"{name}, r {r:g}"


def _whose(table: pd.DataFrame, context: Context) -> dict[str, list[str]]:
    return {
        "defense": [context.display(str(name)) for name in table["defense"]],
        "r": table["r"].map("{:g}".format).tolist(),
    }


def _priced(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **_whose(table, context),
            "referred": with_interval(table, "referred"),
            "right, of the answered": with_interval(table, "accuracy"),
            "wrong, of all": with_interval(table, "wrong"),
            "missed, of the ill": with_interval(table, "missed"),
        }
    )


def _grouped(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **_whose(table, context),
            "by": table["by"].tolist(),
            "group": table["group"].tolist(),
            "patients": table["patients"].tolist(),
            "referred": with_interval(table, "referred"),
            "right, of the answered": with_interval(table, "accuracy"),
            "found, of the ill answered": with_interval(table, "sensitivity"),
            "missed, of the ill": with_interval(table, "missed"),
        }
    )


def _attacked(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **_whose(table, context),
            "attacker": table["attacker"].tolist(),
            "eps": table["eps"].map("{:g}".format).tolist(),
            "turned": with_interval(table, "turned"),
            "turned and answered": with_interval(table, "passed"),
            "wrong and answered": with_interval(table, "wrong"),
            "missed, of the ill": with_interval(table, "missed"),
        }
    )


def _verdicts(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **_whose(table, context),
            "against": [
                _at(context.display(str(name)), r)
                for name, r in table[["other", "other_r"]].itertuples(index=False, name=None)
            ],
            "figure": table["figure"].map(FIGURES).tolist(),
            "difference": table["difference"].map("{:+.3f}".format).tolist(),
            "p": table["p"].map("{:.3f}".format).tolist(),
            "conclusion": table["verdict"].tolist(),
            "would have shown": table["smallest_detectable"].map("{:.3f}".format).tolist(),
        }
    )


def _copies(table: pd.DataFrame, context: Context, *, short: bool = False) -> pd.DataFrame:
    whose = _whose(table, context)
    shown = {
        "role": table["role"].tolist(),
        "sees": table["access"].str.replace("_", " ").tolist(),
        "r": whose["r"],
        "queries": [f"{budget:g}" for budget in table["budget"]],
        "referred": table["referred"].map("{:.3f}".format).tolist(),
        "copy agrees": with_interval(table, "fidelity"),
    }
    return pd.DataFrame(shown if short else {"defense": whose["defense"], **shown})


def _members(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    whose = _whose(table, context)
    return pd.DataFrame(
        {
            "defense": whose["defense"],
            "role": table["role"].tolist(),
            "sees": table["access"].str.replace("_", " ").tolist(),
            "r": whose["r"],
            "attack": table["attack"].tolist(),
            "AUROC": with_interval(table, "auroc"),
            "found at 1 %": with_interval(table, "tpr_at_1pct"),
        }
    )


def _alarms(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": [context.display(str(name)) for name in table["defense"]],
            "attacker": table["attacker"].tolist(),
            "eps": table["eps"].map("{:g}".format).tolist(),
            "channel": table["channel"].tolist(),
            "honest rate": table["honest"].map("{:.3f}".format).tolist(),
            "rate of attacks": [_number(one, ".3f") for one in table["attacked"]],
            "attacks, of all": table["share"].map("{:.0%}".format).tolist(),
            "seen": [_number(one, ".0%") for one in table["found"]],
            "median delay": [_number(one, ".0f") for one in table["events"]],
        }
    )


def _number(value: float, form: str) -> str:
    return "" if value != value else format(value, form)
