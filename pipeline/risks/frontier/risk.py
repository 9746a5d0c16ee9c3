"""The entry of the privacy frontier in `RISKS`."""

import math
from collections.abc import Iterator

from pipeline.config import Config
from pipeline.models.mlp import MODELS
from pipeline.risks.frontier.measure.settings import FrontierSettings
from pipeline.risks.risk import Figure, HeadlineFigure, Risk, Tables
from pipeline.validation import check_names

CURVES = (
    "accuracy",
    "auroc",
    "sensitivity",
    "proved_accuracy",
    "lira_tpr_at_1pct",
    "lira_auroc",
    "epsilon_claimed",
    "epsilon_lower_bound",
    "epsilon_ceiling",
)
VARIED = "dp_train"  # whose training the frontier varies


def check(cfg: Config, origin: str) -> None:
    """Refuses a kind of model that is in no registry."""
    check_names(cfg.section(FrontierSettings).models, MODELS, f"{origin}: frontier.models", "model")


def headline(tables: Tables, cfg: Config) -> tuple[HeadlineFigure, ...]:
    """None: a curve has no figure of its own."""
    return ()


def figures(tables: Tables, name: str, cfg: Config) -> Iterator[Figure]:
    """Against epsilon in thousandths; the models without noise have a name of their own."""
    if name != VARIED or "frontier" not in tables:
        return
    for _, line in tables["frontier"].iterrows():
        private = not math.isnan(line["epsilon_claimed"])
        place = f"frontier/{line['model']}" if private else f"frontier/{line['model']}/no_noise"
        for key in CURVES:
            yield Figure(
                f"{place}/{key}", line[key], round(line["epsilon_claimed"] * 1000) if private else 0
            )


RISK = Risk(
    name="frontier",
    settings=FrontierSettings,
    check=check,
    headline=headline,
    figures=figures,
    steps={"frontier": "epsilon in thousandths"},
)
