"""What an attacker may do, and whom a figure is of, in words: units instead of eps alone."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.config import BASELINE, Config, FeatureConfig, ThreatConfig
from pipeline.presentation.numbers import CELLS, SMALL
from pipeline.risks.risk import Tables

if TYPE_CHECKING:
    import pandas as pd

GOALS = {"any": "any wrong answer", "miss": "a missed diagnosis", "alarm": "a false alarm"}
NORMS = {
    "linf": "every value by at most",
    "l2": "all values together (L2) by at most",
    "l0": "at most",
}
NORMS_OF_IMAGES = {
    "linf": "every pixel by at most",
    "l2": "all pixels together (L2) by at most",
    "l0": "at most",
}
SICK = ("healthy", "ill")  # what those of class 0 and 1 are called
ROUNDING = 1e-6  # of a step of the clinic's grid


def leading(features: Mapping[str, FeatureConfig], alone: "pd.DataFrame | None" = None) -> str:
    """The measurement in whose unit radii are told; empty where there is none.

    The one that by itself turns the most right answers of the undefended models, where that is
    known; otherwise the first that may be forged and has a unit.

    Args:
        features: by name.
        alone: the table of that name.
    """
    told = [
        name
        for name, one in features.items()
        if one.mutable and one.unit and one.kind in ("integer", "real")
    ]
    if alone is not None and len(alone):
        own = alone[(alone["defense"] == BASELINE) & alone["feature"].isin(told)]
        known = own.dropna(subset=["all"])
        if len(known):
            return str(known.sort_values("all", ascending=False, kind="stable")["feature"].iloc[0])
    return told[0] if told else ""


def change_within(feature: FeatureConfig, threat: ThreatConfig, eps: float) -> float:
    """How far a value may move within a radius, in its unit: on the clinic's grid, if bound to it.

    NaN where the radius counts measurements, or errors that nobody states.
    """
    size = feature.error if threat.unit == "error" else feature.scale
    if threat.norm == "l0" or size is None:
        return math.nan
    change = eps * size
    if threat.recorded_grid and feature.step is not None:
        return math.floor(change / feature.step + ROUNDING) * feature.step
    return change


def in_unit(name: str, cfg: Config, threat: ThreatConfig, eps: float) -> str:
    """`9 mg/dL of glucose`; empty where the radius says nothing in that unit."""
    if not name:
        return ""
    change = change_within(cfg.data.features[name], threat, eps)
    return "" if math.isnan(change) else f"{change:.4g} {cfg.data.features[name].unit} of {name}"


def radius(threat: ThreatConfig, eps: float) -> str:
    """A radius by what it counts: `eps 0.3`, `1 measurement`, `2 measurement errors`."""
    many = "" if eps == 1 else "s"
    if threat.norm == "l0":
        return f"{eps:g} measurement{many}"
    if threat.unit == "error":
        return f"{eps:g} measurement error{many}"
    return f"eps {eps:g}"


def budget(cfg: Config, threat: str, eps: float, name: str) -> str:
    """A radius with its unit: `eps 0.3 (9 mg/dL of glucose)`.

    Args:
        cfg: says what each threat is.
        threat: its name.
        eps: the radius.
        name: of the leading measurement; empty = without a unit.
    """
    limits = cfg.threat.get(threat)
    if limits is None:
        return f"eps {eps:g}"
    if cfg.data.image and limits.norm == "linf":
        return f"{eps:g} grey level{'' if eps == 1 else 's'}"
    unit = in_unit(name, cfg, limits, eps)
    return radius(limits, eps) + (f" ({unit})" if unit else "")


def threat_in_words(line: "pd.Series", cfg: Config, name: str) -> str:
    """Who attacks, in few words: the goal, what he knows, the norm and the radius with its unit.

    Args:
        line: of the comparison; without the columns of a threat nothing is said of it.
        cfg: says what each threat is.
        name: of the leading measurement.
    """
    goal, knowledge = GOALS.get(str(line.get("goal")), ""), str(line.get("knowledge", ""))
    norms = NORMS_OF_IMAGES if cfg.data.image else NORMS
    norm = norms.get(str(line.get("norm")), "")
    reach = budget(cfg, str(line["threat"]), float(line["eps"]), name)
    said = f"{norm} {reach}" if norm else reach
    return "; ".join(one for one in (str(line["threat"]), goal, knowledge, said) if one)


def among(tables: Tables, cfg: Config, y: int | None = None) -> str:
    """Whom a share is of: `268 ill patients`; all of them where `y` is None; empty: not known.

    Where somebody has several records, which the share is of: `300 records of 268 ill patients`.
    """
    groups, lines = tables.get("groups"), tables["comparison"]
    if groups is None or not len(groups):
        return ""
    first = groups[groups["defense"] == groups["defense"].iloc[0]]
    classes = [cfg.data.classes[y]] if y is not None else cfg.data.classes
    own = first[(first["by"] == cfg.data.target) & first["group"].isin(classes)]
    count = float(own["patients"].sum(skipna=False))
    whom = "patients" if y is None else f"{SICK[y]} patients"
    if math.isnan(count):
        return f"{whom}, how many is not told"
    records = sum(records_of(lines, one) for one in ((0, 1) if y is None else (y,)))
    told = f"{count:.0f} {whom}"
    several = not math.isnan(records) and round(records) > count
    return f"{round(records)} records of {told}" if several else told


def records_of(lines: "pd.DataFrame", y: int) -> float:
    """How many records of a class were attacked; NaN: it is not told, or not known.

    Every line has the same, but for those whose cells hide a few patients.
    """
    cells = CELLS[y]
    if not set(cells) <= {*lines}:
        return math.nan
    return float(lines[list(cells)].sum(axis=1, skipna=False).max())


def wrong_of(line: "pd.Series", y: int, rate: str, whole: float) -> float:
    """How many records of a class are answered wrongly, mean over models.

    Args:
        line: of the comparison.
        y: the class.
        rate: the column of their share: what is left where the cell hides a few patients.
        whole: of how many; NaN = it is not told.
    """
    (cell,) = {"fp", "fn"} & set(CELLS[y])
    told = float(line.get(cell, math.nan))
    return float(line[rate]) * whole if math.isnan(told) else told


def part_of(part: float, whole: float, hidden: bool = False) -> str:
    """`149 of 268`; where patients are hidden, neither a few nor all but a few are counted.

    Args:
        part: a count of patients, or its mean over models.
        whole: of whom; NaN = nobody says how many these are, hence `some`.
        hidden: whether counts of a few are not told.
    """
    if math.isnan(whole):
        return "some"
    rest = round(whole) - round(part)
    if hidden and 0 < round(part) < SMALL:
        return f"fewer than {SMALL} of {whole:.0f}"
    if hidden and 0 < rest < SMALL:
        return f"all but fewer than {SMALL} of {whole:.0f}"
    return f"{part:.0f} of {whole:.0f}"
