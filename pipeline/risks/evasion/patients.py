"""From what is proved about a patient to what a clinician reads: change, unit, error."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.config import FeatureConfig
from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.schema import Schema
from pipeline.models.answers import predicted
from pipeline.statistics import Array, intervals
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.operating_point import logistic
from pipeline.verify.out_of_fold import Proofs, typical


def patients_table(
    proofs: Proofs, x: Tensor, schema: Schema, cut: Tensor | None = None
) -> pd.DataFrame:
    """One row per patient, of the repetition whose `breaks_at` is the (lower) median.

    The first of those that tie.

    Args:
        proofs: what is proved, S repetitions x N patients.
        x: (N, D) unchanged records in clinical units, in the order of `proofs.patients`; NaN =
            missing.
        schema: of the D features; two classes.
        cut: (S, N) log-odds at which each model draws the line; None = at 0.

    Returns:
        a table of `patient, y, diagnosis, correct, repetition`: who, the truth, the model's answer,
        whether it is right, the repetition; `radius, breaks_at, decided, radius_min, radius_max`:
        no nearer record changes the answer (proved); one at this distance does (inf = none found);
        whether both agree; and the range of `radius` over the repetitions; `change, changed`: the
        record found, as text, and how many values of it differ; nothing where the answer is already
        wrong; `alone`: every measurement that can turn the answer by itself, the smallest change
        first; `confidence_before, confidence_after`: probability of the model's own answer, before
        and after the change (NaN = none); `largest_change_in_errors`: in units of the usual error
        of each measurement (NaN = none changed has a known error); `within_error`: there is a
        change, and none of its values moves by more than the usual error of its measurement. One
        error for each value at once: rarer than one error of one value; `margin_before,
        margin_after`: log-odds by which the right answer leads, before and after the change: how
        far each is from the cut (NaN = no change); `cut`: the probability of disease above which
        the model calls ill; `repetitions, wrong_before, turned_by`: how
        many models held the patient out, how many of them were wrong already, and how many right
        answers of theirs this very change turns.
    """
    chosen = typical(proofs.breaks_at)
    everyone = torch.arange(len(chosen))
    margin, breaks_at, radius = (
        of[chosen, everyone].numpy()
        for of in (proofs.margin, proofs.breaks_at, proofs.robust_below)
    )
    correct = margin > 0
    broken = correct & np.isfinite(breaks_at)
    records, found = x.double().numpy(), proofs.counterexample[chosen, everyone].double().numpy()
    differs = differing(records, found, schema) & broken[:, None]
    in_errors = np.abs(found - records) / np.array(
        [feature.error or math.nan for feature in schema.features]
    )
    alone, alone_value = (
        of[chosen, everyone].double().numpy() for of in (proofs.alone, proofs.alone_value)
    )
    counter_margin = proofs.counter_margin[chosen, everyone].numpy()
    everyones = proofs.margin.numpy() > 0
    turned = everyones & (proofs.typical_margin.numpy() <= 0) & broken
    own = np.where(
        correct, 1.0, -1.0
    )  # the margin is that of the true class; a wrong answer's own margin is its opposite
    y = proofs.y.numpy()
    drawn_at = np.zeros(len(y)) if cut is None else cut[chosen, everyone].numpy()
    line = np.where(
        y == 1, drawn_at, -drawn_at
    )  # what the line adds to the log-odds of the true class
    return pd.DataFrame(
        {
            "patient": proofs.patients.numpy(),
            "y": y,
            "diagnosis": [schema.classes[answer] for answer in predicted(margin, y)],
            "correct": correct,
            "repetition": chosen.numpy(),
            "radius": radius,
            "breaks_at": breaks_at,
            "decided": radius == breaks_at,
            "radius_min": proofs.robust_below.min(0).values.numpy(),
            "radius_max": proofs.robust_below.max(0).values.numpy(),
            "change": [
                ", ".join(
                    transition(schema, d, records[n, d], found[n, d])
                    for d in np.flatnonzero(differs[n]).tolist()
                )
                for n in range(len(y))
            ],
            "changed": differs.sum(1),
            "alone": [
                _alone(schema, records[n], alone[n], alone_value[n]) if correct[n] else ""
                for n in range(len(y))
            ],
            "confidence_before": logistic(own * (margin + line)),
            "confidence_after": np.where(broken, logistic(own * (counter_margin + line)), np.nan),
            "largest_change_in_errors": [
                _largest(row) for row in np.where(differs, in_errors, np.nan)
            ],
            "within_error": differs.any(1)
            & ~(differs & ~within_errors(records, found, schema)).any(1),
            "margin_before": margin,
            "margin_after": np.where(broken, counter_margin, np.nan),
            "cut": logistic(drawn_at),
            "repetitions": len(everyones),
            "wrong_before": (~everyones).sum(0),
            "turned_by": turned.sum(0),
        }
    )


def differing(x: Array, other: Array, schema: Schema) -> Array:
    """(N, D) bool: where two records (N, D) hold different values.

    What was missing never differs, nor does a rounding error; what is left out does.
    """
    slack = np.array([TICK_TOLERANCE * (feature.step or 0.0) for feature in schema.features])
    return np.asarray((np.abs(other - x) > slack) | (np.isnan(other) & ~np.isnan(x)))


def within_errors(x: Array, other: Array, schema: Schema) -> Array:
    """(N, D) bool: where a value moved by no more than the usual error of its measurement.

    Never where no error is known.
    """
    error = np.array([feature.error or math.nan for feature in schema.features])
    slack = np.array(
        [TICK_TOLERANCE * (feature.step or feature.error or 0.0) for feature in schema.features]
    )
    return np.asarray(np.abs(other - x) <= error + slack)


def decimals(feature: FeatureConfig) -> int:
    """How many decimals its values are written with.

    Those of its step, or three significant places of its scale.
    """
    if feature.step is None:
        return max(0, 2 - math.floor(math.log10(feature.scale)))
    return max(0, -int(Decimal(str(feature.step)).normalize().as_tuple().exponent))


def shown(feature: FeatureConfig, value: float) -> str:
    """A value as people read it: a level by its label, a number with the decimals of its step."""
    if feature.levels:
        return list(feature.levels.values())[round(value)]
    return f"{value:.{decimals(feature)}f}"


def transition(schema: Schema, index: int, before: float, after: float) -> str:
    """One change as text: `bmi 33.6 → 33.1 kg/m2`.

    Two decimals more for a value off the clinic's grid, and as many as it takes to tell different
    values apart.
    """
    places, feature = decimals(schema.features[index]), schema.features[index]
    if math.isnan(after):
        return f"{schema.names[index]} {shown(feature, before)} → not stated"
    if feature.levels:
        return f"{schema.names[index]} {shown(feature, before)} → {shown(feature, after)}"
    if (
        feature.step is not None
        and abs(after / feature.step - round(after / feature.step)) > 10 * TICK_TOLERANCE
    ):
        places += 2
    while before != after and f"{before:.{places}f}" == f"{after:.{places}f}":
        places += 1
    before, after = round(before, places) + 0.0, round(after, places) + 0.0  # 0, not -0
    said = f"{schema.names[index]} {before:.{places}f} → {after:.{places}f} {feature.unit}"
    return said.rstrip()


def _alone(schema: Schema, record: Array, alone: Array, value: Array) -> str:
    enough = [d for d in np.argsort(alone, kind="stable").tolist() if np.isfinite(alone[d])]
    return ", ".join(transition(schema, d, record[d], value[d]) for d in enough)


def _largest(row: Array) -> float:
    known = row[~np.isnan(row)]
    return float(known.max()) if len(known) else math.nan


def at_risk(table: pd.DataFrame, top: int = 20) -> pd.DataFrame:
    """Of `patients_table` the rows of `most_fragile`, in its order."""
    rows = table[table["correct"] & (table["y"] == 1) & np.isfinite(table["breaks_at"])]
    first: pd.DataFrame = rows.sort_values(["breaks_at", "radius", "patient"], kind="stable")
    return first.head(top)


def most_fragile(table: pd.DataFrame, top: int = 20) -> pd.DataFrame:
    """The correct diagnoses of disease that the smallest change turns into a missed one.

    The most fragile first.

    Args:
        table: as `patients_table` returns it.
        top: how many rows at most.

    Returns:
        the same facts in words, ready to print; `eps` is in units of each feature's scale.
    """
    first = at_risk(table, top)
    return pd.DataFrame(
        {
            "patient": first["patient"],
            "missed at eps": first["breaks_at"].map("{:.3g}".format),
            "proved below eps": first["radius"].map("{:.3g}".format),
            "change that misses the diagnosis": first["change"],
            "models that it turns": [
                f"{turned} of {of}"
                for turned, of in zip(first["turned_by"], first["repetitions"], strict=True)
            ],
            "distance to the cut, log-odds": first["margin_before"].map("{:.2f}".format),
            "confidence before": first["confidence_before"].map("{:.1%}".format),
            "confidence after": first["confidence_after"].map("{:.1%}".format),
            "largest change in measurement errors": first["largest_change_in_errors"].map(
                lambda errors: "not known" if np.isnan(errors) else f"{errors:.1f}"
            ),
            "within measurement error": first["within_error"].map({True: "yes", False: "no"}),
            "one value that suffices": first["alone"].where(first["alone"] != "", "none"),
        }
    ).reset_index(drop=True)


def alone_shares(proofs: Proofs, schema: Schema, sampling: Sampling) -> pd.DataFrame:
    """How many correct diagnoses each measurement can turn alone, as far as it may be forged.

    Args:
        proofs: what is proved, S repetitions x N patients.
        schema: of the D features.
        sampling: of the intervals.

    Returns:
        one row per feature: `feature`, and for all patients, the ill and the healthy the share of
        those answered correctly (a patient counts by the share of repetitions), with `_low` and
        `_high` of its bootstrap interval; `within_error`, likewise of all, where the measurement
        moves by no more than its usual error. NaN: the measurement cannot be changed, has no known
        error, or nobody in the group is answered correctly. A patient who lacks the measurement is
        not turned by it.
    """
    y = proofs.y.numpy()
    right = (proofs.margin > 0).numpy()
    alone = proofs.alone.numpy()
    errors = np.array([(feature.error or math.nan) / feature.scale for feature in schema.features])
    turned, noise = (
        (right[..., None] & of).mean(0)
        for of in (np.isfinite(alone), alone <= errors * (1 + TICK_TOLERANCE))
    )
    answered = right.mean(0)
    weights = sampling.weights(len(y))
    groups = {"all": y >= 0, "ill": y == 1, "healthy": y == 0}
    asked = {name: (turned, where) for name, where in groups.items()}
    asked["within_error"] = noise, groups["all"]
    lines: list[dict[str, Any]] = []
    for index, name in enumerate(schema.names):
        line: dict[str, Any] = {"feature": name}
        for figure, (of, where) in asked.items():
            known = answered[where].any() and not np.isnan(alone[..., index]).all()
            if figure == "within_error":
                known = known and not np.isnan(errors[index])
            figures = (
                share_of(of[:, index], answered, weights, where, sampling.confidence)
                if known
                else (math.nan,) * 3
            )
            names = (figure, f"{figure}_low", f"{figure}_high")
            line |= dict(zip(names, figures, strict=True))
        lines.append(line)
    return pd.DataFrame(lines)


def share_of(
    part: Array, whole: Array, weights: Array, where: Array, confidence: float
) -> tuple[float, float, float]:
    """A part (N,) of a whole (N,) over some patients, and its interval; NaN of nothing."""
    if not whole[where].sum():
        return (math.nan,) * 3
    share = float(part[where].sum() / whole[where].sum())
    drawn = intervals.bootstrap_mean(part, weights, where) / np.maximum(
        intervals.bootstrap_mean(whole, weights, where), 1e-9
    )
    asked = where & (whole > 0)
    return share, *intervals.share_interval(share, drawn, weights, confidence, asked)
