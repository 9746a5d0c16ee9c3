"""What is said of model theft.

How many queries a copy takes, what it is good for, and what hinders it.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.config import BASELINE
from pipeline.presentation.chapter import Chapter, Finding, Fold, Note, Part, Table
from pipeline.presentation.numbers import counted, with_interval
from pipeline.risks.risk import Context, Tables
from pipeline.risks.sentences import concluded, model_of, models_of_each, narrow, per_hundred, whose
from pipeline.risks.theft.measure.copies import EQUATIONS, TRUE_LABELS
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.risks.theft.measure.victims import PLAIN
from pipeline.risks.theft.pictures import draw, draw_all
from pipeline.risks.theft.risk import RISK
from pipeline.risks.theft.tables import best_copies, headline_copies

TITLE = "Who can copy the model by asking it"
ANSWERS = {
    "probabilities": "probabilities",
    "two_digits": "two digits",
    "one_digit": "one digit",
    "labels": "labels only",
    "diagnoses": "diagnoses",
}
FIGURES = ["fidelity", "accuracy", "auroc", "evasion", "membership"]
OF_RECORDS = (
    "logistic regression, an MLP or, of a victim that gives scores alone and by the headline "
    "strategy, boosted trees"
)
OF_IMAGES = "a linear model of all pixels or the configured network"
HOW = (
    "Victims are trained on random halves of the cohort, unlike the release model, because "
    "a model trained on everyone has no non-members. Of the others, half are the "
    "attacker's, without diagnoses, and half are for testing. A copy is {copy}: whichever "
    "resembles the victim most on the test patients, which flatters it a little. fidelity: test "
    "patients whom both give the same class. evasion: rightly answered patients of whom "
    "the victim is wrong about the record that was made on the copy, beside the same "
    "attack on the victim itself. membership: AUROC of the loss for who trained the victim "
    "(0.5 is guessing), of the copy and of the victim. diagnoses: no model was asked; that "
    "many diagnoses were known. Intervals: bootstrap over patients; victims and trainings of "
    "copies are taken as they are."
)
NOISE = (
    "Noise is a function of the record and a secret, so that asking again tells nothing "
    "new. Brier: 0.25 is a coin."
)


def chapters(tables: Tables, context: Context, folder: Path) -> Sequence[Chapter]:
    """One chapter: who can copy the model, which records to ask about, and what an API can do."""
    if not len(tables.get("theft", ())):
        return ()
    numbers = context.cfg.section(TheftSettings)
    table, strategy, budget = tables["theft"], numbers.headline, numbers.headline_budget
    at_budget = table["budget"] == budget
    copies = headline_copies(table, budget)
    others = best_copies(
        table[at_budget & (table["defense"] == BASELINE) & (table["api"] == PLAIN)]
    )
    copy = OF_IMAGES if context.dataset.schema.image else OF_RECORDS
    shown = _shown(_every_copy(table, strategy, budget), context)
    keys = ["defense", "sees", "copy"]
    by_strategy = [Note(theft_line(table, strategy, budget, context)), *narrow(shown, keys)]
    if len(others):
        by_strategy.append(Table(_strategies(others), caption="Which records to ask about"))
    parts: list[Part] = [
        draw(table, _sentence(table, budget, context), context, folder),
        Table(_headlines(copies, context), caption=_asked(copies, context)),
        Fold("How it was measured", [Note(HOW.format(copy=copy))]),
        Fold(
            f"Other attackers: strategy {strategy}, and what each answer shows",
            [*by_strategy, draw_all(table, strategy, context, folder)],
        ),
        Fold(
            "What an API can do, and what it costs an honest user",
            [Note(NOISE), Table(_answers(tables["theft_api"], context))],
        ),
    ]
    return (Chapter(TITLE, parts, _result(tables, context)),)


def finding(tables: Tables, context: Context) -> Finding | None:
    """How faithful a copy some queries buy; None: nothing was measured."""
    table = tables.get("theft", pd.DataFrame())
    if not len(table):
        return None
    budget = context.cfg.section(TheftSettings).headline_budget
    copies = headline_copies(table, budget)
    return _most_faithful(table, copies, context)


def untested(tables: Tables, context: Context) -> Sequence[str]:
    """What a reader could take for tested, and was not."""
    if not len(tables.get("theft", ())):
        return ("Model extraction: nothing was measured.",)
    victims = context.cfg.section(TheftSettings).victims
    return (
        "Model extraction by attackers who pool several accounts; detection of extraction by its "
        "queries; watermarks.",
        "Model extraction by other seeds of the attacker."
        if context.cfg.plan.frozen
        else f"Model extraction of the released model itself: {counted(victims, 'model')} of half "
        "of the patients were copied in its place, by one seed of the attacker.",
    )


def _sentence(table: pd.DataFrame, budget: int, context: Context) -> str:
    return _most_faithful(table, headline_copies(table, budget), context).whole


def _most_faithful(table: pd.DataFrame, copies: pd.DataFrame, context: Context) -> Finding:
    """The most faithful copy of the undefended model, beside no query at all."""
    name = whose(copies)
    line = copies[copies["defense"] == name].iloc[0]
    same = per_hundred(*(line[f"fidelity{end}"] for end in ("", "_low", "_high")))
    text = (
        f"After {line['budget']:.0f} queries (strategy {line['strategy']}, {line['knowledge']}, "
        f"answers: {ANSWERS[line['access']]}) a copy of {model_of(name, context)} gives "
        f"{same} test patients the same class."
    )
    alone = ""
    known = best_copies(table[(table["strategy"] == TRUE_LABELS) & (table["defense"] == name)])
    if len(known):
        most = known.sort_values("budget", kind="stable").iloc[-1]
        same = per_hundred(*(most[f"fidelity{end}"] for end in ("", "_low", "_high")))
        alone = (
            f"A model of {most['budget']:.0f} diagnoses of the attacker's own patients, without a "
            f"query: {same}."
        )
    return Finding(text, name, alone)


def _result(tables: Tables, context: Context) -> str:
    figure = next(iter(RISK.headline(tables, context.cfg)), None)
    more = concluded(RISK.name, figure, context) if figure else ""
    budget = context.cfg.section(TheftSettings).headline_budget
    return f"{_sentence(tables['theft'], budget, context)} {more}".strip()


def _asked(copies: pd.DataFrame, context: Context) -> str:
    line = copies.iloc[0]
    return (
        f"The most faithful copy after {line['budget']:.0f} queries, "
        f"{models_of_each(line['victims'], context, 'victim')}, test patients"
    )


def _headlines(copies: pd.DataFrame, context: Context) -> pd.DataFrame:
    """One row per defense: its most faithful copy, and what that is good for."""
    shown = pd.DataFrame({"defense": [context.display(name) for name in copies["defense"]]})
    shown["strategy, answers"] = [
        f"{strategy}, {ANSWERS[access]}"
        for strategy, access in zip(copies["strategy"], copies["access"], strict=True)
    ]
    shown["queries"] = copies["queries"].to_numpy()
    shown["fidelity"] = with_interval(copies, "fidelity")
    for column in ("evasion", "membership"):
        victim = copies[f"victim_{column}"]
        shown[f"{column} by the copy"] = [
            f"{cell} [victim: {value:.3f}]"
            for cell, value in zip(with_interval(copies, column), victim, strict=True)
        ]
    return shown


def _every_copy(table: pd.DataFrame, strategy: str, budget: int) -> pd.DataFrame:
    """By one strategy at one budget, beside equations and what known diagnoses teach."""
    asked = (table["budget"] == budget) & (table["strategy"] == strategy) & (table["api"] == PLAIN)
    main, solved = best_copies(table[asked]), table[table["strategy"] == EQUATIONS]
    known = best_copies(table[table["strategy"] == TRUE_LABELS])
    known = known[known["budget"] == known["budget"].max()]
    shown = pd.concat([main, solved, known])
    by_defense = [shown[shown["defense"] == name] for name in main["defense"].unique()]
    ordered: pd.DataFrame = pd.concat(by_defense)
    return ordered


def theft_line(table: pd.DataFrame, strategy: str, budget: int, context: Context) -> str:
    """One line: how faithful the best copy of the undefended model is, and where it is least.

    Training and what an API does to an answer count alike.
    """
    asked = table[(table["strategy"] == strategy) & (table["budget"] == budget)]
    best = best_copies(asked)
    whole = best["access"].iloc[0]
    undefended = (best["defense"] == BASELINE) & (best["api"] == PLAIN) & (best["access"] == whole)
    least = best.nsmallest(1, "fidelity")
    defense, api, access = (str(least[column].iloc[0]) for column in ("defense", "api", "access"))
    name = context.display(defense)
    name += "" if api == PLAIN else f" + {api}"
    name += "" if access == whole else f", {ANSWERS[access]}"
    start = ""
    if undefended.any():
        start = f"undefended {with_interval(best[undefended], 'fidelity')[0]} -> "
    least_text = with_interval(least, "fidelity")[0]
    return (
        f"Fidelity of a copy by strategy {strategy} after {budget} queries: {start}least "
        f"{least_text} ({name}), the smallest of {len(best)} figures, hence flattered by the "
        "choice; no conclusion."
    )


def _shown(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    shown = pd.DataFrame(
        {
            "defense": [context.display(name) for name in table["defense"]],
            "sees": table["access"].map(ANSWERS),
            "copy": table["surrogate"],
            "records": table["budget"],
            "queries counted": table["queries"],
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


def _answers(table: pd.DataFrame, context: Context) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": [context.display(name) for name in table["defense"]],
            "API": table["api"],
            "shows": table["access"].map(ANSWERS),
            "Brier": with_interval(table, "brier"),
            "AUROC": with_interval(table, "auroc"),
            "fidelity of a copy": with_interval(table, "fidelity"),
        }
    )
