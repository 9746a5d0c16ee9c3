"""Everything that one evaluation reports: the comparison, and the tables beside it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import Config
from pipeline.models.answers import predicted
from pipeline.risks.evasion.classification import classification_table
from pipeline.risks.evasion.comparison import compare
from pipeline.risks.evasion.measure.attackers import all_attackers
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.risks.evasion.movable import Movable
from pipeline.risks.evasion.recipes import Recipe
from pipeline.standards import THREAT_COLUMNS
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.intervals import Sampling
from pipeline.verify.nearest import SAME_RADIUS


@dataclass(frozen=True)
class Evaluation:
    """Everything that one evaluation reports; all of it a pure function of the rows.

    Attributes:
        comparison: as `compare` returns it.
        attacks: as `attacks_table` returns it.
        classification: as `classification_table` returns it.
        confusion: how many patients, seeds averaged, per (defense, eps, actual class, predicted
            class).
        exact: as `proved_curves` returns it.
        roc: clean ROC of each defense on a fixed grid of false-alarm rates.
    """

    comparison: pd.DataFrame
    attacks: pd.DataFrame
    classification: pd.DataFrame
    confusion: pd.DataFrame
    exact: pd.DataFrame
    roc: pd.DataFrame


def evaluate_all(
    examined: Mapping[str, Examination],
    cfg: Config,
    sampling: Sampling,
    harmful: Mapping[str, str] | None = None,
    recipes: Mapping[str, Recipe] | None = None,
    movable: Movable | None = None,
) -> Evaluation:
    """Compares what was examined, by defense, and draws up the tables beside the comparison.

    `harmful`, `recipes` and `movable` as in `comparison.compare`.
    """
    audit = cfg.audit
    headline = {name: one.margins[audit.headline] for name, one in examined.items()}
    classes = list(cfg.data.classes)
    known = all_attackers(cfg)
    comparison = compare(
        examined,
        audit,
        known,
        decision=cfg.decision,
        harmful=harmful,
        recipes=recipes,
        sampling=sampling,
        auroc_ceiling=cfg.data.auroc_ceiling,
        movable=movable,
        repaired=cfg.twins,
    )
    if not audit.proofs:  # nothing is proved of anybody, and everybody who stands is undecided
        nobody = dict.fromkeys(("verified_accuracy", "verified_low", "verified_high"), 0.0)
        comparison = comparison.assign(**nobody, undecided=comparison["robust_accuracy"])
    attacks = attacks_table(examined, sampling)
    return Evaluation(
        comparison=comparison.assign(verified_to=_verified_to(comparison, cfg)),
        attacks=attacks,
        classification=classification_table(examined, comparison, attacks, cfg, sampling),
        confusion=_at_each_radius(headline, audit.headline, classes, _cell_by_cell),
        exact=proved_curves(examined),
        roc=pd.concat([_roc(name, one) for name, one in headline.items()], ignore_index=True),
    )


def _verified_to(comparison: pd.DataFrame, cfg: Config) -> list[float]:
    """The radius up to which the verifier looked, of each line."""
    largest = comparison.groupby("threat")["eps"].max()
    limits = {name: threat.exact_to or np.inf for name, threat in cfg.threat.items()}
    return [min(float(largest[threat]), limits[threat]) for threat in comparison["threat"]]


Lines = list[dict[str, Any]]


def _at_each_radius(
    headline: Mapping[str, Margins],
    threat: str,
    classes: list[str],
    lines_of: Callable[[Array, Array, list[str]], Lines],
) -> pd.DataFrame:
    """Lines about the answers under attack, for each defense and radius of the headline threat."""
    return pd.DataFrame(
        [
            {"defense": name, "threat": threat, "eps": float(eps)} | line
            for name, margins in headline.items()
            for eps, worst in zip(margins.eps, margins.worst, strict=True)
            for line in lines_of(predicted(worst, margins.y), margins.y, classes)
        ]
    )


def _cell_by_cell(answer: Array, y: Array, classes: list[str]) -> Lines:
    counts = rates.confusion(answer, y)
    return [
        {"actual": classes[actual], "predicted": classes[guess], "patients": counts[cell]}
        for cell, actual, guess in (("tn", 0, 0), ("fp", 0, 1), ("fn", 1, 0), ("tp", 1, 1))
    ]


def _roc(name: str, margins: Margins) -> pd.DataFrame:
    """The clean ROC of one defense."""
    score = margins.score(margins.worst[0])
    fpr, tpr = rates.roc_curve(score, margins.y, points=101)
    return pd.DataFrame({"defense": name, "fpr": fpr, "tpr": tpr})


def attacks_table(examined: Mapping[str, Examination], sampling: Sampling) -> pd.DataFrame:
    """One row per (defense, threat, attack, eps): what the attack leaves, its threat in full."""
    lines: Lines = []
    weights: Array | None = None
    for defense, one in examined.items():
        columns = one.told.named.set_index(["threat", "attack"])[list(THREAT_COLUMNS)]
        in_full: dict[Any, dict[str, Any]] = columns.to_dict("index")  # type: ignore[assignment]
        for threat, margins in one.margins.items():
            if weights is None:
                weights = sampling.weights(len(margins.y))
            lines += [
                {"defense": defense, "threat": threat, **line, **in_full[threat, line["attack"]]}
                for line in _left_by_each(margins, weights, sampling.confidence)
            ]
    return pd.DataFrame(lines)


def _left_by_each(margins: Margins, weights: Array, confidence: float) -> Iterator[dict[str, Any]]:
    """The accuracy that each attack leaves at each radius, with its interval."""
    patients = len(margins.y)
    each_attack = margins.by_attack.values()
    right = np.stack([(one > 0).mean(1) for one in each_attack])  # attack x eps x patient
    samples = weights @ right.reshape(-1, patients).T.astype(np.float32)
    samples /= weights.sum(1, keepdims=True)
    drawn = samples.T.reshape(*right.shape[:2], -1)
    for attack, of_attack, its_samples in zip(margins.by_attack, right, drawn, strict=True):
        for eps, each, sample in zip(margins.eps, of_attack, its_samples, strict=True):
            low, high = intervals.share_interval(float(each.mean()), sample, weights, confidence)
            yield {
                "attack": attack,
                "eps": float(eps),
                "accuracy": float(each.mean()),
                "accuracy_low": low,
                "accuracy_high": high,
                "missed_diagnosis_rate": 1 - float(each[margins.y == 1].mean()),
            }


def proved_curves(examined: Mapping[str, Examination], points: int = 101) -> pd.DataFrame:
    """What is known at every radius, not only where attacks were run; rows where it changes.

    Returns:
        `defense, threat, eps`; `proved`: the share of patients of whom it is proved that no record
        within eps changes their right answer; `missed` and `alarms`: the share of the ill and of
        the healthy of whom a record within eps is known that is answered wrongly; `missed_at_most`
        and `alarms_at_most`: of whom it is not proved that there is none (of one class alone, NaN).
        Seeds averaged; at `points` radii from 0 to the largest, the first and the last of which
        always have a row.
    """
    frames = []
    for defense, one in examined.items():
        for threat, proofs in one.proofs.items():
            largest = one.margins[threat].eps.max()
            radii = np.linspace(0, float(largest), points)
            robust = proofs.robust_at(radii.tolist()).numpy().mean(1)
            known_broken = proofs.broken_at(radii.tolist()).numpy()
            if proofs.least is not None:  # of images the verifier finds none; attacks do
                known_broken |= _broken_by_attacks(one.margins[threat], radii)
            broken = known_broken.mean(1)
            curve = {"proved": robust.mean(1)}
            for name, of in (("missed", proofs.y.numpy() == 1), ("alarms", proofs.y.numpy() == 0)):
                known = of.any()
                curve[name] = broken[:, of].mean(1) if known else np.full(points, np.nan)
                most = 1 - robust[:, of].mean(1) if known else np.full(points, np.nan)
                curve[f"{name}_at_most"] = most
            table = pd.DataFrame({"defense": defense, "threat": threat, "eps": radii, **curve})
            steps = (table[list(curve)].diff().fillna(0) != 0).any(axis=1)
            frames.append(table[steps | table.index.isin([0, points - 1])])
    if not frames:
        return pd.DataFrame(columns=["defense", "threat"])
    return pd.concat(frames, ignore_index=True)


def _broken_by_attacks(margins: Margins, radii: Array) -> Array:
    """(R, S, N) bool: whom an attack broke at one of its own radii within each of these."""
    within = np.searchsorted(margins.eps, radii + SAME_RADIUS, side="right") - 1
    broken: Array = margins.worst[within] <= 0
    return broken
