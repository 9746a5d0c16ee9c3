"""The table of an official split's parts: who is ill, and how models do, where the cut was chosen.

And what follows by rule for the cut on the records that are reported.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.presentation.numbers import as_told, with_interval
from pipeline.risks.columns import DEFENSE
from pipeline.risks.evasion.measure.set_aside import SetAside
from pipeline.risks.pairs import Apart, Drawn
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.edges import Share
from pipeline.statistics.intervals import Sampling

UNKNOWN = Drawn(float("nan"), np.full(1, np.nan))
TUNE, TEST, TRAIN = "tune", "test", "train"
LESS = f"{TUNE} less {TEST}"
FIGURES = ("prevalence", "auroc", "sensitivity", "specificity")
COLUMNS = {
    "split": {
        **DEFENSE,
        "part": "of the official split: train, tune (where the cut is chosen), test (reported), or "
        "tune less test",
        "patients": "records of the part",
        "ill": "of these",
        "prevalence": "share of the ill",
        "auroc": "of the models, without attack; none where they trained",
        "sensitivity": "likewise, at the cut",
        "specificity": "likewise, at the cut",
    }
}


def split_table(found: Mapping[str, SetAside], sampling: Sampling) -> pd.DataFrame:
    """One row per defense and part of the split, and of tune less test.

    Returns:
        `COLUMNS`; each figure with `_low` and `_high`: bootstrap over patients, models averaged
        first; of the difference both parts are drawn together. Empty where nothing was set aside.
    """
    lines = []
    for defense, one in found.items():
        weights = sampling.weights(len(one.y))
        parts = {
            name: _figures(one, rows.numpy(), weights, answered=name != TRAIN)
            for name, rows in ((TRAIN, one.train), (TUNE, one.tune), (TEST, one.test))
        }
        less = {name: figure.less(parts[TEST][name]) for name, figure in parts[TUNE].items()}
        drawn: dict[str, Mapping[str, Drawn | Apart]] = {**parts, LESS: less}
        counted = {TRAIN: one.train, TUNE: one.tune, TEST: one.test}
        for part, figures in drawn.items():
            line: dict[str, object] = {"defense": defense, "part": part}
            line |= {"patients": np.nan, "ill": np.nan}
            if part in counted:
                rows = counted[part][0]
                line |= {"patients": int(rows.sum()), "ill": int(one.y[rows].sum())}
            for name in FIGURES:
                line |= figures.get(name, UNKNOWN).bounded(name, sampling.confidence)
            lines.append(line)
    return pd.DataFrame(lines)


def _figures(one: SetAside, rows: Array, weights: Array, *, answered: bool) -> dict[str, Drawn]:
    """Each figure of a part (S, N), drawn by weights (R, N); models averaged."""
    y = one.y.numpy()
    own = rows[0]  # the parts of a split are the same for each model
    figures = {"prevalence": _mean(y == 1, own, weights)}
    if not answered:
        return figures
    score = one.log_odds.numpy()[:, own]
    drawn = intervals.bootstrap_auroc(score, y[own], weights[:, own])
    figures["auroc"] = Drawn(rates.auroc(score, y[own]), drawn, intervals.ranked(y, weights, own))
    called = (one.log_odds.numpy() > one.cut.numpy()[:, None]).mean(0)
    figures["sensitivity"] = _mean(called, own & (y == 1), weights)
    figures["specificity"] = _mean(1 - called, own & (y == 0), weights)
    return figures


def _mean(values: Array, rows: Array, weights: Array) -> Drawn:
    each = values.astype(np.float64)
    share = Share(np.where(rows, each, np.nan), intervals.drawn_together(weights))
    return Drawn(
        intervals.mean_of(each[rows]), intervals.bootstrap_mean(each, weights, rows), share
    )


def transfers(table: pd.DataFrame, defense: str) -> str:
    """By rule, whether the cut of a defense was chosen on other records than it is reported on.

    Other, where a whole interval of tune less test lies on one side of 0; intervals not corrected
    for there being two. Empty where nothing was set aside.
    """
    lines = table[table["defense"] == defense].to_dict("records") if len(table) else []
    if not lines:
        return ""
    own = {str(line["part"]): line for line in lines}
    apart = own[LESS]
    words = {
        "auroc": ("are easier", "are harder"),
        "prevalence": ("have more ill", "have fewer ill"),
    }
    said = []
    for name, (more, less) in words.items():
        low, high = apart[f"{name}_low"], apart[f"{name}_high"]
        word = more if low > 0 else less if high < 0 else ""
        if word:
            both = [f"{own[part][name]:.3f}" for part in (TUNE, TEST)]
            what = "AUROC" if name == "auroc" else "share"
            said.append(f"{word} ({what} {both[0]} against {both[1]})")
    if not said:
        return (
            "The cut was chosen on tune records that are not told apart from the test records, by "
            "AUROC and by the share of the ill."
        )
    at = "; ".join(
        f"{name} {own[TUNE][name]:.3f} there, {own[TEST][name]:.3f} here"
        for name in ("sensitivity", "specificity")
    )
    return (
        f"The cut was chosen on tune records that {' and '.join(said)} than the test records: it "
        f"does not transfer fully ({at})."
    )


def in_words(table: pd.DataFrame, shown: Mapping[str, str]) -> pd.DataFrame:
    """The same for people."""
    return pd.DataFrame(
        {
            "defense": table["defense"].map(shown),
            "part": table["part"],
            "records": as_told(table["patients"]),
            "ill": as_told(table["ill"]),
            "share of the ill": with_interval(table, "prevalence"),
            "AUROC": with_interval(table, "auroc"),
            "sensitivity": with_interval(table, "sensitivity"),
            "specificity": with_interval(table, "specificity"),
        }
    )
