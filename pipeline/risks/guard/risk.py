"""The entry of the guard in `RISKS`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.defenses import DEFENSES
from pipeline.files import BadInput
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.risk import (
    Figure,
    HeadlineFigure,
    Risk,
    Tables,
    Trade,
    by_defense,
    nearest_in,
    own,
)
from pipeline.validation import check_names

if TYPE_CHECKING:
    import pandas as pd

BEYOND = 2.0  # times r: the reach that is told first


def check(cfg: Config, origin: str) -> None:
    """Refuses a recipe in no registry, and budgets that do not rise."""
    wanted = cfg.section(GuardSettings)
    check_names(wanted.recipes, DEFENSES, f"{origin}: guard.recipes", "defense")
    if wanted.budgets != sorted(set(wanted.budgets)):
        raise BadInput(f"{origin}: guard.budgets: must rise")
    if wanted.reach != sorted(set(wanted.reach)):
        raise BadInput(f"{origin}: guard.reach: must rise")


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """None: a guard is no training that is compared with others."""
    return ()


def of_everyone(tables: Tables, r: float) -> "pd.DataFrame":
    """The rows of `guard_price` of all patients at a radius; 0 = without a guard."""
    table = tables["guard_price"]
    return table[(table["by"] == "") & (table["r"] == r)]


def adaptive(tables: Tables, r: float, reach: float) -> "pd.DataFrame":
    """The rows of `guard_attacks` of the adaptive attacker at a radius, at the nearest reach."""
    table = tables["guard_attacks"]
    near = nearest_in(table["reach"], reach)
    return table[(table["attacker"] == "adaptive") & (table["r"] == r) & (table["reach"] == near)]


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """At `guard.r`: who is referred, who is answered wrongly, who passes with twice that reach."""
    if not len(tables.get("guard_price", ())):
        return {}
    r = cfg.section(GuardSettings).r
    price = by_defense(
        of_everyone(tables, r), guard_referred="referred", guard_errors_answered="wrong"
    )
    passed = by_defense(adaptive(tables, r, BEYOND), guard_passed_at_2r="passed")
    return {name: figures | passed.get(name, {}) for name, figures in price.items()}


def shown(cfg: Config) -> Sequence[str]:
    """Who passes, where a guard is measured."""
    return ("guard_passed_at_2r",) if cfg.section(GuardSettings).recipes else ()


def trades(tables: Tables, cfg: Config) -> Sequence[Trade]:
    """Who is referred against who passes with twice the reach."""
    if not len(tables.get("guard_price", ())):
        return ()
    r = cfg.section(GuardSettings).r
    kept = HeadlineFigure.of("referred by the guard", "low", of_everyone(tables, r), "referred")
    lines = adaptive(tables, r, BEYOND)
    bought = HeadlineFigure.of("turned and answered, eps 2 r", "low", lines, "passed")
    return (Trade(kept, bought),)


def curves(tables: Tables, defense: str, cfg: Config) -> Sequence[Figure]:
    """Who passes, by reach in whole multiples of r."""
    if not len(tables.get("guard_attacks", ())):
        return ()
    r = cfg.section(GuardSettings).r
    lines = own(tables, "guard_attacks", defense)
    lines = lines[(lines["attacker"] == "adaptive") & (lines["r"] == r)]
    return [
        Figure("guard.passed", float(value), round(reach))
        for reach, value in zip(lines["reach"], lines["passed"], strict=True)
    ]


RISK = Risk(
    name="guard",
    settings=GuardSettings,
    check=check,
    headline=headline,
    metrics=metrics,
    shown=shown,
    trades=trades,
    curves=curves,
    staged="each",
    parts={"guard_price": ("defense", "r", "by")},
    glossary={
        "guard": "answers only where it is proved that no record within a radius is answered "
        "otherwise, and leaves all others to a person",
        "proved radius": "how much a record may be changed, at least, until its answer changes",
    },
)
