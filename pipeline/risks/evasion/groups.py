"""Whom a defense serves worse than no defense does: figures by group, paired with the baseline."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import BASELINE, Config
from pipeline.data.schema import Dataset
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.risks.groups import groups_of
from pipeline.statistics import Array, intervals
from pipeline.statistics.conclusions import Difference, compare
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.operating_point import logistic
from pipeline.statistics.patients import LEAST

HARMS = "harms_a_group"  # the flag
KEY = ["defense", "by", "group"]


def groups_table(
    examined: Mapping[str, Examination], dataset: Dataset, cfg: Config, sampling: Sampling
) -> pd.DataFrame:
    """One row per defense and group, at each model's own cut.

    Of the ill: sensitivity without attack and under the headline threat at its headline radius. Of
    all: how far the mean probability is from the share of the ill (`calibration_gap`). A figure of
    fewer than `LEAST` patients is not given.

    Returns:
        `defense, by, group, patients, ill, eps`; `sensitivity`, `attacked_sensitivity`,
        `specificity`, `calibration_gap`, each with `_low, _high`; of both sensitivities the
        `_difference` to the baseline with its bounds, and `_p`, corrected after Holm over all
        groups, defenses and both sensitivities; `harmed`: one of them is told to be lower. The
        other two have their `_difference`, too, of which nothing is concluded.
    """
    audit = cfg.audit
    headline = {name: one.margins[audit.headline] for name, one in examined.items()}
    first = next(iter(headline.values()))
    patients = np.sort(next(iter(examined.values())).told.patients)
    x = dataset.x[patients].flatten(1).numpy()
    cuts = groups_of(x, dataset.schema.names, first.y, cfg.data)
    at = first.nearest(audit.headline_eps)
    weights = sampling.weights(len(first.y))
    lines: list[dict[str, Any]] = []
    differences: dict[tuple[str, ...], Difference] = {}
    for name, margins in headline.items():
        against = headline.get(BASELINE) if name != BASELINE else None
        for (by, group), inside in cuts.items():
            key = {"defense": name, "by": by, "group": group}
            counts = {
                "patients": sampling.patients(len(first.y), inside),
                "ill": sampling.patients(len(first.y), inside & (first.y == 1)),
            }
            figures = _figures(margins, inside, at, weights, sampling)
            if by == cfg.data.target:  # a probability is not meant to be right among the ill alone
                figures |= {f"calibration_gap{bound}": math.nan for bound in ("", "_low", "_high")}
            line = {**key, **counts, "eps": float(first.eps[at]), **figures}
            for figure, radius in (("sensitivity", 0), ("attacked_sensitivity", at)):
                if against is None or math.isnan(figures[figure]):
                    continue
                found = _paired(margins, against, inside, radius, weights, sampling.confidence)
                differences[name, by, group, figure] = Difference(found["difference"], found["se"])
                line |= _named(f"{figure}_difference", found)
            if against is not None:
                line |= _beside(margins, against, inside, weights, sampling.confidence, figures)
            lines.append(line)
    judged = compare(
        differences, patients=sampling.patients(len(first.y)), confidence=sampling.confidence
    )
    for line in lines:
        whose = tuple(str(line[name]) for name in KEY)
        mine = {key[-1]: one for key, one in judged.items() if key[:-1] == whose}
        line |= {f"{figure}_p": one.p for figure, one in mine.items()}
        line["harmed"] = any(one.verdict == "worse" for one in mine.values())
    return pd.DataFrame(lines)


def _figures(
    margins: Margins, inside: Array, at: int, weights: Array, sampling: Sampling
) -> dict[str, float]:
    """The figures of one group; NaN where too few patients are asked."""
    y, worst = margins.y, margins.worst
    right, left = (worst[0] > 0).mean(0), (worst[at] > 0).mean(0)
    gap = (logistic(margins.score(worst[0])) - y).mean(0)
    asked = (
        ("sensitivity", right, y == 1),
        ("attacked_sensitivity", left, y == 1),
        ("specificity", right, y == 0),
        ("calibration_gap", gap, y >= 0),
    )
    figures: dict[str, float] = {}
    for name, each, of in asked:
        where = inside & of
        if sampling.patients(len(y), where) >= LEAST:
            bounded = intervals.bounded_mean if each is gap else intervals.bounded_mean_share
            figures |= bounded(name, each, weights, sampling.confidence, where)
        else:
            figures |= {f"{name}{suffix}": np.nan for suffix in ("", "_low", "_high")}
    return figures


def _paired(
    margins: Margins, against: Margins, inside: Array, at: int, weights: Array, confidence: float
) -> dict[str, float]:
    mine, theirs = ((one.worst[at] > 0).mean(0) for one in (margins, against))
    return intervals.paired_difference(mine, theirs, weights, confidence, inside & (margins.y == 1))


def _beside(
    margins: Margins,
    against: Margins,
    inside: Array,
    weights: Array,
    confidence: float,
    figures: Mapping[str, float],
) -> dict[str, float]:
    """What no verdict hangs on, less that of the baseline on the same patients, where it is given.

    Of the calibration gap, how much higher the probabilities are.
    """
    sides = (margins, against)
    right = [(one.worst[0] > 0).mean(0) for one in sides]
    said = [logistic(one.score(one.worst[0])).mean(0) for one in sides]
    asked = (("specificity", right, inside & (margins.y == 0)), ("calibration_gap", said, inside))
    line: dict[str, float] = {}
    for name, (mine, theirs), where in asked:
        if not np.isnan(figures[name]):
            found = intervals.paired_difference(mine, theirs, weights, confidence, where)
            line |= _named(f"{name}_difference", found)
    return line


def _named(name: str, found: Mapping[str, float]) -> dict[str, float]:
    ends = (("", "difference"), ("_low", "low"), ("_high", "high"))
    return {f"{name}{suffix}": found[key] for suffix, key in ends}


def harms(groups: pd.DataFrame) -> dict[str, str]:
    """For each defense that serves a group worse than no defense, a sentence with the figures."""
    said: dict[str, list[str]] = {}
    for line in groups[groups["harmed"]].to_dict("records"):
        said.setdefault(str(line["defense"]), []).append(_sentence(line))
    return {name: " and ".join(sentences) for name, sentences in said.items()}


def _sentence(line: Mapping[Any, Any]) -> str:
    clean, attacked = line["sensitivity_difference"], line["attacked_sensitivity_difference"]
    return (
        f"{line['by']} {line['group']}: {clean:+.3f} of the ill found without attack and "
        f"{attacked:+.3f} at eps {line['eps']:g}, against no defense"
    )
