"""What the numbers mean in the clinic, in words."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.config import FeatureConfig
from pipeline.data.grid import TICK_TOLERANCE
from pipeline.presentation.numbers import SMALL, few
from pipeline.statistics import Array, edges
from pipeline.statistics.patients import numbered

GROUPS = {"all": "of all", "ill": "of the ill", "healthy": "of the healthy"}


def eps_table(features: Mapping[str, FeatureConfig], eps_list: Sequence[float]) -> pd.DataFrame:
    """What each radius means in the unit of each measurement, and how well that is measured.

    Args:
        features: the features of the schema, by name.
        eps_list: radii; 0 is left out.

    Returns:
        one row per feature, as text: the change that each eps allows and, in brackets, what the
            grid leaves of it on which the
        clinic records the value; the step of that grid; the usual error (one standard deviation of
        a repeated measurement) with the eps that it amounts to, and its source; whether an attacker
        of the clinical threat may change it.
    """
    lines = []
    for name, feature in features.items():
        line = {"feature": f"{name}, {feature.unit}" if feature.unit else name}
        line |= {f"eps {eps:g}": _reach(feature, eps) for eps in eps_list if eps > 0}
        line["recorded in steps of"] = "any" if feature.step is None else f"{feature.step:g}"
        if feature.levels:
            line["recorded in steps of"] = f"one of {len(feature.levels)} levels"
        error = feature.error
        line["usual measurement error"] = (
            "none stated" if error is None else f"{error:g} (eps {error / feature.scale:.2g})"
        )
        line["source of the error"] = feature.error_source or ""
        line["an attacker may change it"] = "yes" if feature.mutable else "no"
        lines.append(line)
    return pd.DataFrame(lines)


def _reach(feature: FeatureConfig, eps: float) -> str:
    if feature.kind == "categorical":
        return "a recode" if feature.recodes and eps >= feature.cost else "nothing"
    change = feature.scale * eps
    if feature.levels:
        steps = math.floor(change + TICK_TOLERANCE)
        return f"{steps} level{'' if steps == 1 else 's'}" if steps else "nothing"
    if feature.step is None or not feature.mutable:
        return f"{change:.4g}"
    steps = math.floor(change / feature.step + TICK_TOLERANCE)
    return f"{change:.4g} ({steps * feature.step:.4g})"


def within_error_sentence(
    table: pd.DataFrame, confidence: float = 0.95, whose: Array | None = None, hidden: bool = False
) -> str:
    """How many correct answers change although no value moved by more than its usual error.

    With Wilson's interval, records of one patient (`whose`, by row of the records) as if they said
    the same.

    At least so many: of each patient only the record that is nearest in units of scale was looked
    at.
    """
    said = []
    for what, of in (("diagnoses of disease", 1), ("all-clears", 0)):
        right = table[table["correct"] & (table["y"] == of)]
        turned = int(right["within_error"].sum())
        if hidden and (0 < turned < SMALL or 0 < len(right) < SMALL):
            said.append(f"{few(turned)} of {few(len(right))} correct {what}")
        elif len(right):
            rows = right["patient"].to_numpy()
            each = np.arange(len(rows)) if whose is None else numbered(whose[rows])
            low, high = edges.wilson_of_patients(turned, each, confidence)
            said.append(
                f"{turned} of {len(right)} correct {what} ({turned / len(right):.1%}; "
                f"{low:.1%} to {high:.1%})"
            )
    if not said:
        return "No patient is answered correctly."
    return (
        "Turned by changes within the usual measurement error of every value, at least: "
        f"{' and '.join(said)}."
    )


def shares_in_words(shares: pd.DataFrame) -> pd.DataFrame:
    """`patients.alone_shares` as text, for people."""
    shown = pd.DataFrame({"measurement": shares["feature"]})
    for group, title in GROUPS.items():
        figures = zip(shares[group], shares[f"{group}_low"], shares[f"{group}_high"], strict=True)
        shown[title] = [
            "-" if math.isnan(s) else f"{s:.1%} ({low:.1%} to {high:.1%})"
            for s, low, high in figures
        ]
    return shown
