"""The table of counted votes: how far no change turns the vote of noisy copies, with a probability.

Of the vote of all copies there could be, and of nothing else that stands in the comparison.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.risks.evasion.measure.smoothing import Smoothing
from pipeline.statistics import intervals, rates
from pipeline.statistics.intervals import Sampling
from pipeline.verify.smoothing import radius, reach, within_ball

SHARES = ("certified_accuracy", "missed_diagnosis_rate", "abstained")
KEY = ["defense", "radius", "of_range", "every_pixel"]
WHOSE = ["patients", "ill", "sigma", "draws", "alpha", "reach", "degenerate"]
PARTS = 4  # of the range: radii are told at each quarter that a vote can show


def smoothing_table(
    found: Mapping[str, Smoothing], pixels: Sequence[float], span: float, sampling: Sampling
) -> pd.DataFrame:
    """One row per defense that is smoothed and radius; the first at radius 0.

    Args:
        found: the counted votes of each.
        pixels: radii of the threat that changes every pixel, in grey levels: what holds them all is
            a ball of so many times the root of the number of pixels.
        span: grey levels from the least to the largest.
        sampling: how intervals are drawn.

    Returns:
        `defense, radius` in grey levels (Euclidean), `of_range`, the same in parts of the span,
        `every_pixel`, by how much every pixel may change within it; `certified_accuracy`, the share
        whose right vote nothing nearer turns; `missed_diagnosis_rate`, the share of the ill of whom
        that is not shown (at most so many are missed; abstentions count); both with `_low, _high`
        of a bootstrap over patients, seeds averaged, as has `abstained`; `together`: certified
        accuracy where all radii of a model hold at once with the same probability (Bonferroni).
        Then `patients, ill, sigma, draws, alpha`, the largest radius that so many draws can show
        (`reach`), and whether the vote is `degenerate`: of hardly more than one class.
    """
    lines: list[dict[str, Any]] = []
    for defense, one in found.items():
        y = one.y.numpy()
        weights = sampling.weights(len(y))
        right = (one.selected == one.y).numpy()
        each = _radii(one, one.alpha)
        together = _radii(one, one.alpha / len(y))
        most = reach(one.draws, one.sigma, one.alpha)
        whose = {
            "patients": sampling.patients(len(y)),
            "ill": sampling.patients(len(y), y == 1),
            "sigma": one.sigma,
            "draws": one.draws,
            "alpha": one.alpha,
            "reach": most,
            "degenerate": bool(rates.is_degenerate(one.selected.numpy().flatten(), _every(y, one))),
        }
        quarters = [part * span / PARTS for part in range(1, int(PARTS * most / span) + 1)]
        balls = [eps * one.values**0.5 for eps in pixels]
        for at in sorted({0.0, *quarters, *balls}):
            holds = right & (each > at if at else each >= 0)
            unshown, abstained = (~holds).mean(0), (each < 0).mean(0)
            line: dict[str, Any] = {"defense": defense, "radius": at, "of_range": at / span}
            line["every_pixel"] = within_ball(at, one.values)
            for name, values, where in zip(
                SHARES, (holds.mean(0), unshown, abstained), (None, y == 1, None), strict=True
            ):
                line |= intervals.bounded_mean_share(
                    name, values, weights, sampling.confidence, where
                )
            line["together"] = float((right & (together > at if at else together >= 0)).mean())
            lines.append(line | whose)
    shares = [f"{name}{end}" for name in SHARES for end in ("", "_low", "_high")]
    return pd.DataFrame(lines, columns=[*KEY, *shares, "together", *WHOSE])


def _radii(one: Smoothing, alpha: float) -> np.ndarray[Any, Any]:
    flat = radius(one.hits.flatten(), one.draws, one.sigma, alpha)
    found: np.ndarray[Any, Any] = flat.view(one.hits.shape).numpy()
    return found


def _every(y: np.ndarray[Any, Any], one: Smoothing) -> np.ndarray[Any, Any]:
    return np.tile(y, len(one.selected))
