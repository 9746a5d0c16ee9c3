"""The table of attacks on a vote: who knows of one voter beside who knows them all."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.risks.evasion.measure.ensemble import Ensemble
from pipeline.statistics import Array, intervals
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import numbered

KEY = ["defense", "attacker", "eps", "patients", "ill"]
SHARES = ("accuracy", "missed_diagnosis_rate", "reported", "unreported_error", "detector_auroc")


def ensemble_table(found: Mapping[str, Ensemble], sampling: Sampling) -> pd.DataFrame:
    """One row per defense that votes, attacker and radius; without attack one row at radius 0.

    Returns:
        `defense, attacker, eps, patients, ill`, and with `_low, _high` of a bootstrap over
        patients, seeds averaged: `accuracy` and `missed_diagnosis_rate` of the vote; `reported`,
        the share of images that the detector reports; `unreported_error`, the share answered
        wrongly that it does not; and `detector_auroc`, how well it tells what the attacker presents
        from unchanged images (not a number without attack).
    """
    lines: list[dict[str, Any]] = []
    for defense, one in found.items():
        y = one.y.numpy()
        weights, limit = sampling.weights(len(y)), one.limit.numpy()
        clean = one.disagree["none"][0].numpy()
        for attacker, ahead in one.ahead.items():
            for place, eps in enumerate(one.eps):
                if (attacker == "none") != (eps == 0):
                    continue
                disagree = one.disagree[attacker][place].numpy()
                wrong, reported = ahead[place].numpy() <= 0, disagree > limit
                line: dict[str, Any] = {"defense": defense, "attacker": attacker, "eps": float(eps)}
                line |= {
                    "patients": sampling.patients(len(y)),
                    "ill": sampling.patients(len(y), y == 1),
                }
                each: dict[str, tuple[Array, Array | None]] = {
                    "accuracy": (~wrong, None),
                    "missed_diagnosis_rate": (wrong, y == 1),
                    "reported": (reported, None),
                    "unreported_error": (wrong & ~reported, None),
                }
                for name, (values, where) in each.items():
                    line |= _share(name, values.mean(0), weights, sampling, where)
                lines.append(line | _told_apart(disagree, clean, eps, weights, sampling))
    columns = [*KEY, *(f"{name}{end}" for name in SHARES for end in ("", "_low", "_high"))]
    return pd.DataFrame(lines, columns=columns)


def _share(
    name: str, each: Array, weights: Array, sampling: Sampling, where: Array | None
) -> dict[str, float]:
    """`intervals.bounded_mean`; by Wilson where it is the same of everybody.

    Of those a bootstrap would draw nothing else, and be certain.
    """
    found = intervals.bounded_mean(name, each, weights, sampling.confidence, where)
    inside = np.ones(len(each), dtype=bool) if where is None else where
    if inside.any() and not np.ptp(each[inside]):
        whose = numbered(sampling.whose(len(each))[inside])
        bounds = intervals.wilson_of_patients(each[inside].sum(), whose, sampling.confidence)
        found |= dict(zip((f"{name}_low", f"{name}_high"), bounds, strict=True))
    return found


def _told_apart(
    attacked: Array, clean: Array, eps: float, weights: Array, sampling: Sampling
) -> dict[str, float]:
    """The detector's AUROC: images (S, N) as presented against the same, unchanged."""
    name = "detector_auroc"
    if not eps:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    count = clean.shape[1]
    score = np.concatenate([clean, attacked], 1)
    which = np.repeat([0, 1], count)
    drawn = np.concatenate([weights, weights], 1)  # a patient comes with both of his images
    samples = intervals.bootstrap_auroc(score, which, drawn)
    value = float(intervals.bootstrap_auroc(score, which, np.ones((1, 2 * count)))[0])
    return intervals.bounded(name, value, samples, sampling.confidence)
