"""Accuracy and the classification report: before attack, under FGSM, under the strongest attack."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import Config
from pipeline.models.answers import predicted
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.intervals import Sampling

NONE, ALL = "none", "strongest"  # no attack; of all attacks, the worst for each record
FGSM = "fgsm"  # the method of the single step
RATES = ("precision", "recall", "f1")
RECALLED = ("specificity", "sensitivity")  # the recall of class 0 and 1, in the comparison


def single_steps(cfg: Config) -> list[str]:
    """The configured attacks that are FGSM, whatever they are called."""
    return [name for name, options in cfg.attack.items() if options.get("method") == FGSM]


def classification_table(
    examined: Mapping[str, Examination],
    comparison: pd.DataFrame,
    attacks: pd.DataFrame,
    cfg: Config,
    sampling: Sampling,
) -> pd.DataFrame:
    """One row per defense, attack, radius and class, under the headline threat.

    Args:
        examined: what was measured of each defense.
        comparison: of `compare`: where a figure stands there too, so does its interval.
        attacks: of `attacks_table`, likewise.
        cfg: names the classes, the headline threat, and which attack is FGSM.
        sampling: of all other intervals: a bootstrap over patients, seeds averaged first.

    Returns:
        `defense, threat, attack, eps, class`: attack is `none` (eps 0), `strongest` (the worst of
        all for each record, those of the verifier and of smaller radii among them), or the name of
        an FGSM; `precision, recall, f1` with `_low, _high`, `support`; `accuracy` of both classes
        together, with `_low, _high`.
    """
    threat, classes = cfg.audit.headline, list(cfg.data.classes)
    headline = {name: one.margins[threat] for name, one in examined.items()}
    weights = sampling.weights(len(next(iter(headline.values())).y))
    known = comparison[comparison["threat"] == threat].set_index(["defense", "eps"])
    left = attacks[attacks["threat"] == threat].set_index(["defense", "attack", "eps"])
    lines: list[dict[str, Any]] = []
    for name, margins in headline.items():
        for attack, at, found in _asked(margins, single_steps(cfg)):
            eps = float(margins.eps[at])
            key = {"defense": name, "threat": threat, "attack": attack, "eps": eps}
            alone = attack in margins.by_attack
            source: Any = left.loc[(name, attack, eps), :] if alone else known.loc[(name, eps), :]
            prefix = "accuracy" if alone else "robust"
            accuracy = {
                "accuracy": source["accuracy" if alone else "robust_accuracy"],
                **{f"accuracy{end}": source[f"{prefix}{end}"] for end in ("_low", "_high")},
            }
            report = _report(predicted(found, margins.y), margins.y, classes, weights, sampling)
            for recalled, line in zip(RECALLED, report, strict=True):
                if not alone:
                    line |= {
                        f"recall{end}": source[f"{recalled}{end}"] for end in ("_low", "_high")
                    }
                lines.append(key | line | accuracy)
    return pd.DataFrame(lines)


def _asked(margins: Margins, steps: list[str]) -> Iterator[tuple[str, int, Array]]:
    """The attack, the place of its radius, and the margins (S, N) under it."""
    for at, eps in enumerate(margins.eps):
        yield (ALL if eps > 0 else NONE), at, margins.worst[at]
    for name in steps:
        for at, eps in enumerate(margins.eps):
            if eps > 0 and name in margins.by_attack:
                yield name, at, margins.by_attack[name][at]


def _report(
    answer: Array, y: Array, classes: list[str], weights: Array, sampling: Sampling
) -> list[dict[str, Any]]:
    """`rates.classification_report`, each rate with the interval of a bootstrap over patients."""
    answer = np.atleast_2d(answer)
    lines = []
    for index, line in enumerate(rates.classification_report(answer, y, classes)):
        called, own = (answer == index).mean(0), y == index
        each = np.stack([called * own, called * ~own, (1 - called) * own]).astype(weights.dtype)
        hit, false, missed = (weights @ each.T).T.astype(np.float64)
        wholes = (hit + false, hit + missed, hit + (false + missed) / 2)
        for name, whole in zip(RATES, wholes, strict=True):
            drawn = np.where(whole > 0, hit / np.maximum(whole, 1e-9), np.nan)
            among = own | (called > 0)
            line |= intervals.bounded_share(
                name, line[name], drawn, weights, sampling.confidence, among
            )
        lines.append(dict(line))
    return lines
