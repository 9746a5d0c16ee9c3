"""The headline figures of evasion, defense against defense on the same patients."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.config import AuditConfig
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.risks.evasion.recipes import Recipe, recipe_pairs
from pipeline.risks.pairs import Drawn, pairs_table
from pipeline.statistics import Array, intervals
from pipeline.statistics.edges import Share
from pipeline.statistics.intervals import Sampling

# the columns of `comparison` that are compared, and whom each is a share of: `y`, None = everybody
ATTACKED = {"missed_diagnosis_rate": 1, "robust_accuracy": None}
CLEAN = {"missed_diagnosis_rate": 1, "false_alarm_rate": 0}
CLEAN_PREFIX = "clean_"


def headline_pairs(
    examined: Mapping[str, Examination],
    cfg: AuditConfig,
    sampling: Sampling,
    recipes: Mapping[str, Recipe] | None = None,
) -> pd.DataFrame:
    """Missed diagnoses and right answers at the headline radius; without attack missed and false.

    Under the headline threat, at each model's own cut, by the weights of `comparison`. Where half
    models of both defenses were asked, the standard error is that of the recipes on a new cohort.

    Returns:
        `pairs_table`; its figures are the columns of `comparison`, those without attack behind
        `clean_`.
    """
    headline = {name: one.margins[cfg.headline] for name, one in examined.items()}
    first = next(iter(headline.values()))
    at = first.nearest(cfg.headline_eps)
    weights = sampling.weights(len(first.y))
    asked = [(key, key, at, whose) for key, whose in ATTACKED.items()]
    asked += [(f"{CLEAN_PREFIX}{key}", key, 0, whose) for key, whose in CLEAN.items()]
    patients = sampling.whose(len(first.y))
    drawn = {
        figure: {
            name: _drawn(margins, weights, radius, whose, patients, wrong=key.endswith("_rate"))
            for name, margins in headline.items()
        }
        for figure, key, radius, whose in asked
    }
    table = pairs_table(drawn, sampling.patients(len(first.y)))
    for pair in recipe_pairs(recipes or {}):
        ours = (table["defense"] == pair.defense) & (table["other"] == pair.other)
        table.loc[ours & (table["figure"] == pair.figure), "se"] = pair.se
    return table


def _drawn(
    margins: Margins, weights: Array, at: int, whose: int | None, patients: Array, *, wrong: bool
) -> Drawn:
    right = (margins.worst[at] > 0).mean(0)
    inside = np.ones(len(right), dtype=bool) if whose is None else margins.y == whose
    each = 1 - right if wrong else right
    share = Share(np.where(inside, each, np.nan), patients)
    return Drawn(float(each[inside].mean()), intervals.bootstrap_mean(each, weights, inside), share)
