"""The table of attacks on a vote, and on who learned from one: what is claimed, what is left."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.defenses import STUDENTS
from pipeline.risks.evasion.measure.attackers import TRANSFER
from pipeline.risks.evasion.measure.ensemble import Ensemble
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.statistics import Array, intervals
from pipeline.statistics.conclusions import Difference, compare
from pipeline.statistics.intervals import Sampling

KEY = ["defense", "attacker", "eps", "patients", "ill"]
ANSWERED = ("accuracy", "missed_diagnosis_rate", "false_alarm_rate")
SHARES = (*ANSWERED, "reported", "unreported_error", "detector_auroc")
EXCESS = ["excess", "excess_low", "excess_high", "excess_p", "excess_verdict"]
VERDICTS = {"better": "claims too much", "worse": "claims too little"}


def of_students(examined: Mapping[str, Examination], threat: str) -> dict[str, Ensemble]:
    """What the examination says of those who learned from a vote, as of one; none has a detector.

    Grey box are the images that harm the undefended model, the transformer that their teacher
    reads; adaptive is the worst of all attacks on the student itself.

    Args:
        examined: by defense.
        threat: the headline threat.
    """
    found = {}
    for name in [one for one in examined if one in STUDENTS]:
        margins = examined[name].margins[threat]
        if TRANSFER not in margins.by_attack:
            continue
        worst, sent = margins.worst, np.minimum.accumulate(margins.by_attack[TRANSFER], axis=0)
        ahead = {"none": worst[:1], "grey": sent, "adaptive": worst}
        unknown = torch.full(worst.shape, torch.nan)
        found[name] = Ensemble(
            [float(eps) for eps in margins.eps],
            torch.from_numpy(margins.y),
            {who: _tensor(one) for who, one in ahead.items()},
            {who: unknown[: len(one)] for who, one in ahead.items()},
            unknown[0],
        )
    return found


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def ensemble_table(found: Mapping[str, Ensemble], sampling: Sampling) -> pd.DataFrame:
    """One row per defense, attacker and radius; without attack one row at radius 0.

    Returns:
        `defense, attacker, eps, patients, ill`, and with `_low, _high` of a bootstrap over
        patients, seeds averaged: `accuracy`, `missed_diagnosis_rate` and `false_alarm_rate` of the
        vote; `reported`, the share of images that the detector reports; `unreported_error`, the
        share answered wrongly that it does not; and `detector_auroc`, how well it tells what the
        attacker presents from unchanged images (not a number without attack; these three of who has
        no detector).
        Of the attacker who knows all, `excess`: how much more of the right answers is claimed by
        who knows one voter, on the same patients, its `excess_p` after Holm over all radii and
        defenses, and what may be said of it (`excess_verdict`).
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
                known = not np.isnan(limit).any()
                line: dict[str, Any] = {"defense": defense, "attacker": attacker, "eps": float(eps)}
                line |= {
                    "patients": sampling.patients(len(y)),
                    "ill": sampling.patients(len(y), y == 1),
                }
                each: dict[str, tuple[Array, Array | None]] = {
                    "accuracy": (~wrong, None),
                    "missed_diagnosis_rate": (wrong, y == 1),
                    "false_alarm_rate": (wrong, y == 0),
                    "reported": (reported, None),
                    "unreported_error": (wrong & ~reported, None),
                }
                for name, (values, where) in each.items():
                    if known or name in ANSWERED:
                        line |= intervals.bounded_mean_share(
                            name, values.mean(0), weights, sampling.confidence, where
                        )
                if known and eps:
                    line |= _told_apart(disagree, clean, weights, sampling)
                if attacker == "adaptive":
                    claimed = one.ahead["grey"][place].numpy() > 0
                    line |= _excess(claimed.mean(0), (~wrong).mean(0), weights, sampling)
                lines.append(line)
    _conclude(lines, sampling)
    columns = [*KEY, *(f"{name}{end}" for name in SHARES for end in ("", "_low", "_high")), *EXCESS]
    return pd.DataFrame(lines, columns=columns)


def _excess(claimed: Array, left: Array, weights: Array, sampling: Sampling) -> dict[str, float]:
    """How much more is claimed than is left, of the same patients (N,)."""
    found = intervals.paired_difference(claimed, left, weights, sampling.confidence)
    return {
        "excess": found["difference"],
        "excess_low": found["low"],
        "excess_high": found["high"],
        "se": found["se"],
    }


def _conclude(lines: Iterable[dict[str, Any]], sampling: Sampling) -> None:
    """Writes into the lines what may be said of their excess: Holm over all of them."""
    asked = {number: one for number, one in enumerate(lines) if "excess" in one}
    judged = compare(
        {number: Difference(one["excess"], one["se"]) for number, one in asked.items()},
        patients=max((one["patients"] for one in asked.values()), default=0),
        confidence=sampling.confidence,
    )
    for number, one in judged.items():
        said = VERDICTS.get(one.verdict, one.verdict)
        asked[number] |= {"excess_p": one.p, "excess_verdict": said}


def _told_apart(
    attacked: Array, clean: Array, weights: Array, sampling: Sampling
) -> dict[str, float]:
    """The detector's AUROC: images (S, N) as presented against the same, unchanged."""
    name = "detector_auroc"
    count = clean.shape[1]
    score = np.concatenate([clean, attacked], 1)
    which = np.repeat([0, 1], count)
    drawn = np.concatenate([weights, weights], 1)  # a patient comes with both of his images
    samples = intervals.bootstrap_auroc(score, which, drawn)
    value = float(intervals.bootstrap_auroc(score, which, np.ones((1, 2 * count)))[0])
    return intervals.bounded_auroc(name, value, samples, which, drawn, sampling.confidence)
