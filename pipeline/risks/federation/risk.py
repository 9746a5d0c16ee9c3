"""The entry of federation in `RISKS`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.attacks.updates import HOSTILE
from pipeline.config import Config
from pipeline.defenses import DEFENSES, SET_BY_PROGRAM
from pipeline.defenses.federated.aggregate import AGGREGATES, check_enough
from pipeline.files import BadInput
from pipeline.risks.federation.measure.settings import (
    PRIVATE,
    PRIVATE_RECIPE,
    RECIPE,
    FederationSettings,
)
from pipeline.risks.risk import Figure, HeadlineFigure, Point, Risk, Tables, Trade
from pipeline.validation import check_names, check_options

if TYPE_CHECKING:
    import pandas as pd

NONE = "none"  # the attack of nobody
MEASURED = "federation_harm"
GAINS, RULES_TABLE = "federation_hospitals", "federation_rules"
COSTS = "federation_private"  # where private recipes were trained beside


def check(cfg: Config, origin: str) -> None:
    """Refuses rules and attacks in no registry, and more malicious hospitals than leave others."""
    wanted = cfg.section(FederationSettings)
    check_names(
        [wanted.aggregate], AGGREGATES, f"{origin}: federation.aggregate", "rule of aggregation"
    )
    where = f"{origin}: federation.aggregates"
    check_names(wanted.aggregates, AGGREGATES, where, "rule of aggregation")
    check_names(wanted.attacks, HOSTILE, f"{origin}: federation.attacks", "attack")
    where = f"{origin}: federation.private_recipes"
    check_names(list(wanted.private_recipes), PRIVATE, where, "private recipe")
    for name, options in wanted.private_recipes.items():
        if options is not None:
            check_options(DEFENSES[name], options, f"{where}.{name}", given=SET_BY_PROGRAM)
    for count in wanted.every_number:
        most = max(wanted.malicious) if count == wanted.sites else wanted.malicious[0]
        if count is not None and most >= count:
            raise BadInput(
                f"{origin}: federation.malicious: {most} of {count} hospitals leave no honest one"
            )
    if wanted.enabled and wanted.sites is not None:
        stands = wanted.stands(wanted.malicious[0])
        check_enough(wanted.aggregate, stands, wanted.sites, "federation")


def told_first(tables: Tables, cfg: Config, name: str = MEASURED) -> "pd.DataFrame":
    """The rows of a table of the federation as configured, under its own rule."""
    wanted = cfg.section(FederationSettings)
    rows = as_configured(tables[name])
    own = rows[rows["aggregate"] == wanted.aggregate]
    found: pd.DataFrame = own if len(own) else rows
    return found


def as_configured(table: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of the recipe, numbers of hospitals and of malicious ones that are told first."""
    first = table.iloc[0]
    for name in ("defense", "hospitals", "malicious"):
        table = table[table[name] == first[name]]
    return table


def worst(tables: Tables, cfg: Config, figure: str = "accuracy") -> "pd.Series[Any]":
    """The row of the attack that leaves least of a figure that is good high, or makes most."""
    rows = told_first(tables, cfg)
    rows = rows[rows["attack"] != NONE].dropna(subset=figure)
    low = figure in ("accuracy", "auroc", "sensitivity")
    first: pd.Series[Any] = rows.sort_values(figure, ascending=low, kind="stable").iloc[0]
    return first


def headline(tables: Tables, cfg: Config) -> Sequence[HeadlineFigure]:
    """Accuracy under the worst of the attacks by hostile hospitals; nothing is concluded."""
    if MEASURED not in tables:
        return ()
    row = worst(tables, cfg)
    name = f"accuracy, {row['malicious']} hostile of {row['hospitals']} hospitals"
    among = f"{row['patients']:g} patients"
    threat = "availability, knows what others send, one rule of aggregation"
    lines = row.to_frame().T
    return (HeadlineFigure.of(name, "high", lines, "accuracy", among=among, threat=threat),)


