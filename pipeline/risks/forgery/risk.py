"""The entry of forged scans in `RISKS`."""

from pipeline.attacks.forgery import FORGERIES
from pipeline.config import Config
from pipeline.defenses import DEFENSES
from pipeline.files import BadInput
from pipeline.risks.forgery.measure.settings import ForgerySettings
from pipeline.risks.risk import HeadlineFigure, Risk, Tables
from pipeline.validation import check_names

# Whose models the stage may ask: those that `dvc.yaml` has ready for it.
READY = ("baseline", "adv_train", "distill", "dp_train")


def check(cfg: Config, origin: str) -> None:
    """Refuses names that are in no registry, models that are not ready, and one name twice."""
    wanted = cfg.section(ForgerySettings)
    check_names(wanted.recipes, DEFENSES, f"{origin}: forgery.recipes", "defense")
    if late := [name for name in wanted.recipes if name not in READY]:
        raise BadInput(
            f"{origin}: forgery.recipes: {late[0]} is not trained before this stage; it may be one "
            f"of {', '.join(READY)}"
        )
    for key, names in (("forgeries", wanted.forgeries), ("learned", wanted.learned)):
        check_names(names, FORGERIES, f"{origin}: forgery.{key}", "forgery")
        if len(set(names)) < len(names):
            raise BadInput(f"{origin}: forgery.{key}: must differ, not {', '.join(names)}")


def headline(tables: Tables, cfg: Config) -> tuple[HeadlineFigure, ...]:
    """None: what a detector finds is no figure of a defense."""
    return ()


RISK = Risk(
    name="forgery",
    settings=ForgerySettings,
    check=check,
    headline=headline,
    private=frozenset({"forgery_shown"}),
    staged="whole",
)
