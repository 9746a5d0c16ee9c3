"""The entry of theft in `RISKS`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.config import BASELINE, Config
from pipeline.defenses import DEFENSES
from pipeline.files import BadInput
from pipeline.presentation.numbers import count_told, counted
from pipeline.risks.risk import HeadlineFigure, Risk, Tables, by_defense, curve
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.validation import check_names

if TYPE_CHECKING:
    import pandas as pd


def check(cfg: Config, origin: str) -> None:
    """Refuses recipes in no registry, and budgets without the one where defenses are compared."""
    numbers = cfg.section(TheftSettings)
    check_names(numbers.recipes, DEFENSES, f"{origin}: theft.recipes", "defense")
    if numbers.recipes and BASELINE not in numbers.recipes:
        raise BadInput(
            f"{origin}: theft.recipes: must hold {BASELINE}, with which the others are compared"
        )
    if (
        numbers.budgets != sorted(set(numbers.budgets))
        or numbers.headline_budget not in numbers.budgets
    ):
        raise BadInput(f"{origin}: theft.budgets: must rise and hold theft.headline_budget")


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """The most faithful copy, whatever answers show, of a plain API."""
    if not len(tables.get("theft", ())):
        return ()
    from pipeline.risks.theft.tables import headline_copies

    copies = headline_copies(tables["theft"], cfg.section(TheftSettings).headline_budget)
    budget, victims = copies["budget"].iloc[0], copies["victims"].iloc[0]
    return (
        HeadlineFigure.of(
            f"fidelity of a surrogate after {budget:g} queries, {counted(victims, 'victim')}",
            "low",
            copies,
            "fidelity",
            pairs=tables.get("theft_pairs"),
            compared="fidelity",
            among=f"{count_told(copies['patients'].iloc[0])} test patients",
            threat=f"copy the model; {_or(copies, 'knowledge')}; sees {_or(copies, 'access')}; "
            f"{copies['queries'].max():g} queries",
        ),
    )


def _or(lines: "pd.DataFrame", column: str) -> str:
    return " or ".join(dict.fromkeys(lines[column]))


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """The fidelity of the copy of the headline."""
    if not len(tables.get("theft", ())):
        return {}
    from pipeline.risks.theft.tables import headline_copies

    copies = headline_copies(tables["theft"], cfg.section(TheftSettings).headline_budget)
    return by_defense(copies, **{_fidelity(copies["budget"].iloc[0]): "fidelity"})


def shown(cfg: Config) -> Sequence[str]:
    """That fidelity."""
    return (_fidelity(cfg.section(TheftSettings).headline_budget),)


def _fidelity(budget: float) -> str:
    return f"extraction_fidelity_{budget:g}"


def plotted(tables: Tables, cfg: Config) -> "Mapping[str, pd.DataFrame]":
    """Fidelity of the most faithful copy against the number of queries."""
    if not len(tables.get("theft", ())):
        return {}
    import pandas as pd

    from pipeline.risks.theft.tables import headline_copies

    table = tables["theft"]
    copies = [headline_copies(table, budget) for budget in sorted(table["budget"].unique())]
    found = pd.concat(copies).drop_duplicates(["defense", "budget"])
    return {"fidelity": curve(found.sort_values("queries", kind="stable"), "queries", "fidelity")}


RISK = Risk(
    name="theft",
    settings=TheftSettings,
    check=check,
    headline=headline,
    metrics=metrics,
    plotted=plotted,
    shown=shown,
    staged="each",
    glossary={
        "theft, model extraction": "training a copy from the model's answers",
        "fidelity": "the share of patients to whom a copy gives the same answer as the model",
    },
)
