"""What is said of model theft.

How many questions a copy takes, what it is good for, and what hinders it.
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pandas as pd

from pipeline.config import BASELINE
from pipeline.presentation.chapter import Chapter, Finding, Heading, Note, Part, Picture, Table
from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import COLOURS, axes_of, save_picture
from pipeline.risks.risk import Context, Tables
from pipeline.risks.theft.measure.copies import EQUATIONS, TRUE_LABELS
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.risks.theft.measure.victims import PLAIN

ANSWERS = {
    "probabilities": "probabilities",
    "two_digits": "two digits",
    "one_digit": "one digit",
    "labels": "labels only",
    "diagnoses": "diagnoses",
}
FIGURES = ["fidelity", "accuracy", "auroc", "evasion", "membership"]


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: who can copy the model, which records to ask about, and what an API can do."""
    if not len(tables.get("theft", ())):
        return ()
    numbers = context.cfg.section(TheftSettings)
    table, strategy, budget = tables["theft"], numbers.headline, numbers.headline_budget
    at_budget = table["budget"] == budget
    main = best_copies(table[at_budget & (table["strategy"] == strategy) & (table["api"] == PLAIN)])
    solved, known = (
        table[table["strategy"] == EQUATIONS],
        best_copies(table[table["strategy"] == TRUE_LABELS]),
    )
    known = known[known["budget"] == known["budget"].max()]
    shown = pd.concat([main, solved, known])
    shown = pd.concat([shown[shown["defense"] == name] for name in main["defense"].unique()])
    others = best_copies(
        table[at_budget & (table["defense"] == BASELINE) & (table["api"] == PLAIN)]
    )
    parts: list[Part] = [
        Note(theft_line(table, strategy, budget)),
        Note(
            "Victims are trained on random halves of the cohort, unlike the release model, because "
            "a model trained on everyone has no non-members. Of the others, half are the "
            "attacker's, without diagnoses, and half are for testing. A copy is an MLP or logistic "
            "regression, whichever resembles the victim more on the test patients. fidelity: test "
            "patients whom both give the same class. evasion: rightly answered patients of whom "
            "the victim is wrong about the record that was made on the copy, beside the same "
            "attack on the victim itself. membership: AUROC of the loss for who trained the victim "
            "(0.5 is guessing), of the copy and of the victim. diagnoses: no model was asked; that "
            "many diagnoses were known. Intervals: bootstrap over patients."
        ),
        Table(_shown(shown)),
        draw(table, strategy, folder),
    ]
    if len(others):
        parts += [Heading("Which records to ask about"), Table(_strategies(others))]
    parts += [
        Heading("What an API can do, and what it costs an honest user"),
        Note(
            "Noise is a function of the record and a secret, so that asking again tells nothing "
            "new. Brier: 0.25 is a coin."
        ),
        Table(_answers(tables["theft_api"])),
    ]
    return (Chapter("Who can copy the model by asking it", parts),)


def best_copies(table: pd.DataFrame) -> pd.DataFrame:
    """Of the copies by the same attacker, the kind that resembles the victim most."""
    key = ["defense", "strategy", "api", "access", "budget"]
    return table.loc[table.groupby(key, sort=False)["fidelity"].idxmax()]


