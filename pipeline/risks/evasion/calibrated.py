"""Whether probabilities are what they say, and what decisions by them are worth: tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import Config
from pipeline.presentation.numbers import SMALL
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.statistics import Array, calibration, intervals
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.operating_point import logistic

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))  # of a decision curve


def reliability_table(
    examined: Mapping[str, Examination], cfg: Config, sampling: Sampling
) -> pd.DataFrame:
    """What was said and what came true of unchanged records, in bins of equally many answers.

    The bins are those of the expected calibration error, fewer where they would hold fewer than
    `SMALL` records; seeds are averaged.

    Returns:
        `defense, bin` from 1 up, `patients` (mean over seeds), `predicted`: the mean probability of
        disease, `observed`: the share of the ill, with `_low, _high` of a bootstrap over patients.
    """
    lines: list[dict[str, Any]] = []
    for name, margins in _headline(examined, cfg).items():
        y, weights = margins.y, sampling.weights(len(margins.y))
        chance = np.atleast_2d(_chance(margins))
        bins = max(1, min(calibration.BINS, len(y) // SMALL))
        place = chance.argsort(1, kind="stable").argsort(1) * bins // len(y)
        for index in range(bins):
            inside = place == index  # (S, N)
            share = inside.mean(0)
            observed = float((share * y).sum() / share.sum())
            ill, all_ = (weights @ each.astype(weights.dtype) for each in (share * y, share))
            drawn = np.where(all_ > 0, ill / np.maximum(all_, 1e-9), np.nan).astype(np.float64)
            lines.append(
                {
                    "defense": name,
                    "bin": index + 1,
                    "patients": float(
                        np.mean([sampling.patients(len(y), seed) for seed in inside])
                    ),
                    "predicted": float(chance[inside].mean()),
                    **intervals.bounded_share(
                        "observed", observed, drawn, weights, sampling.confidence, share
                    ),
                }
            )
    return pd.DataFrame(lines)


def decision_table(
    examined: Mapping[str, Examination], cfg: Config, sampling: Sampling
) -> pd.DataFrame:
    """Net benefit of calling ill whoever is at least so probable to be (a decision curve).

    Vickers and Elkin 2006, doi:10.1177/0272989X06295361; of unchanged records.

    Returns:
        `defense, threshold`: a probability; `net_benefit` with `_low, _high`, in found ill patients
        per patient; `everybody`: the net benefit of calling everybody ill (that of nobody is 0).
    """
    lines: list[dict[str, Any]] = []
    for name, margins in _headline(examined, cfg).items():
        y, weights, chance = margins.y, sampling.weights(len(margins.y)), _chance(margins)
        for threshold in THRESHOLDS:
            odds = threshold / (1 - threshold)
            each = calibration.net_benefit(chance >= threshold, y, odds)
            everybody = calibration.net_benefit(np.ones_like(y, dtype=bool), y, odds)
            lines.append(
                {
                    "defense": name,
                    "threshold": threshold,
                    **intervals.bounded_mean("net_benefit", each, weights, sampling.confidence),
                    "everybody": float(everybody.mean()),
                }
            )
    return pd.DataFrame(lines)


def _headline(examined: Mapping[str, Examination], cfg: Config) -> dict[str, Margins]:
    return {name: one.margins[cfg.audit.headline] for name, one in examined.items()}


def _chance(margins: Margins) -> Array:
    """(S, N): the probability of disease of unchanged records."""
    return logistic(margins.score(margins.worst[0]))
