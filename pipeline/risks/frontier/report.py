"""What is said of the price of privacy: what each epsilon costs, is worth, and was shown to be."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Fold,
    Heading,
    Items,
    Note,
    Part,
    Reader,
    Table,
)
from pipeline.presentation.numbers import interval_text, with_interval
from pipeline.risks.frontier.pictures import draw, labels
from pipeline.risks.risk import Context, Tables

SHORT = ("model", "epsilon", "accuracy", "sensitivity", "members found", "spends at least")
BRIEF = ("model", "epsilon", "members found", "spends at least")
NOT_COVERED = (
    "Not covered by any of these epsilons: the choice of steps, learning rate and clipping, made "
    "once for all of them; publishing several of these models, whose budgets add up and whose "
    "noise is the same but for its size, so that two of them cancel part of it; thresholds and "
    "this page's figures; a patient with several records; readers who know the noise's seed."
)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: what each epsilon costs, and what it is worth against an attacker."""
    table = tables.get("frontier", pd.DataFrame())
    if not len(table):
        return ()
    said = _sentence(table)
    shown, model = _shown(table), table["model"].iloc[0]
    first = [name for name in SHORT if name in shown]
    others = ["model", "epsilon", *(name for name in shown if name not in first)]
    own = table["model"] == model
    parts: list[Part] = [
        draw(table, said, folder),
        Table(shown.loc[own, first], caption=f"The {model} models at each epsilon"),
        Fold("Every kind of model", [Table(shown[first]), Table(shown[others])]),
        Fold(
            "How it was measured, and what is not covered", [Note(_how(table)), Note(NOT_COVERED)]
        ),
    ]
    parts += [Note(text, small=False) for text in above_the_claim(table)]
    brief = _brief(table, shown.loc[own, [*BRIEF]])
    return (Chapter("What privacy costs", parts, said, brief),)


def finding(tables: Tables, context: Context) -> Finding | None:
    """What the strictest epsilon costs, claimed and audited; None: nothing was measured."""
    table = tables.get("frontier", pd.DataFrame())
    return _strictest(table) if len(table) else None


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if not len(tables.get("frontier", ())):
        return ("What other epsilons cost: not measured.",)
    return (
        "Differential privacy of the choices around a training: steps, learning rate, clipping, "
        "thresholds.",
        "Membership attacks on the curve's models other than one "
        f"({tables['frontier']['attack'].iloc[0]}): the strongest of all is only known of the "
        "defenses.",
    )


def above_the_claim(table: pd.DataFrame) -> list[str]:
    """Audits whose bound lies above what is claimed: a sentence each."""
    claims = table.dropna(subset="epsilon_claimed")
    over = claims[claims["epsilon_lower_bound"] > claims["epsilon_claimed"]]
    return [
        f"{line['model']} at epsilon {line['epsilon_claimed']:.3g}: the audit's lower bound, "
        f"{line['epsilon_lower_bound']:.3f}, lies above the claim. Each of {len(claims)} bounds "
        "holds with 95 %, not all of them together."
        for line in over.to_dict("records")
    ]


def _sentence(table: pd.DataFrame) -> str:
    return _strictest(table).whole


def _strictest(table: pd.DataFrame) -> Finding:
    """The strictest epsilon of the first kind of model, beside the same without noise."""
    own = table[table["model"] == table["model"].iloc[0]]
    claimed = own.dropna(subset="epsilon_claimed").sort_values("epsilon_claimed")
    plain = own[own["epsilon_claimed"].isna()]
    if not len(claimed):
        return Finding(f"No epsilon is claimed of {table['model'].iloc[0]} models.")
    line = claimed.iloc[0]
    text = (
        f"At epsilon {line['epsilon_claimed']:.3g} (delta {line['delta']:g}) {line['model']} "
        f"models answer {_bounded(line, 'accuracy')} of the patients rightly and find "
        f"{_bounded(line, 'sensitivity')} of the ill"
    )
    if len(plain):
        text += (
            f", without noise {_bounded(plain.iloc[0], 'accuracy')} and "
            f"{_bounded(plain.iloc[0], 'sensitivity')}"
        )
    most = claimed.iloc[-1]
    spans = f"of the {line['epsilon_claimed']:.3g} claimed"
    shown = f"at least {line['epsilon_lower_bound']:.2f} {spans}"
    if len(claimed) > 1:
        shown += (
            f", {most['epsilon_lower_bound']:.2f} of {most['epsilon_claimed']:.3g} at the other end"
        )
    audited = f"An audit that sees every noisy gradient shows {shown}. Costs are not paired."
    return Finding(f"{text}.", "", audited)


def _bounded(line: pd.Series, name: str) -> str:
    return interval_text(line[name], line[f"{name}_low"], line[f"{name}_high"])


def _how(table: pd.DataFrame) -> str:
    first, silent = table.iloc[0], table[table["epsilon_claimed"].isna()]
    power = ", ".join(
        f"{line['model']} {line['epsilon_lower_bound']:.2f}" for _, line in silent.iterrows()
    )
    control = (
        f" Without noise, where epsilon has no limit, it shows {power}." if len(silent) else ""
    )
    return (
        f"The same models at several epsilons, delta {first['delta']:g}, one record added or "
        f'removed; only the noise differs. "members found": recognised by {first["attack"]} on '
        f"{first['targets']} models of each epsilon, each trained on a random half, while 1 % of "
        f"the others are taken for members. {_what_was_proved(first)}"
        'Intervals: bootstrap over patients. "spends at least": shown by '
        "an auditor who sees every noisy gradient, and the most that so many guesses could have "
        f"shown.{control}"
    )


def _what_was_proved(line: pd.Series) -> str:
    if pd.isna(line["proved_accuracy"]):
        return "What an attacker can change was not asked of these models. "
    return (
        f'"proved": answered rightly, whatever is forged within eps {line["radius"]:g} of the '
        f'threat model {line["threat"]}; "at least" where some patients are undecided. '
    )


def _brief(table: pd.DataFrame, shown: pd.DataFrame) -> Mapping[Reader, Sequence[Part]]:
    """For a data protection officer: what is claimed, what was shown, and who is still found."""
    entries = [("Audit above the claim", text) for text in above_the_claim(table)]
    return {"privacy": [Heading("Differential privacy"), Items(entries), Table(shown)]}


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    proved = [
        cell if exact else f"at least {cell}"
        for cell, exact in zip(
            with_interval(table, "proved_accuracy"), table["proved_exact"], strict=True
        )
    ]
    spends = zip(table["epsilon_lower_bound"], table["epsilon_ceiling"], strict=True)
    shown = pd.DataFrame(
        {
            "model": _marked(table),
            "epsilon": labels(table),
            "noise": table["noise_multiplier"].map("{:.2f}".format),
            "accuracy": with_interval(table, "accuracy"),
            "AUROC": with_interval(table, "auroc"),
            "sensitivity": with_interval(table, "sensitivity"),
            "proved": proved,
            "members found": with_interval(table, "lira_tpr_at_1pct"),
            "AUROC of the attack": with_interval(table, "lira_auroc"),
            "spends at least": [f"{low:.2f} (of {most:.2f})" for low, most in spends],
        }
    )
    return shown.drop(columns=["proved"]) if table["proved_accuracy"].isna().all() else shown


def _marked(table: pd.DataFrame) -> list[str]:
    """A degenerate model says so wherever it is named."""
    marks: Any = zip(table["model"], table["degenerate"], strict=True)
    return [f"{model} [degenerate]" if degenerate else str(model) for model, degenerate in marks]
