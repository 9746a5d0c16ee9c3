"""The entry of theft in `RISKS`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.config import BASELINE, Config
from pipeline.defenses import DEFENSES
from pipeline.files import BadInput
from pipeline.risks.risk import Figure, HeadlineFigure, Risk, Tables, curve, own
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.validation import check_names

if TYPE_CHECKING:
    import pandas as pd

CURVES = ("fidelity", "accuracy", "auroc", "evasion", "membership")


def check(cfg: Config, origin: str) -> None:
    """Refuses recipes in no registry, and budgets without the one where defenses are compared."""
    numbers = cfg.section(TheftSettings)
    check_names(numbers.recipes, DEFENSES, f"{origin}: theft.recipes", "defense")
    if BASELINE not in numbers.recipes:
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
            f"fidelity of a surrogate after {budget:g} queries, {victims} victims",
            "low",
            copies,
            "fidelity",
            pairs=tables.get("theft_pairs"),
            compared="fidelity",
        ),
    )


def figures(tables: Tables, name: str, cfg: Config) -> Iterator[Figure]:
    """Against the number of questions, by the headline strategy, of an API that answers plainly."""
    if "theft" not in tables:
        return
    table = own(tables, "theft", name)
    for _, line in table[
        (table["strategy"] == cfg.section(TheftSettings).headline) & (table["api"] == "plain")
    ].iterrows():
        for key in CURVES:
            yield Figure(
                f"theft/{line['access']}/{line['surrogate']}/{key}", line[key], int(line["budget"])
            )


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """The best copy's fidelity for each access, at the headline budget."""
    result: dict[str, dict[str, float]] = {}
    if "theft" in tables:
        table, numbers = tables["theft"], cfg.section(TheftSettings)
        asked = (table["strategy"] == numbers.headline) & (
            table["budget"] == numbers.headline_budget
        )
        for (defense, access), lines in table[asked & (table["api"] == "plain")].groupby(
            ["defense", "access"], sort=False
        ):
            result.setdefault(str(defense), {})[f"fidelity_{access}"] = round(
                float(lines["fidelity"].max()), 4
            )
    return result


def curves(tables: Tables, cfg: Config) -> "Mapping[str, pd.DataFrame]":
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
    figures=figures,
    metrics=metrics,
    curves=curves,
    steps={"theft": "queries"},
)
