"""One line per threat: what it does to the undefended model, and what the best defence makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.config import BASELINE
from pipeline.presentation.numbers import with_interval
from pipeline.risks.membership.measure.shadows import BLIND

EPS, DOSE, BUDGET = 0.3, 0.1, 1000  # the radius, the share of poisoned records and the number of questions nearest to these
SUFFIXES = {"": "value", "_low": "low", "_high": "high"}
BOUNDS = tuple(SUFFIXES.values())


@dataclass(frozen=True)
class Measure:
    """What a threat does to each defence, in one figure.

    Attributes:
        risk: the threat.
        figure: what the figure is, for people.
        good: which end of it is good, `low` or `high`.
        table: indexed by defence, columns `value, low, high`.
    """

    risk: str
    figure: str
    good: str
    table: pd.DataFrame


def overview(tables: Mapping[str, pd.DataFrame], headline: str) -> pd.DataFrame:
    """Draws up one line per threat.

    Args:
        tables: `comparison` and `privacy`; and `inversion`, `poisoning`, `theft` as far as they were drawn up.
        headline: the threat model of evasion.

    Returns:
        `risk, figure, good`; `undefended` with its interval; `best` and the name `defense` of the defence that does best, flagged
        ones left out, with its interval. It is the best of several, hence a little flattered; empty where none does better.
    """
    first = tables["comparison"].drop_duplicates("defense")
    flagged = set(first.loc[first["flags"] != "", "defense"])
    measures = [evasion(tables["comparison"], headline), membership(tables["privacy"])]
    if len(tables.get("inversion", ())):
        measures.append(inversion(tables["inversion"]))
    if len(tables.get("poisoning", ())):
        measures += poisoning(tables["poisoning"])
    if len(tables.get("theft", ())):
        measures.append(theft(tables["theft"]))
    return pd.DataFrame([_line(measure, flagged) for measure in measures])


def _line(measure: Measure, flagged: set[str]) -> dict[str, object]:
    unknown = dict.fromkeys(BOUNDS, float("nan"))
    figures = {str(name): dict(zip(BOUNDS, line, strict=True)) for name, *line in measure.table.itertuples()}
    bare, sign = figures.pop(BASELINE, unknown), 1 if measure.good == "high" else -1
    scores = {name: sign * line["value"] for name, line in figures.items() if name not in flagged and not np.isnan(line["value"])}
    best = max(scores, key=lambda name: scores[name], default="")
    if best and scores[best] <= sign * bare["value"]:
        best = ""
    line: dict[str, object] = {"risk": measure.risk, "figure": measure.figure, "good": measure.good}
    line |= {f"undefended{suffix}": bare[bound] for suffix, bound in SUFFIXES.items()} | {"defense": best}
    return line | {f"best{suffix}": figures.get(best, unknown)[bound] for suffix, bound in SUFFIXES.items()}


def evasion(comparison: pd.DataFrame, headline: str) -> Measure:
    """Robust accuracy."""
    lines = comparison[comparison["threat"] == headline]
    eps = nearest_of(lines["eps"], EPS)
    table = _figures(lines[lines["eps"] == eps], "robust_accuracy", "robust_low", "robust_high")
    return Measure("evasion", f"right answers under attack, eps {eps:g}", "high", table)


def membership(privacy: pd.DataFrame) -> Measure:
    """The strongest of the membership attacks on each defence."""
    attacks = privacy[privacy["attack"] != BLIND].dropna(subset="auroc")
    strongest = attacks.loc[attacks.groupby("defense", sort=False)["auroc"].idxmax()]
    return Measure("membership", "AUROC of the best attack (0.5: guessing)", "low", _figures(strongest, "auroc"))


def inversion(guesses: pd.DataFrame) -> Measure:
    """The measurement that the first defence's models tell most about: the share of a guess's error that they take away."""
    lines = guesses.query("attacker == 'learned' and diagnosis == 'known' and access == 'scores' and group == 'members'")
    for bound in ("uplift", "uplift_low", "uplift_high"):
        lines = lines.assign(**{bound: lines[bound] / lines["error_alone"]})
    first = lines[lines["defense"] == lines["defense"].iloc[0]]
    attribute = str(first.loc[first["uplift"].idxmax(), "attribute"])
    told = lines[lines["attribute"] == attribute]
    return Measure("inversion", f"error of a guess of {attribute} that scores take away", "low", _figures(told, "uplift"))


def theft(copies: pd.DataFrame) -> Measure:
    """The most faithful copy, whatever answers show, of a plain API."""
    asked = copies[(copies["api"] == "plain") & ~copies["strategy"].isin(["true_labels", "equations"])]
    budget = nearest_of(asked["budget"], BUDGET)
    asked = asked[asked["budget"] == budget]
    best = asked.loc[asked.groupby("defense", sort=False)["fidelity"].idxmax()]
    return Measure("theft", f"answers that a copy shares after {budget:g} questions", "low", _figures(best, "fidelity"))


def poisoning(damage: pd.DataFrame) -> list[Measure]:
    """The worst attacks on everybody for each defence, by two figures; then who gets a patient misdiagnosed."""
    dose = nearest_of(damage.loc[damage["dose"] > 0, "dose"], DOSE)
    said = f"{100 * dose:g} % of the records" if dose < 1 else f"{dose:g} records"
    at = damage[damage["dose"] == dose]
    crowd, measures = at[at["goal"] == "availability"], []
    # Who calls everybody healthy is right about the many: accuracy alone would not tell.
    for value, figure in (("accuracy", "right answers"), ("sensitivity", "ill patients found")):
        worst = crowd.loc[crowd.groupby("defense", sort=False)[value].idxmin()]
        if len(worst):
            measures.append(Measure("poisoning", f"{figure}, {said} poisoned", "high", _figures(worst, value)))
    for goal, figure in (("backdoor", "ill patients whom a trigger hides"), ("targeted", "named ill patients called healthy")):
        lines = at[at["goal"] == goal].dropna(subset="attack_success_rate")
        if len(lines):
            measures.append(Measure("poisoning", f"{figure}, {said}", "low", _figures(lines, "attack_success_rate")))
    return measures


def nearest_of(values: pd.Series, wanted: float) -> float:
    """The value nearest to the one wanted."""
    return float(min(values.unique(), key=lambda value: abs(value - wanted)))


def _figures(lines: pd.DataFrame, value: str, low: str = "", high: str = "") -> pd.DataFrame:
    columns = [value, low or f"{value}_low", high or f"{value}_high"]
    return lines.set_index("defense")[columns].set_axis(BOUNDS, axis=1)


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The overview as text."""
    best = [
        f"{said}  {name}" if name else "no defence does better"
        for said, name in zip(with_interval(table, "best"), table["defense"].fillna(""), strict=True)
    ]
    return pd.DataFrame({
        "threat": table["risk"], "figure": table["figure"], "good": table["good"],
        "undefended": with_interval(table, "undefended"), "best defence": best,
    })  # fmt: skip
