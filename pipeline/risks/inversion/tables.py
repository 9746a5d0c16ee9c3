"""From guesses to what people read.

By how much a model brings the guess of a private measurement nearer, with intervals.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from pipeline.data.schema import Dataset
from pipeline.risks.columns import ACCESS, DEFENSE, IDS, KNOWLEDGE, MEASUREMENT, measurement_columns
from pipeline.risks.inversion.image_tables import COLUMNS as OF_IMAGES
from pipeline.risks.inversion.image_tables import (
    REBUILT,
    TYPICAL,
    UPDATES,
    rebuilt_images,
    told_tables,
    typical_images,
    updates_table,
)
from pipeline.risks.inversion.measure.guesses import Inversion
from pipeline.risks.inversion.measure.images import Reconstruction
from pipeline.risks.pairs import PAIRS, Drawn, pairs_table
from pipeline.risks.risk import Context, Sources
from pipeline.standards import KNOWLEDGE as KNOWN
from pipeline.standards import RISKS
from pipeline.statistics import Array, intervals
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import averaged

GROUPS = ("members", "others", "difference")
FINDINGS = {  # the whole interval is above 0; 0 lies in it; it is below
    "members": ("uplift", "no uplift", "harm"),
    "others": ("uplift", "no uplift", "harm"),
    "difference": ("more", "no difference", "less"),
}

BOUNDED = ("uplift", "share")
HEADLINE = (True, "scores", "learned")  # of a question: diagnosis known, access, attacker

COLUMNS = {
    "inversion": {
        **DEFENSE,
        "attribute": "the measurement that is guessed",
        "unit": "its clinical unit, also of the errors and of the uplift",
        "diagnosis": "whether the attacker knows it, too",
        **ACCESS,
        "attacker": "posterior weighs candidate values by the answers, learned regresses on them",
        **KNOWLEDGE,
        **IDS,
        "group": "patients the model was trained on, others, or the former less the latter",
        "patients": "those with something to guess",
        "victims": "models that are asked, each trained on its own random half of the patients",
        "error_alone": "mean absolute error of the guess without a model",
        "error_aided": "mean absolute error of the guess with the model",
        "uplift": "by how much the model brings the guess nearer",
        "share": "the uplift as a share of the error without a model; of the difference: likewise",
        "finding": "where the interval of the uplift lies",
    },
    "inversion_pairs": PAIRS,
    "typical": {
        **DEFENSE,
        "victims": "models whose typical ill records are averaged; bounds are of any one of them",
        **MEASUREMENT,
        "to_class_mean": "distance to the mean of the ill, in units of scale",
        "center_to_class_mean": "distance of the public centre to that mean, likewise",
        "to_nearest_member": "distance to the nearest patient trained on, likewise",
        "to_nearest_non_member": "distance to the nearest other patient, likewise",
        "between_people": "median distance of a patient to the nearest other one, likewise",
        **IDS,
    },
    **OF_IMAGES,
}
CHANCE = "chance of the true level"  # the unit of guesses of a category


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """Every table about inversion: `inversion`, `inversion_pairs` and `typical`.

    Of images `image_told` and its pairs, `image_typical` and `image_updates` in their place.
    """
    if context.dataset.schema.image:
        images = {
            name: Reconstruction.load(place) for name, place in sources.of("inversion").items()
        }
        return image_tables(images, context) if images else {}
    found = {name: Inversion.load(place) for name, place in sources.of("inversion").items()}
    if not found:
        return {}
    dataset, sampling = context.dataset, context.sampling.each_alone()
    whose = context.sampling.whose(len(dataset.y))
    found = {name: by_patient(one, whose) for name, one in found.items()}
    return {
        "inversion": inversion_table(found, dataset, sampling),
        "inversion_pairs": headline_pairs(found, sampling),
        "typical": typical_table(found, dataset),
    }


def image_tables(found: Mapping[str, Reconstruction], context: Context) -> dict[str, pd.DataFrame]:
    """The tables of images; single ones are only shown where patients are."""
    dataset = context.dataset
    tables = told_tables(found, dataset, context.sampling)
    tables |= {TYPICAL: typical_images(found), UPDATES: updates_table(found, dataset)}
    if context.cfg.report.patients == "shown":
        tables[REBUILT] = rebuilt_images(found, dataset)
    return tables


def by_patient(one: Inversion, whose: Array) -> Inversion:
    """The same with the mean error of each patient's records in place of each record's.

    Args:
        one: of N records.
        whose: (N,) int64, the patient of each, from 0.
    """
    alone, aided = (averaged(errors.numpy(), whose) for errors in (one.alone, one.aided))
    return replace(one, alone=torch.from_numpy(alone), aided=torch.from_numpy(aided))


def inversion_table(
    found: Mapping[str, Inversion], dataset: Dataset, sampling: Sampling
) -> pd.DataFrame:
    """One row per defense, question and group of patients.

    `members` of the victim, `others`, and members minus others.

    Returns:
        `error_alone` and `error_aided`: mean absolute error of the guess without and with the
        model, in `unit`; `uplift`, how much nearer the model brings it, with `uplift_low` and
        `uplift_high`: bootstrap over patients, victims averaged first; `share`, the uplift over
        `error_alone`, numerator and denominator resampled together. In the rows `difference` all
        are what members have more than others, paired: over the patients who are both to some
        victim. `finding`: where the whole interval of the uplift lies (`FINDINGS`). No rows where
        nothing is private.
    """
    keys: list[dict[str, str | int]] = []
    without: list[Array] = []
    aided: list[Array] = []
    features = dict(zip(dataset.schema.names, dataset.schema.features, strict=True))
    for defense, one in found.items():
        for question, *errors in zip(
            one.questions, one.alone.numpy(), one.aided.numpy(), strict=True
        ):
            feature = features[question.attribute]
            key = {
                "defense": defense,
                "attribute": question.attribute,
                "unit": CHANCE if feature.kind == "categorical" else feature.unit,
                "diagnosis": "known" if question.diagnosis else "unknown",
                "access": question.access,
                "attacker": question.attacker,
                "knowledge": f"{KNOWN[question.access]}, all other measurements",
                **RISKS["inversion"].columns(),
                "victims": len(one.typical),
            }
            keys += [key | {"group": group} for group in GROUPS]
            without.append(errors[0].astype(np.float64) * feature.scale)
            aided.append(errors[1].astype(np.float64) * feature.scale)
    if not keys:
        return pd.DataFrame(
            columns=["defense", "attribute", "diagnosis", "access", "attacker", "group", "uplift"]
        )
    table = pd.DataFrame(keys).join(_gains(np.stack(without), np.stack(aided), sampling))
    table["finding"] = [
        _finding(*line)
        for line in table[["group", "uplift_low", "uplift_high"]].itertuples(index=False)
    ]
    return table


def headline_pairs(found: Mapping[str, Inversion], sampling: Sampling) -> pd.DataFrame:
    """Of each measurement, what members are told more than others: its distance from 0, compared.

    By who learns, knows the diagnosis and sees scores (`HEADLINE`). 0 is best: a model that tells
    less of members than of others gives them away, too.

    Returns:
        `pairs_table`; its figures are the names of the measurements.
    """
    patients = next(iter(found.values())).alone.shape[2]
    weights = sampling.weights(patients).astype(np.float64)
    weights = np.vstack([np.ones_like(weights[:1]), weights])
    drawn: dict[str, dict[str, Drawn]] = {}
    for defense, one in found.items():
        for question, alone, aided in zip(
            one.questions, one.alone.numpy(), one.aided.numpy(), strict=True
        ):
            asked = ~np.isnan(alone - aided).any(0)
            if (question.diagnosis, question.access, question.attacker) != HEADLINE:
                continue
            if not asked.any():
                continue
            both = np.broadcast_to(asked, alone.shape)
            without, helped = (one[None].astype(np.float64) for one in (alone, aided))
            share = _means(without, helped, both[None], weights)["share"][0]
            more = share[0] - share[1]
            of_attribute = drawn.setdefault(question.attribute, {})
            of_attribute[defense] = Drawn(float(more[0]), more[1:]).distance_from_zero()
    return pairs_table(drawn, patients)


def _finding(group: str, low: float, high: float) -> str:
    more, none, less = FINDINGS[group]
    return "nobody asked" if np.isnan(low) else more if low > 0 else less if high < 0 else none


def _gains(without: Array, aided: Array, sampling: Sampling) -> pd.DataFrame:
    """Errors (Q, 2, N) of Q questions, members and others, as means over patients; NaN = no guess.

    Returns:
        a row per question and group, in the order of `GROUPS`.
    """
    known = ~np.isnan(without - aided)
    both = np.broadcast_to(known.all(1, keepdims=True), known.shape)
    weights = sampling.weights(known.shape[2]).astype(np.float64)
    weights = np.vstack([np.ones_like(weights[:1]), weights])  # first everybody, once
    of_sides, paired = (_means(without, aided, asked, weights) for asked in (known, both))
    lines = []
    for question, counts in enumerate(known.sum(2)):
        patients = (*counts, both[question, 0].sum())
        for group, asked in enumerate(patients):
            line: dict[str, float] = {"patients": asked}
            for name, sides in of_sides.items():
                figures = (
                    paired[name][question, 0] - paired[name][question, 1]
                    if GROUPS[group] == "difference"
                    else sides[question, group]
                )
                line |= (
                    intervals.bounded(name, figures[0], figures[1:], sampling.confidence)
                    if name in BOUNDED
                    else {name: figures[0]}
                )
            lines.append(line if asked else dict.fromkeys(line, np.nan) | {"patients": 0})
    return pd.DataFrame(lines)


def _means(without: Array, aided: Array, asked: Array, weights: Array) -> dict[str, Array]:
    """Figures of errors (Q, 2, N) over the patients `asked` (Q, 2, N), in each resample (R, N).

    Returns:
        each (Q, 2, R). `share` is the ratio of two means over the same resample: its interval needs
        both to move together.
    """

    def summed(values: Array) -> Array:
        """One product for all questions and groups: (Q, 2, N) to (Q, 2, R)."""
        total = weights @ values.reshape(-1, values.shape[2]).T
        return np.asarray(total.T.reshape(*values.shape[:2], -1))

    count = np.maximum(summed(asked.astype(np.float64)), 1)
    alone, helped = (summed(np.where(asked, errors, 0.0)) / count for errors in (without, aided))
    gain = alone - helped
    share = np.divide(gain, alone, out=np.zeros_like(gain), where=alone > 0)
    return {"error_alone": alone, "error_aided": helped, "uplift": gain, "share": share}


def typical_table(found: Mapping[str, Inversion], dataset: Dataset) -> pd.DataFrame:
    """One row per defense: its most typical ill record, and how near that is to people.

    Returns:
        each measurement in clinical units; then root mean square distances in units of scale, mean
        over victims with `_low` and `_high`, the least and the largest of any victim:
        `to_class_mean`, `center_to_class_mean` (the public centre, which needs no model),
        `to_nearest_member`, `to_nearest_non_member`, `between_people`.
    """
    lines = []
    names = measurement_columns(dataset.schema.names, beside_measurements())
    for defense, one in found.items():
        if one.typical.isnan().all():  # no gradient leads to it
            continue
        line = {"defense": defense, "victims": len(one.typical)}
        line |= dict(zip(names, one.typical.mean(0).tolist(), strict=True))
        for name, values in sorted(one.distances.items()):
            line |= {
                name: float(values.mean()),
                f"{name}_low": float(values.min()),
                f"{name}_high": float(values.max()),
            }
        lines.append(line | RISKS["inversion"].columns())
    return pd.DataFrame(lines)


def beside_measurements() -> list[str]:
    """The columns of `typical_table` that are no measurements."""
    own = [name for name in COLUMNS["typical"] if name not in MEASUREMENT]
    return [f"{name}{end}" for name in own for end in ("", "_low", "_high")]