def metrics(tables: Tables, cfg: Config) -> Mapping[str, Mapping[str, float]]:
    """The worst found under the configured rule, and what server and participants learn."""
    if MEASURED not in tables:
        return {}
    seen = read_most(tables)
    found = {
        RECIPE: {
            **_harm(tables, cfg, RECIPE),
            "server_error": seen["error"],
            "server_error_guess": seen["error_guess"],
            **gains(tables),
        }
    }
    if PRIVATE_RECIPE in cfg.defenses:  # else nothing is reported of it
        found[PRIVATE_RECIPE] = _harm(tables, cfg, PRIVATE_RECIPE)
    members = tables["federation_members"]
    for recipe, figures in found.items():
        own = members[(members["defense"] == recipe) & (members["who"] == "participant")]
        if not len(own):
            continue
        both = own.iloc[-1]
        figures |= {
            "participant_auroc": both["auroc"],
            "participant_tpr_at_1pct": both["tpr_at_1pct"],
        }
    return {
        recipe: {name: float(value) for name, value in figures.items() if value == value}
        for recipe, figures in found.items()
        if figures
    }


def _harm(tables: Tables, cfg: Config, recipe: str) -> dict[str, float]:
    """Of one recipe, with as many malicious hospitals as are told first."""
    table = tables[RULES_TABLE]
    rows = table[table["defense"] == recipe]
    if not len(rows):
        return {}
    row = told_first({RULES_TABLE: rows}, cfg, RULES_TABLE).iloc[0]
    return {
        "hostile_accuracy": row["accuracy"],
        "hostile_missed": row["missed_diagnosis_rate"],
        "hostile_backdoor": row["attack_success_rate"],
    }


def gains(tables: Tables) -> Mapping[str, float]:
    """AUROC in one place and federated, and of the hospital that is worst off alone."""
    if GAINS not in tables:
        return {}
    table = tables[GAINS]
    first = table[(table["hospitals"] == table["hospitals"].iloc[0]) & (table["figure"] == "auroc")]
    everybody = first[first["asked"] == "everybody"].iloc[0]
    private = {f"{name}_auroc": everybody[name] for name in PRIVATE}
    return private | {
        "central_auroc": everybody["central"],
        "federated_auroc": everybody["federated"],
        "alone_auroc_elsewhere": first.loc[first["asked"] == "others", "alone"].min(),
        "least_gain_at_home": first.loc[first["asked"] == "own", "gain"].min(),
    }


def read_most(tables: Tables) -> "pd.Series[Any]":
    """The row of all measurements behind the gradient of the largest batch, in the first round."""
    table = tables["federation_seen"]
    rows = table[(table["unit"] == "scale") & (table["update"] == "gradient")]
    first = rows[rows["when"] == "first round"]
    most: pd.Series[Any] = first.sort_values("records", kind="stable").iloc[-1]
    return most


def shown(cfg: Config) -> Sequence[str]:
    """The worst that hostile hospitals do, where it is measured."""
    asked = cfg.section(FederationSettings).enabled
    return ("hostile_accuracy", "hostile_missed") if asked else ()


def trades(tables: Tables, cfg: Config) -> Sequence[Trade]:
    """Accuracy with nobody hostile against that under the worst attack."""
    if MEASURED not in tables:
        return ()
    rows = told_first(tables, cfg)
    clean, bad = rows[rows["attack"] == NONE], worst(tables, cfg).to_frame().T
    return (
        Trade(
            HeadlineFigure.of("accuracy, nobody hostile", "high", clean, "accuracy"),
            HeadlineFigure.of("accuracy, hostile hospitals", "high", bad, "accuracy"),
        ),
    )


def points(tables: Tables, defense: str, cfg: Config) -> Sequence[Point]:
    """A nested run for each federation and rule, with a figure for each attack."""
    if MEASURED not in tables or defense not in set(tables[MEASURED]["defense"]):
        return ()
    found, table = [], tables[MEASURED]
    names = ["hospitals", "aggregate", "malicious"]
    for key, rows in table[table["defense"] == defense].groupby(names, sort=False):
        figures = [
            Figure(f"{figure}_{row['attack']}", row[figure])
            for row in rows.to_dict("records")
            for figure in ("accuracy", "attack_success_rate")
            if row[figure] == row[figure]
        ]
        found.append(Point(dict(zip(names, map(str, key), strict=True)), figures))
    return found


RISK = Risk(
    name="federation",
    settings=FederationSettings,
    check=check,
    headline=headline,
    metrics=metrics,
    shown=shown,
    trades=trades,
    points=points,
    staged="each",
    parts={GAINS: ("hospitals", "asked", "figure")},
)
