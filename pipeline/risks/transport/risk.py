"""The entry of transport in `RISKS`."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.defenses import DEFENSES
from pipeline.presentation.numbers import count_told
from pipeline.risks.risk import HeadlineFigure, Risk, Tables
from pipeline.risks.transport.measure.settings import TransportSettings
from pipeline.validation import check_names

if TYPE_CHECKING:
    import pandas as pd


def check(cfg: Config, origin: str) -> None:
    """Refuses a recipe that is in no registry."""
    recipes = cfg.section(TransportSettings).recipes
    check_names(recipes, DEFENSES, f"{origin}: transport.recipes", "defense")


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """AUROC at a site, and on days, that the models did not learn from; no conclusion."""
    figures = []
    if "transport_spread" in tables:
        spread = tables["transport_spread"]
        lines = spread[spread["figure"] == "auroc"]
        if len(lines):
            what = f"AUROC at a site not learned from, mean over {lines['sites'].max()}"
            figures.append(HeadlineFigure.of(what, "high", lines, "mean", among=_sites(lines)))
    if "transport" in tables:
        table = tables["transport"]
        lines = table[(table["tried"] == "later") & (table["figure"] == "auroc")]
        if lines["value"].notna().any():
            what = f"AUROC {lines['place'].iloc[0]}, learned before"
            figures.append(HeadlineFigure.of(what, "high", lines, "value", among=_among(lines)))
    return figures


def _sites(lines: "pd.DataFrame") -> str:
    return f"{lines['sites'].max():g} sites"


def _among(lines: "pd.DataFrame") -> str:
    return f"{count_told(lines['patients'].iloc[0])} patients"


def worse_places(table: "pd.DataFrame") -> dict[str, "pd.DataFrame"]:
    """The places of one defense that are told to be worse in a figure -> the rows of these."""
    worse = table[table["verdict"] == "worse"]
    return {str(place): rows for place, rows in worse.groupby("place", sort=False)}


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """AUROC at sites not learned from, and later."""
    found: dict[str, dict[str, float]] = {}
    for figure in headline(tables, cfg):
        key = "auroc_later" if "learned before" in figure.figure else "auroc_other_sites"
        for name, value in figure.table["value"].items():
            if not math.isnan(value):
                found.setdefault(str(name), {})[key] = float(value)
    return found


def summary(tables: Tables, cfg: Config) -> str:
    """Which places are told to be worse than cross-validation says, of each defense."""
    if "transport" not in tables:
        return ""
    said = []
    for name, lines in tables["transport"].groupby("defense", sort=False):
        worse = worse_places(lines)
        if worse:
            said.append(f"{name}: {', '.join(worse)}")
    return f"Worse elsewhere or later than cross-validation says: {'; '.join(said)}." * bool(said)


RISK = Risk(
    name="transport",
    settings=TransportSettings,
    check=check,
    headline=headline,
    metrics=metrics,
    summary=summary,
    staged="whole",
    parts={"transport": ("defense", "figure", "tried")},
)
