"""What repeating every measurement could do to right answers, as it is proved."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import Config
from pipeline.presentation.chapter import Note, Part, Table
from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.patients import share_of
from pipeline.statistics.intervals import Sampling

GROUPS = {
    "all": "of all right answers",
    "ill": "of diagnoses of disease",
    "healthy": "of all-clears",
}


def repeated_shares(
    examined: Mapping[str, Examination], cfg: Config, sampling: Sampling
) -> pd.DataFrame:
    """How many right answers repeated measurement could turn, under each threat of errors.

    Args:
        examined: what was measured of each defense.
        cfg: which threats count in measurement errors.
        sampling: of the intervals.

    Returns:
        one row per defense, threat and number of errors above 0: of all patients, the ill and the
        healthy, the share of right answers of whom a record is known that is answered wrongly and
        that lies within so many errors of every value at once (a patient counts by the share of
        repetitions), with `_low` and `_high`; and `undecided`, the share of right answers neither
        turned nor proved.
    """
    lines: list[dict[str, Any]] = []
    for defense, one in examined.items():
        for threat, proofs in one.proofs.items():
            limits, y = cfg.threat[threat], proofs.y.numpy()
            if limits.unit != "error":
                continue
            weights = sampling.weights(len(y))
            radii = [eps for eps in limits.eps or cfg.audit.eps if eps > 0]
            right = proofs.margin.numpy() > 0
            turned = proofs.broken_at(radii).numpy() & right
            open_ = right & ~turned & ~proofs.robust_at(radii).numpy()
            for errors, broken, unknown in zip(radii, turned, open_, strict=True):
                line = {"defense": defense, "threat": threat, "errors": float(errors)}
                for group, where in (("all", y >= 0), ("ill", y == 1), ("healthy", y == 0)):
                    figures = share_of(
                        broken.mean(0), right.mean(0), weights, where, sampling.confidence
                    )
                    names = (group, f"{group}_low", f"{group}_high")
                    line |= dict(zip(names, figures, strict=True))
                line["undecided"] = float(unknown.sum() / max(right.sum(), 1))
                lines.append(line)
    columns = ["defense", "threat", "errors"]
    return pd.DataFrame(lines) if lines else pd.DataFrame(columns=columns)


def repeat_parts(shares: pd.DataFrame, threat: str, shown: Mapping[str, str]) -> list[Part]:
    """What is said of repeated measurement under one threat; nothing where it counts no errors."""
    lines = shares[shares["threat"] == threat]
    if not len(lines):
        return []
    table = pd.DataFrame(
        {
            "defense": lines["defense"].map(shown),
            "errors of every value": lines["errors"].map("{:g}".format),
            **{title: with_interval(lines, group) for group, title in GROUPS.items()},
            "undecided": np.where(
                lines["undecided"] > 0, lines["undecided"].map("{:.3f}".format), "none"
            ),
        }
    )
    said = (
        "The share of right answers that repeated measurement could turn: every value comes out "
        "by at most so many standard deviations of its error away, all at once, each the worst "
        "way. Found and proved for each patient; a bound, since chance rarely moves all values "
        "the worst way. A value without a known error stays."
    )
    return [Note(said), Table(table, "numbers")]
