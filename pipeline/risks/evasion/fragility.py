"""How far right answers are from falling: counted by diagnosis, and shown for the most fragile."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import Config
from pipeline.data.schema import Dataset, Schema
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.patients import alone_shares, at_risk, differing, patients_table
from pipeline.statistics import Array
from pipeline.statistics.intervals import Sampling
from pipeline.verify.out_of_fold import Proofs

BINS = 10  # of radii, from 0 to the largest that was verified
POINTS = 0.05  # of probability: a score that is nearer to the cut is called borderline


def radii_table(table: pd.DataFrame, classes: list[str], largest: float) -> pd.DataFrame:
    """How many right answers are proved up to which radius.

    Args:
        table: as `patients_table` returns it.
        classes: of the data set.
        largest: up to which radius the verifier looked.

    Returns:
        one row per class and bin of radii: `class, over, up_to` (the last bin reaches to
        infinity), `patients`: those answered rightly of whom it is proved that no nearer record
        than one in it turns the answer. Of each patient the repetition with the median distance.
    """
    edges = np.linspace(0, largest, BINS + 1)
    ends = [*edges[1:], math.inf]
    lines: list[dict[str, Any]] = []
    for index, name in enumerate(classes):
        radii = table.loc[table["correct"] & (table["y"] == index), "radius"].to_numpy()
        # a radius that is proved to the end of a bin lies in it
        place = np.searchsorted(edges[1:] + 1e-9, radii)
        counts = np.bincount(place, minlength=BINS + 1)
        lines += [
            {"class": name, "over": float(low), "up_to": float(high), "patients": int(count)}
            for low, high, count in zip(edges, ends, counts, strict=True)
        ]
    return pd.DataFrame(lines)


def changes_table(table: pd.DataFrame, proofs: Proofs, x: Array, schema: Schema) -> pd.DataFrame:
    """The change behind each row of `most_fragile`, measurement by measurement.

    Args:
        table: as `patients_table` returns it.
        proofs: what it was made of.
        x: (N, D) unchanged records, in its order.
        schema: of the D features.

    Returns:
        one row per patient and changed value, the most fragile first: `patient`; `probability`
        before and `probability_after` of disease, and the `cut` above which the model calls ill;
        `feature, before, after`, and `errors`: the change in units of the usual measurement error,
        with its sign (NaN = no error is known).
    """
    lines: list[dict[str, Any]] = []
    rows = at_risk(table)
    for n, row in zip(rows.index.astype(int), rows.to_dict("records"), strict=True):
        found = proofs.counterexample[row["repetition"], n].double().numpy()
        scores = {
            "patient": row["patient"],
            "probability": row["confidence_before"],
            "probability_after": row["confidence_after"],
            "cut": row["cut"],
        }
        for d in np.flatnonzero(differing(x[n : n + 1], found[None], schema)[0]).tolist():
            error = schema.features[d].error
            lines.append(
                scores
                | {
                    "feature": schema.names[d],
                    "before": float(x[n, d]),
                    "after": float(found[d]),
                    "errors": math.nan if error is None else float(found[d] - x[n, d]) / error,
                }
            )
    columns = ["patient", "probability", "probability_after", "cut"]
    return pd.DataFrame(lines, columns=[*columns, "feature", "before", "after", "errors"])


def near_the_cut(table: pd.DataFrame) -> "pd.Series[float]":
    """How far the probability of disease is from the cut of its model, at least 0.

    Args:
        table: rows of `patients_table`, answered rightly.
    """
    at_cut = table["cut"].where(table["y"] == 1, 1 - table["cut"])
    return table["confidence_before"] - at_cut


@dataclass(frozen=True)
class Clinic:
    """What a clinician reads of each defense under the headline threat.

    `patients_table`, `alone_shares`, `changes_table` and `radii_table`.
    """

    patients: dict[str, pd.DataFrame]
    alone: dict[str, pd.DataFrame]
    changes: dict[str, pd.DataFrame]
    radii: dict[str, pd.DataFrame]


def clinic_tables(
    examined: Mapping[str, Examination], dataset: Dataset, cfg: Config, sampling: Sampling
) -> Clinic:
    """The tables of every defense of an evaluation, but of those of whom nothing was proved."""
    headline, schema, classes = cfg.audit.headline, dataset.schema, list(cfg.data.classes)
    proofs = {
        name: one.proofs[headline] for name, one in examined.items() if headline in one.proofs
    }
    limits = cfg.threat[headline]
    reached = {name: float(examined[name].margins[headline].eps.max()) for name in proofs}
    patients = {
        name: patients_table(one, dataset.x[one.patients], schema, examined[name].cut)
        for name, one in proofs.items()
    }
    return Clinic(
        patients,
        {name: alone_shares(one, schema, sampling) for name, one in proofs.items()},
        {
            name: changes_table(
                patients[name], one, dataset.x[one.patients].double().numpy(), schema
            )
            for name, one in proofs.items()
        },
        {
            name: radii_table(
                patients[name], classes, min(reached[name], limits.exact_to or math.inf)
            )
            for name in proofs
        },
    )
