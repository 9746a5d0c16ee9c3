"""What is said of safeguards: what they seem to gain, what they gain, and which of them survive."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import BASELINE
from pipeline.presentation.chapter import Chapter, Finding, Fold, Items, Note, Part, Table
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.risk import Context, Tables, nearest_in
from pipeline.risks.safeguards.measure.referred import CONTROL
from pipeline.risks.safeguards.measure.sanitised import NOTHING
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.risks.safeguards.pictures import draw
from pipeline.risks.safeguards.tables import middle
from pipeline.risks.safeguards.verdicts import ALGORITHM, LOT, REFER, SANITISE, SENSITIVITY

SANITISED, REFERRED = "Sanitised records", "Referred patients"
WORDS = {SANITISE: "Sanitise", REFER: "Refer", ALGORITHM: "More robust algorithms"}
KNOWN = (
    "Whoever ignores a sanitiser attacks the bare model (APGD on the margin), and what he made is "
    "sanitised. Whoever goes through it knows it: its own gradient where it has one (median, "
    "noise: the mean over draws), else a stand-in in the backward pass alone (rounding as if it "
    "were not there; JPEG with rounding that has a slope, too); he presents whichever image or "
    "record is worst, also of those that the other one made. Chance: the worst of some random "
    "changes of the same size. A sanitiser is in front of models that were trained without it."
)
REFERRAL = (
    "Every rule refers the same share of unchanged records: those that it doubts most, whatever "
    "their diagnosis. Whoever ignores it wants any wrong answer of the undefended model; whoever "
    "adapts to it a wrong answer with as little doubt as can be. ensemble: the mean of models "
    "with other seeds, near the line; disagreement: the variance of their probabilities; Laplace: "
    "how sure the last layer is; conformal: sets of each class by itself; margin: the control, how "
    "near the line the answer is; proved radius: how far the verifier finds no other answer."
)
SETS = (
    "A conformal set leaves out a class that would be unusual, by those who were set aside. Its "
    "promise is of patients who come as those did: not of another time, and not of an attacker."
)
BEYOND = (
    "Sanitisers that are trained (denoisers, autoencoders), models trained behind a sanitiser, and "
    "attacks on either without gradients.",
    "An attacker who looks for records that are wrong and proved beyond the smallest radius: he "
    "is given what other attacks made.",
)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """Two chapters: sanitisers, with what survives of every mitigation; and rules of referral."""
    if "sanitised" not in tables:
        return ()
    return (_of_sanitisers(tables, context, folder), _of_referral(tables, context))


def _of_sanitisers(tables: Tables, context: Context, folder: Path) -> Chapter:
    table = tables["sanitised"]
    named = table.assign(name=[_name(*one, context) for one in _whose(table)])
    eps, threat = _headline(table, context), context.cfg.audit.headline
    parts: list[Part] = [
        draw(named, f"{threat} threat", folder),
        Table(_sanitisers(named, eps), "numbers", f"Attacked within eps {eps:g}, {threat} threat"),
        Items(list(survivors(tables))),
        Fold("How it was measured", [Note(KNOWN), Note(_concluding(context))]),
        Fold("Every radius", [Table(_every(named), "numbers")]),
        Fold("Every comparison", [Table(_verdicts(tables["safeguard_verdicts"]), "numbers")]),
    ]
    return Chapter(SANITISED, parts, _result(tables, context))


def _of_referral(tables: Tables, context: Context) -> Chapter:
    table = tables["referred"]
    rate = middle(context.cfg.section(SafeguardsSettings).rates)
    eps = nearest_in(table.loc[table["eps"] > 0, "eps"], context.cfg.headline_radius)
    caption = (
        f"Missed and not referred, of the ill; wrong and not referred, of all; {rate:.0%} of "
        f"unchanged records are referred; eps {eps:g}"
    )
    parts: list[Part] = [
        Table(_rules(table, rate, eps), "numbers", caption),
        Fold("How it was measured", [Note(REFERRAL), Note(_concluding(context))]),
        Fold("Every rate and radius", [Table(_every_rule(table), "numbers")]),
        Fold("Conformal sets", [Note(SETS), Table(_sets(tables["conformal_sets"]), "numbers")]),
    ]
    return Chapter(REFERRED, parts, _referred(table, rate, eps))


def finding(tables: Tables, context: Context) -> Finding | None:
    """What the best sanitiser seems to be worth, and is worth; None: nothing was measured."""
    if "sanitised" not in tables:
        return None
    return Finding(_result(tables, context), BASELINE, _survive(tables))


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if "sanitised" not in tables:
        return ("Sanitised records and referral of the doubtful: not measured.",)
    return BEYOND


# ---- which survive ----


def survivors(tables: Tables) -> Iterator[tuple[str, str]]:
    """Each mitigation, and what is left of it against the adaptive attacker, by rule."""
    verdicts = tables["safeguard_verdicts"]
    for mitigation in (SANITISE, REFER, ALGORITHM):
        own = verdicts[verdicts["mitigation"] == mitigation]
        if len(own):
            yield WORDS[mitigation], _told(own, mitigation, tables)
    yield "What survives", _survive(tables)


def surviving(verdicts: pd.DataFrame, mitigation: str) -> list[str]:
    """Names that are told to be better against the adaptive attacker, and find no fewer ill.

    A rule is, where fewer wrong answers pass than if as many patients were referred by lot.
    """
    own = verdicts[verdicts["mitigation"] == mitigation]
    main = own["figure"].eq("accuracy") | own["against"].eq(LOT)
    better = own[main & (own["verdict"] == "better")]
    worse = own[(own["verdict"] == "worse") & (own["figure"] == SENSITIVITY)]
    return [str(name) for name in better["name"] if name not in set(worse["name"])]


def _survive(tables: Tables) -> str:
    verdicts = tables["safeguard_verdicts"]
    said = []
    for mitigation, words in WORDS.items():
        if (verdicts["mitigation"] == mitigation).any():
            names = surviving(verdicts, mitigation)
            said.append(f"{words.lower()}: {', '.join(names) if names else 'nothing'}")
    return f"Told to be better against who adapts to it: {'; '.join(said)}."


def _told(own: pd.DataFrame, mitigation: str, tables: Tables) -> str:
    """By verdict who it is of, by how much, and what a sanitiser only seemed to gain."""
    eps = f"attacker adapts, eps {own['eps'].iloc[0]:g}"
    if mitigation == REFER:
        by_lot, plain = (own[own["against"].eq(LOT) == lot] for lot in (True, False))
        text = f"fewer wrong answers pass ({eps}) than by lot: {_by_verdict(by_lot)}"
        return f"{text}. Than by {CONTROL} alone: {_by_verdict(plain)}."
    main = own[own["figure"] == "accuracy"]
    seeming = {
        str(line["name"]): _seeming(line, tables)
        for line in main.to_dict("records")
        if mitigation == SANITISE
    }
    against = "no sanitiser" if mitigation == SANITISE else "the undefended models"
    text = f"right answers against {against}, {eps}: {_by_verdict(main, seeming)}"
    cost = own[(own["figure"] != "accuracy") & (own["verdict"] == "worse")]
    names = {SENSITIVITY: "finds fewer ill under attack", "clean_accuracy": "worse without attack"}
    costs = [f"{line['name']} {names[line['figure']]}" for line in cost.to_dict("records")]
    return f"{text}. {'; '.join(costs)}." if costs else f"{text}."


def _by_verdict(lines: pd.DataFrame, beside: Mapping[str, str] | None = None) -> str:
    """`better: median by 0.100 (...); not told apart: bits`."""
    said = []
    for verdict in ("better", "worse", "not told apart"):
        own = lines[lines["verdict"] == verdict]
        each = [
            str(name)
            + ("" if verdict == "not told apart" else f" by {abs(value):.3f}")
            + (beside or {}).get(str(name), "")
            for name, value in zip(own["name"], own["difference"], strict=True)
        ]
        if each:
            said.append(f"{verdict}: {', '.join(each)}")
    return "; ".join(said) or "nothing was compared"


def _seeming(line: Mapping[Hashable, Any], tables: Tables) -> str:
    """What it seems to gain against an attacker who ignores it."""
    table = tables["sanitised"]
    at = table[(table["eps"] == line["eps"]) & (table["attacker"] == "ignoring")]
    value = at.loc[at["safeguard"] == line["name"], "accuracy"].iloc[0]
    bare = at.loc[(at["safeguard"] == NOTHING) & (at["defense"] == BASELINE), "accuracy"].iloc[0]
    return f" (it seems {value - bare:+.3f} where he ignores it)"


def _concluding(context: Context) -> str:
    return (
        "Only the adaptive attacker counts: better, worse or not told apart from paired "
        "differences on the same patients, after Holm over all figures of a mitigation, at "
        f"{context.cfg.audit.confidence:.0%}. A sanitiser or recipe survives where it is better "
        "in right answers and not worse in finding the ill; a rule where fewer wrong answers pass "
        "than if as many patients were referred by lot. These models on new patients."
    )


def _result(tables: Tables, context: Context) -> str:
    """The bare model, the best sanitiser by either attacker, and the recipes beside."""
    table = tables["sanitised"]
    eps = _headline(table, context)
    at = table[table["eps"] == eps]
    adaptive, ignoring = (at[at["attacker"] == one] for one in ("adaptive", "ignoring"))
    bare = adaptive[(adaptive["safeguard"] == NOTHING) & (adaptive["defense"] == BASELINE)]
    text = (
        f"Within eps {eps:g} of the threat model {context.cfg.audit.headline} the undefended model "
        f"is right of {_share(bare)}"
    )
    behind = ignoring[ignoring["safeguard"] != NOTHING]
    if len(behind):
        best = behind.sort_values("accuracy", ascending=False, kind="stable")["safeguard"].iloc[0]
        claimed, true = (one[one["safeguard"] == best] for one in (ignoring, adaptive))
        text += (
            f"; behind the sanitiser {best} of {_share(claimed)} where the attacker ignores it, "
            f"and of {_share(true)} where he goes through it"
        )
    for name in dict.fromkeys(adaptive.loc[adaptive["defense"] != BASELINE, "defense"]):
        own = adaptive[adaptive["defense"] == name]
        text += f"; {context.display(str(name))}'s model of {_share(own)}"
    return f"{text}."


def _referred(table: pd.DataFrame, rate: float, eps: float) -> str:
    """What passes by the control and by the best rule; and what is proved of none."""
    own = table[(table["rate"] == rate) & (table["eps"] == eps) & (table["attacker"] == "adaptive")]
    control = own[(own["rule"] == CONTROL) & (own["defense"] == BASELINE)].iloc[0]
    best = own.sort_values("undetected_missed", kind="stable").iloc[0]
    text = (
        f"Where {rate:.0%} are referred and the attacker knows the rule, eps {eps:g}, "
        f"{_bounded(control, 'undetected_missed')} of the ill are missed and not referred by the "
        f"{CONTROL} alone; the fewest, {_bounded(best, 'undetected_missed')}, by "
        f"{_rule(str(best['defense']), str(best['rule']))}"
    )
    proved = own[own["proved_to"].notna()]
    if len(proved):
        line = proved.sort_values("proved_to", ascending=False, kind="stable").iloc[0]
        text += (
            f"; of {_rule(str(line['defense']), str(line['rule']))} it is proved that no answer "
            f"that was right passes wrongly below eps {line['proved_to']:.3g}"
        )
    return f"{text}."


def _bounded(line: "pd.Series[float]", name: str) -> str:
    return interval_text(*(float(line[f"{name}{end}"]) for end in ("", "_low", "_high")))


def _share(lines: pd.DataFrame) -> str:
    return _bounded(lines.iloc[0], "accuracy")


# ---- tables for people ----


def _headline(table: pd.DataFrame, context: Context) -> float:
    return nearest_in(table.loc[table["eps"] > 0, "eps"], context.cfg.headline_radius)


def _whose(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    yield from table[["defense", "safeguard"]].astype(str).itertuples(index=False, name=None)


def _name(defense: str, safeguard: str, context: Context) -> str:
    if defense != BASELINE:
        return context.display(defense)
    return "undefended" if safeguard == NOTHING else safeguard


def _sanitisers(named: pd.DataFrame, eps: float) -> pd.DataFrame:
    """A row each: without attack, who ignores it, who goes through it; missed diagnoses first."""
    none, ignored, through = (
        named[(named["attacker"] == attacker) & (named["eps"] == at)]
        for attacker, at in (("none", 0), ("ignoring", eps), ("adaptive", eps))
    )
    return pd.DataFrame(
        {
            "": none["name"].tolist(),
            "missed, no attack": with_interval(none, "missed_diagnosis_rate"),
            "missed, ignored": with_interval(ignored, "missed_diagnosis_rate"),
            "missed, through": with_interval(through, "missed_diagnosis_rate"),
            "right, ignored": with_interval(ignored, "accuracy"),
            "right, through": with_interval(through, "accuracy"),
        }
    )


def _every(named: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "": named["name"],
            "attacker": named["attacker"],
            "eps": named["eps"].map("{:g}".format),
            "right": with_interval(named, "accuracy"),
            "missed": with_interval(named, "missed_diagnosis_rate"),
            "false alarms": with_interval(named, "false_alarm_rate"),
        }
    )


def _rule(defense: str, rule: str) -> str:
    return rule if defense == BASELINE else f"{defense}: {rule}"


def _rules(table: pd.DataFrame, rate: float, eps: float) -> pd.DataFrame:
    """A row a rule: what passes without attack, and of either attacker; what is proved of none."""
    own = table[table["rate"] == rate]
    none, ignored, adaptive = (
        own[(own["attacker"] == attacker) & (own["eps"] == at)]
        for attacker, at in (("none", 0), ("ignoring", eps), ("adaptive", eps))
    )
    whose = none[["defense", "rule"]].astype(str).itertuples(index=False, name=None)
    return pd.DataFrame(
        {
            "rule": [_rule(*one) for one in whose],
            "missed, no attack": with_interval(none, "undetected_missed"),
            "missed, ignored": with_interval(ignored, "undetected_missed"),
            "missed, adaptive": with_interval(adaptive, "undetected_missed"),
            "wrong, adaptive": with_interval(adaptive, "undetected"),
            "none turned below eps": [
                "" if one != one else f"{one:.3g}" for one in none["proved_to"]
            ],
        }
    )


def _every_rule(table: pd.DataFrame) -> pd.DataFrame:
    whose = table[["defense", "rule"]].itertuples(index=False)
    return pd.DataFrame(
        {
            "rule": [_rule(*one) for one in whose],
            "referred": table["referred"].map("{:.3f}".format),
            "attacker": table["attacker"],
            "eps": table["eps"].map("{:g}".format),
            "wrong and passed": with_interval(table, "undetected"),
            "of the turned, passed": with_interval(table, "passed"),
        }
    )


def _sets(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "attacker": table["attacker"],
            "eps": table["eps"].map("{:g}".format),
            "promised": table["promised"].map("{:.3f}".format),
            "holds the true class": with_interval(table, "coverage"),
            "of the ill": with_interval(table, "coverage_ill"),
            "both classes": with_interval(table, "two_classes"),
            "no class": with_interval(table, "no_class"),
        }
    )


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "mitigation": table["mitigation"],
            "name": table["name"],
            "against": table["against"],
            "figure": table["figure"].str.replace("_", " "),
            "difference": table["difference"].map("{:+.3f}".format),
            "p": table["p"].map("{:.3f}".format),
            "conclusion": table["verdict"],
            "would have shown": table["smallest_detectable"].map("{:.3f}".format),
        }
    )
