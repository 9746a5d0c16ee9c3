"""Whose data show most: how well models that trained on a patient are told from the others."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.attacks.membership import ADDS_UP
from pipeline.config import BASELINE, DataConfig
from pipeline.data.schema import Dataset
from pipeline.risks.columns import measurement_columns
from pipeline.risks.groups import groups_of
from pipeline.risks.membership.measure.shadows import Membership
from pipeline.risks.pairs import Drawn
from pipeline.statistics import Array, intervals
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import added, are_alone, averaged, first_records, numbered
from pipeline.statistics.separation import HALVES, by_patient, mean_known, most_exposing

MOST_EXPOSED = 0.01  # of the patients, in a list that stays with the owner of the cohort
MOST = "most exposed 5 %"
WORST_OFF = 0.05  # of the patients, a group that is large enough to be shared
# within a patient these compare targets without reading who trained the others
OWN = ("defense", "patient", "y", "exposure", "most_exposed")  # columns beside the measurements
OF_PATIENTS = ("rmia", "rmia_drift")


def of_patients(one: Membership, whose: Array) -> Membership:
    """The same with a column for each patient in place of each record.

    A patient is a member if his records are, which are so together. What is said of them is added
    up where an attack's scores are likelihood ratios (`ADDS_UP`), otherwise averaged, since it
    would only tell how many records somebody has.

    Args:
        one: of N records.
        whose: (N,) int64, the patient of each, from 0.

    Raises:
        ValueError: a target trained on some records of a patient, but not on others.
    """
    if are_alone(whose):
        return one
    first = first_records(whose)
    if (one.member != one.member[:, first][:, whose]).any():
        raise ValueError("targets trained on some records of a patient, but not on others")
    scores = {
        attack: (added if ADDS_UP.get(attack) else averaged)(values.numpy(), whose)
        for attack, values in one.scores.items()
    }
    return replace(
        one,
        scores={attack: torch.from_numpy(values) for attack, values in scores.items()},
        member=one.member[:, first],
        log_odds=torch.from_numpy(averaged(one.log_odds.numpy(), whose)),
    )


def exposure(by_half: Array, dataset: Dataset) -> pd.DataFrame:
    """One row per patient: how well models of them can be told from the others by their answer.

    Args:
        by_half: of `exposure_by_half`, (2, P).
        dataset: the records of the P patients.

    Returns:
        `patient` (row of the records, of several of a patient the first), `y`, `exposure` (AUROC
        over targets, mean of the halves that know; 0.5 = not at all), `most_exposed` (the top 1 %),
        and the measurements of that row (of images none).
    """
    risk = mean_known(by_half, 0)
    whose = numbered(dataset.patient.numpy())
    rows = first_records(whose)
    table = pd.DataFrame({"patient": rows, "y": dataset.y.numpy()[rows], "exposure": risk})
    table["most_exposed"] = _highest(risk, MOST_EXPOSED)
    if dataset.schema.image:
        return table
    names = measurement_columns(dataset.schema.names, OWN)
    values = dict(zip(names, dataset.x[rows].numpy().T, strict=True))
    return pd.concat([table, pd.DataFrame(values)], axis=1)


def exposure_by_half(one: Membership) -> Array:
    """(2, N): the exposure of each patient by either half of the targets.

    Within one patient the log-odds of models compare without shadows, and so do the scores of
    `OF_PATIENTS`, which read nobody's membership. (Likelihood ratios that leave the target out
    would fall below 0.5 where there is nothing to find: a target that answers high leaves the
    others of its side lower.) Each half of the targets is judged by whichever of them exposes most
    by the other half.
    """
    member = one.member.numpy()
    signals = {"loss": one.log_odds.numpy()} | {
        attack: one.scores[attack].numpy() for attack in OF_PATIENTS if attack in one.scores
    }
    found = {
        name: tuple(by_patient(signal[half], member[half]) for half in HALVES)
        for name, signal in signals.items()
    }
    return np.stack([found[name][half] for half, name in enumerate(most_exposing(found))])


def worst_off(by_half: Array) -> tuple[Array, Array]:
    """The exposure of the most exposed patients by the targets that did not choose them.

    Of exposures (2, N), by each half of the targets: who is highest by chance in one half is not so
    in the other.

    Returns:
        for each patient (N,) the sum of what is told of them, and by how many halves; 0 and 0 of
        who was not chosen.
    """
    first, second = (_highest(one, WORST_OFF) for one in by_half)
    told = np.stack([np.where(second, by_half[0], np.nan), np.where(first, by_half[1], np.nan)])
    return np.nansum(told, axis=0), (~np.isnan(told)).sum(0)


def _most_exposed(by_half: Array, sampling: Sampling) -> dict[str, Any]:
    """A line of `subgroups`: patients are drawn with all that is told of them."""
    told, times = worst_off(by_half)
    told, times = told[times > 0], times[times > 0]
    key = {"by": "exposure", "group": MOST, "patients": len(times)}
    if not len(times):
        return key | dict.fromkeys(("exposure", "exposure_low", "exposure_high"), np.nan)
    weights = sampling.weights(len(times))
    samples = (weights @ told) / (weights @ times)
    value = float(told.sum() / times.sum())
    return key | intervals.bounded("exposure", value, samples, sampling.confidence)


def drawn_most_exposed(by_half: Array, sampling: Sampling) -> Drawn | None:
    """The same, resampled with everybody: so that two defenses, who expose others, are paired.

    None where nothing is known of anybody.
    """
    told, times = worst_off(by_half)
    if not times.any():
        return None
    weights = sampling.weights(len(times))
    with np.errstate(invalid="ignore"):  # a resample may hold none of them
        samples = (weights @ told) / (weights @ times)
    return Drawn(float(told.sum() / times.sum()), samples)


def _highest(values: Array, share: float) -> Array:
    """(N,) bool: at least one; values that are not a number come last."""
    order = np.argsort(-np.nan_to_num(values, nan=-1.0), kind="stable")
    return np.isin(np.arange(len(values)), order[: max(1, round(share * len(values)))])


def standing_out(exposures: Array, targets: int, confidence: float) -> tuple[float, int]:
    """From which exposure on a patient stands out, and how many do.

    Of nobody about whom models tell nothing, with this confidence for all patients together
    (Bonferroni): an AUROC of chance is normal around 0.5, and an exposure is the mean of two, each
    over half of the targets, of which half trained on the patient (Mann and Whitney 1947).

    Args:
        exposures: (P,), not a number where nothing is known.
        targets: models over which each is measured.
        confidence: that nobody is named by chance.
    """
    known = exposures[~np.isnan(exposures)]
    sides = targets / 4  # members, and as many others, in each half
    se = float(np.sqrt((2 * sides + 1) / (12 * sides**2) / len(HALVES)))
    least = 0.5 + NormalDist().inv_cdf(1 - (1 - confidence) / max(len(known), 1)) * se
    return least, int((known >= least).sum())


def subgroups(
    by_half: Mapping[str, Array],
    exposures: Mapping[str, pd.DataFrame],
    data: DataConfig,
    sampling: Sampling,
) -> pd.DataFrame:
    """Mean exposure of groups of patients, the worst first, with intervals over patients.

    The groups: the most exposed 5 %, chosen by other targets than those that measure them; by
    diagnosis; by the data set's bands. Of the last two `exposure_difference` is that to the
    undefended models, on the same patients; the most exposed are others with each defense.
    """
    lines = []
    undefended = exposures.get(BASELINE)
    for defense, table in exposures.items():
        called = dict(
            zip(measurement_columns(list(data.features), OWN), data.features, strict=True)
        )
        shown = [column for column in called if column in table]
        names = [called[column] for column in shown]
        groups = groups_of(table[shown].to_numpy(), names, table["y"].to_numpy(), data)
        own = [_most_exposed(by_half[defense], sampling)]
        for (kind, group), chosen in groups.items():
            known = chosen & table["exposure"].notna().to_numpy()
            values = table.loc[known, "exposure"].to_numpy()
            if not len(values):
                continue
            weights = sampling.weights(len(values))
            key = {"by": kind, "group": group, "patients": len(values)}
            line = key | intervals.bounded_mean("exposure", values, weights, sampling.confidence)
            if undefended is not None and defense != BASELINE:
                more = values - undefended.loc[known, "exposure"].to_numpy()
                if not np.isnan(more).any():
                    line |= intervals.bounded_mean(
                        "exposure_difference", more, weights, sampling.confidence
                    )
            own.append(line)
        own.sort(key=lambda line: -line["exposure"])
        lines += [{"defense": defense, **line} for line in own]
    return pd.DataFrame(lines)
