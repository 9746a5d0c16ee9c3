"""The table of attacks on every patient, where other attacks and proofs are of a sample."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.measure.everyone import Everyone
from pipeline.statistics import intervals
from pipeline.statistics.intervals import Sampling

WORST = "any of them"


def everyone_table(found: Mapping[str, Everyone], sampling: Sampling) -> pd.DataFrame:
    """One row per defense and attack, and of the worst of the attacks for each patient.

    Returns:
        `defense, attack, eps, patients`, `accuracy` and `missed_diagnosis_rate`, each with `_low,
        _high`: bootstrap over patients.
    """
    lines = []
    for defense, one in found.items():
        y = one.y.numpy()
        weights = sampling.weights(len(y))
        attacked = {name: margins.numpy() for name, margins in one.margins.items()}
        worst = np.minimum.reduce(list(attacked.values()))
        for attack, margins in {**attacked, WORST: worst}.items():
            right = (margins > 0).mean(0)
            key = {"defense": defense, "attack": attack, "eps": one.eps, "patients": len(y)}
            if attack == "none":
                key["eps"] = 0.0
            lines.append(
                key
                | intervals.bounded_mean_share("accuracy", right, weights, sampling.confidence)
                | intervals.bounded_mean_share(
                    "missed_diagnosis_rate", 1 - right, weights, sampling.confidence, y == 1
                )
            )
    return pd.DataFrame(lines)


def in_words(table: pd.DataFrame, shown: Mapping[str, str]) -> pd.DataFrame:
    """The same for people."""
    return pd.DataFrame(
        {
            "defense": table["defense"].map(shown),
            "attack": table["attack"],
            "eps": table["eps"].map("{:g}".format),
            "patients": table["patients"],
            "accuracy": with_interval(table, "accuracy"),
            "missed diagnoses": with_interval(table, "missed_diagnosis_rate"),
        }
    )
