"""The entry of the privacy frontier in `RISKS`."""

from pipeline.config import Config
from pipeline.models.mlp import MODELS
from pipeline.risks.frontier.measure.settings import FrontierSettings
from pipeline.risks.risk import HeadlineFigure, Risk, Tables
from pipeline.validation import check_names

VARIED = "dp_train"  # whose training the frontier varies


def check(cfg: Config, origin: str) -> None:
    """Refuses a kind of model that is in no registry."""
    check_names(cfg.section(FrontierSettings).models, MODELS, f"{origin}: frontier.models", "model")


def headline(tables: Tables, cfg: Config) -> tuple[HeadlineFigure, ...]:
    """None: a curve has no figure of its own."""
    return ()


RISK = Risk(
    name="frontier", settings=FrontierSettings, check=check, headline=headline, staged="whole"
)
