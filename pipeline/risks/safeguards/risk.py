"""The entry of safeguards in `RISKS`."""

from pipeline.config import Config
from pipeline.defenses import DEFENSES
from pipeline.defenses.sanitising import check_sanitisers
from pipeline.risks.risk import HeadlineFigure, Risk, Tables
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.validation import check_names


def check(cfg: Config, origin: str) -> None:
    """Refuses a recipe or a sanitiser that is in no registry."""
    wanted = cfg.section(SafeguardsSettings)
    check_names(wanted.beside, DEFENSES, f"{origin}: safeguards.beside", "defense")
    check_sanitisers(wanted.sanitisers, f"{origin}: safeguards.sanitisers")


def headline(tables: Tables, cfg: Config) -> tuple[HeadlineFigure, ...]:
    """None: a wrapper is no defense that is compared with others."""
    return ()


RISK = Risk(
    name="safeguards", settings=SafeguardsSettings, check=check, headline=headline, staged="whole"
)