def draw(table: pd.DataFrame, strategy: str, folder: Path) -> Picture:
    """Fidelity against the number of questions, one panel per defense, one line per access.

    Dashed, what diagnoses teach.
    """
    best = best_copies(table)
    defenses = list(best["defense"].unique())
    figure, axes = axes_of(1, len(defenses), (3.4 * len(defenses), 3.6))
    for axis, defense in zip(axes, defenses, strict=True):
        lines = best[best["defense"] == defense]
        asked = lines[(lines["strategy"] == strategy) & (lines["api"] == PLAIN)]
        for colour, (access, curve) in zip(
            cycle(COLOURS), asked.groupby("access", sort=False), strict=False
        ):
            axis.plot(
                curve["budget"],
                curve["fidelity"],
                color=colour,
                marker=".",
                linewidth=1.2,
                label=ANSWERS[str(access)],
            )
            axis.fill_between(
                curve["budget"],
                curve["fidelity_low"],
                curve["fidelity_high"],
                color=colour,
                alpha=0.1,
                linewidth=0,
            )
        known = lines[lines["strategy"] == TRUE_LABELS]
        axis.plot(
            known["budget"],
            known["fidelity"],
            "--",
            color="#767676",
            marker=".",
            label="no model: diagnoses",
        )
        axis.set(
            xscale="log",
            ylim=(0.6, 1),
            title=str(defense),
            xlabel="records asked about (or diagnoses)",
        )
    axes[0].set_ylabel("same class as the victim")
    axes[-1].legend(frameon=False, fontsize=7, loc="lower right")
    figure.suptitle(
        f"model theft, strategy {strategy}, the better of two copies, test patients", fontsize=10
    )
    return save_picture(
        figure,
        folder / "theft.svg",
        "Fidelity of a copy",
        "fidelity of copies against the number of records asked about",
    )


def theft_line(table: pd.DataFrame, strategy: str, budget: int) -> str:
    """One line: how faithful the best copy of the undefended model is, and where it is least.

    Training and what an API does to an answer count alike.
    """
    asked = table[(table["strategy"] == strategy) & (table["budget"] == budget)]
    best = best_copies(asked)
    whole = best["access"].iloc[0]
    undefended = (best["defense"] == BASELINE) & (best["api"] == PLAIN) & (best["access"] == whole)
    least = best.nsmallest(1, "fidelity")
    defense, api, access = (str(least[column].iloc[0]) for column in ("defense", "api", "access"))
    name = defense if api == PLAIN else f"{defense} + {api}"
    name += "" if access == whole else f", {ANSWERS[access]}"
    start = ""
    if undefended.any():
        start = f"undefended {with_interval(best[undefended], 'fidelity')[0]} -> "
    least_text = with_interval(least, "fidelity")[0]
    return (
        f"Fidelity of a copy after {budget} questions: {start}least {least_text} ({name}), "
        f"the smallest of {len(best)} figures, hence flattered by the choice; no conclusion."
    )


def finding(tables: Tables, context: Context) -> Finding | None:
    """The worst that was found, in one sentence; None: nothing was measured."""
    return None


def cover(tables: Tables, context: Context, folder: Path) -> Picture | None:
    """Its picture for the first screen; None: it has none."""
    return None


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    return ()


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    shown = pd.DataFrame(
        {
            "defense": table["defense"],
            "sees": table["access"].map(ANSWERS),
            "copy": table["surrogate"],
            "records": table["budget"],
            "questions counted": table["queries"],
        }
    )
    for column in FIGURES:
        shown[column] = with_interval(table, column)
        if column in ("evasion", "membership"):
            shown[f"{column}, victim"] = with_interval(table, f"victim_{column}")
    return shown


def _strategies(table: pd.DataFrame) -> pd.DataFrame:
    """Fidelity by strategy and access, undefended."""
    shown = table.assign(
        fidelity=with_interval(table, "fidelity"), access=table["access"].map(ANSWERS)
    )
    wide = shown.pivot(index=["strategy", "knowledge"], columns="access", values="fidelity")
    order = (
        shown.drop_duplicates(["strategy", "knowledge"]).set_index(["strategy", "knowledge"]).index
    )
    return (
        wide.loc[order, list(dict.fromkeys(shown["access"]))]
        .reset_index()
        .rename_axis(columns=None)
    )


def _answers(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": table["defense"],
            "API": table["api"],
            "shows": table["access"].map(ANSWERS),
            "Brier": with_interval(table, "brier"),
            "AUROC": with_interval(table, "auroc"),
            "fidelity of a copy": with_interval(table, "fidelity"),
        }
    )
