"""From filtered training sets to what people read, beside the same sets that were not filtered."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import Config
from pipeline.risks.poisoning.harm_tables import (
    attacker_columns,
    compared,
    success_compared,
    turned_by_trigger,
)
from pipeline.risks.poisoning.measure.filtering import RECIPE, Filtered
from pipeline.risks.poisoning.measure.recipes import BACKDOOR, NONE, Harm
from pipeline.risks.poisoning.measure.settings import PoisoningSettings
from pipeline.statistics import Array
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import numbered

RATES = ("drop_rate", "precision", "recall", "false_alarm_rate")
FIGURES = ("accuracy", "sensitivity", "attack_success_rate")


def filter_table(
    filtered: Mapping[str, Filtered], harm: Harm, cfg: Config, sampling: Sampling
) -> pd.DataFrame:
    """One row per attack, filter and dose.

    Without poison once per filter, as attack `none` at dose 0.

    Args:
        filtered: by attack; `none` = filtering where there is no poison.
        harm: of the same recipe on the same training sets, not filtered.
        cfg: of both.
        sampling: of the intervals.

    Returns:
        `poison_rate` of a training set before filtering, mean over sets. Each of `RATES` with
        `_low, _high`: mean over training sets, and their RANGE, least to largest, which is no
        confidence interval: the sets share most of their records. Empty where no set has anything
        to count. Each of `FIGURES` after filtering, and as `<name>_without` not filtered, both with
        `_low, _high`; and `<metric>_difference, _difference_low, _difference_high`: filtered less
        not filtered, the same training sets, paired on the same patients (bootstrap over patients,
        repetitions averaged). `attack_success_rate` is that of the backdoor, as
        `harm_tables.harm_table` counts it. `goal, knowledge, access, atlas, nist, owasp` name the
        attack.
    """
    confidence = sampling.confidence
    weights = sampling.weights(len(harm.y))
    lines: list[dict[str, Any]] = []
    for attack, one in filtered.items():
        for rule, margins in one.margins.items():
            for at in range(len(margins)):
                dose = 0 if attack == NONE else cfg.section(PoisoningSettings).doses[at]
                share = 0.0 if attack == NONE else float(harm.share[attack][at])
                line: dict[str, Any] = {
                    "recipe": RECIPE,
                    "filter": rule,
                    "attack": attack,
                    "dose": dose,
                    "poison_rate": share,
                }
                for rate in RATES:
                    line |= _ranged(rate, getattr(one, rate)[rule][at].numpy())
                after, before = margins[at].numpy(), harm.margins[attack][at].numpy()
                line |= _right(after, before, harm.y.numpy(), weights, confidence)
                if attack == BACKDOOR:
                    stamps = one.triggered[rule][at].numpy(), harm.triggered[1 + at].numpy()
                    line |= _success(harm, stamps, weights, sampling)
                lines.append(line | attacker_columns(attack))
    table = pd.DataFrame(lines)
    suffixes = ("", "_without", "_difference")
    figures_of = [*RATES, *(f"{metric}{suffix}" for metric in FIGURES for suffix in suffixes)]
    columns = [f"{figure}{end}" for figure in figures_of for end in ("", "_low", "_high")]
    return table.reindex(columns=[*list(lines[0])[:5], *columns, *attacker_columns(NONE)])


def _ranged(name: str, rates: Array) -> dict[str, float]:
    """The mean of rates (R,) and their range, over those that are numbers."""
    rates = rates[~np.isnan(rates)]
    if not len(rates):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    low, high = float(rates.min()), float(rates.max())
    return {
        name: min(max(float(rates.mean()), low), high),
        f"{name}_low": low,
        f"{name}_high": high,
    }


def _right(
    after: Array, before: Array, y: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """Accuracy and sensitivity from margins (S, N)."""
    figures: dict[str, float] = {}
    for name, whom in (("accuracy", np.ones_like(y, dtype=bool)), ("sensitivity", y == 1)):
        right, right_before = ((margins[:, whom] > 0).mean(0) for margins in (after, before))
        figures |= compared(name, right, right_before, weights[:, whom], confidence)
        figures |= _without(
            compared(name, right_before, right_before, weights[:, whom], confidence), name
        )
    return figures


def _success(
    harm: Harm, stamps: tuple[Array, Array], weights: Array, sampling: Sampling
) -> dict[str, float]:
    """The backdoor's success from margins (S, N) with the trigger, filtered and not filtered."""
    (after, chosen), (before, _) = (turned_by_trigger(harm, one) for one in stamps)
    if not len(after):
        return {}
    drawn, confidence = weights[:, chosen], sampling.confidence
    whose = numbered(sampling.whose(len(harm.y))[chosen])
    figures = success_compared(after, before, drawn, whose, confidence)
    name = "attack_success_rate"
    return figures | _without(success_compared(before, before, drawn, whose, confidence), name)


def _without(figures: dict[str, float], name: str) -> dict[str, float]:
    return {f"{name}_without{end}": figures[f"{name}{end}"] for end in ("", "_low", "_high")}
