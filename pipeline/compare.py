"""From rows to the comparison that people read: every figure with its interval, every defence paired with the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline import metrics
from pipeline.audit import TRANSFER
from pipeline.config import AuditConfig, Config

Array = np.ndarray[Any, Any]

BASELINE = "baseline"
DEGENERATE, MASKED, LEAK = "degenerate", "masked_gradients", "suspected_leak"
MASKING_GAP = 0.02  # cross-entropy may fail by chance on this share of records where the margin succeeds
TRANSFER_GAP = 0.002  # a stranger's records must not beat the model's own gradients by more


@dataclass(frozen=True)
class Outcome:
    """What one threat model's attacks did to one defence.

    Attributes:
        eps: (E,) radii.
        y: (N,) class indices; class 1 = disease present.
        margins: for each attack (E, S, N), the margin of the true class.
    """

    eps: Array
    y: Array
    margins: Mapping[str, Array]

    @property
    def worst(self) -> Array:
        """(E, S, N): the smallest margin over the suite and over all smaller radii, whose boxes lie inside."""
        return np.minimum.accumulate(np.minimum.reduce(list(self.margins.values())), axis=0)


def outcomes(rows: pd.DataFrame) -> dict[str, Outcome]:
    """The rows of one audit, by threat model, as arrays."""
    result = {}
    for threat, of_threat in rows.groupby("threat", observed=True, sort=False):
        eps, patients = of_threat["eps"].unique(), of_threat["patient"].nunique()
        margins = {
            str(attack): group["margin"].to_numpy().reshape(len(eps), -1, patients)
            for attack, group in of_threat.groupby("attack", observed=True, sort=False)
        }
        result[str(threat)] = Outcome(eps, of_threat["y"].to_numpy()[:patients].astype(np.int64), margins)
    return result


def predicted(margins: Array, y: Array) -> Array:
    """The predicted class of a two-class model, from the margin of the true one."""
    return np.where(margins > 0, y, 1 - y)


def disease_score(margins: Array, y: Array) -> Array:
    """The log-odds of class 1 of a two-class model, from the margin of the true one.

    What ranks patients: a saturated model's probabilities round to 0 and 1, and ties would cost it AUROC that it has.
    """
    return np.asarray(np.where(y == 1, margins, -margins).astype(np.float64))


def disease_probability(margins: Array, y: Array) -> Array:
    """P(class 1) of a two-class model, from the margin of the true one."""
    return np.asarray(0.5 * (1 + np.tanh(disease_score(margins, y) / 2)))


def compare(audits: Mapping[str, pd.DataFrame], cfg: AuditConfig, seed: int, auroc_ceiling: float | None) -> pd.DataFrame:
    """The comparison: one row per (defense, threat, eps).

    Args:
        audits: rows of each defence's audit; the differences are against `baseline`, where it is among them.
        cfg: confidence, resamples and the headline threat, whose robust balanced accuracy ranks the defences.
        seed: of the bootstrap.
        auroc_ceiling: above it a clean AUROC is taken for a leak.

    Returns:
        a table; `_low` and `_high` bound 95 % (or `cfg.confidence`) bootstrap intervals over patients, seeds averaged first.
        `rank` is empty for a defence that is degenerate or flagged.
    """
    by_defense = {name: outcomes(rows) for name, rows in audits.items()}
    patients = len(next(iter(by_defense.values()))[cfg.headline].y)
    weights = metrics.bootstrap_weights(patients, cfg.resamples, seed)
    reference = by_defense.get(BASELINE)
    lines: list[dict[str, Any]] = []
    for name, by_threat in by_defense.items():
        raised = flags(by_threat, auroc_ceiling)
        for threat, outcome in by_threat.items():
            against = reference[threat] if reference and name != BASELINE else None
            lines += [{"defense": name, "threat": threat, "flags": " ".join(raised), **line}
                      for line in curve(outcome, against, weights, cfg.confidence)]  # fmt: skip
    table = pd.DataFrame(lines)
    table.insert(0, "rank", table["defense"].map(ranking(table, cfg.headline)).astype("Int64"))
    return table


def curve(outcome: Outcome, reference: Outcome | None, weights: Array, confidence: float) -> list[dict[str, Any]]:
    """One line per radius: figures under the worst of all attacks, their intervals, and the difference to `reference`."""
    y, worst = outcome.y, outcome.worst
    clean = _figures(worst[0], y, weights, confidence)
    lines = []
    for at, eps in enumerate(outcome.eps):
        figures = _figures(worst[at], y, weights, confidence)
        line = {
            "eps": float(eps),
            "clean_accuracy": clean["accuracy"],
            "clean_low": clean["accuracy_low"],
            "clean_high": clean["accuracy_high"],
            "auroc": clean["auroc"],
            "auroc_low": clean["auroc_low"],
            "auroc_high": clean["auroc_high"],
            "robust_accuracy": figures.pop("accuracy"),
            "robust_low": figures.pop("accuracy_low"),
            "robust_high": figures.pop("accuracy_high"),
            **{f"robust_{name}" if name.startswith("auroc") else name: value for name, value in figures.items()},
        }
        if reference is not None:
            mine, theirs = ((o.worst[at] > 0).mean(0) for o in (outcome, reference))
            paired = metrics.paired_difference(mine, theirs, weights, confidence)
            line |= {f"difference{suffix}": paired[key] for suffix, key in
                     (("", "difference"), ("_low", "low"), ("_high", "high"))}  # fmt: skip
            line["smallest_detectable"] = paired["smallest_detectable"]
        line |= {f"accuracy_{name}": float((m[at] > 0).mean()) for name, m in outcome.margins.items()}
        lines.append(line)
    return lines


def _figures(margins: Array, y: Array, weights: Array, confidence: float) -> dict[str, float]:
    answer, score = predicted(margins, y), disease_score(margins, y)
    correct = (answer == y).mean(0)
    figures: dict[str, float] = {**metrics.classification(answer, y), **metrics.confusion(answer, y)}
    figures |= {"auroc": metrics.auroc(score, y), "brier": metrics.brier(disease_probability(margins, y), y)}
    samples = {
        "accuracy": metrics.bootstrap_mean(correct, weights),
        "sensitivity": metrics.bootstrap_mean(correct, weights, where=y == 1),
        "specificity": metrics.bootstrap_mean(correct, weights, where=y == 0),
        "auroc": metrics.bootstrap_auroc(score, y, weights),
    }
    for name, drawn in samples.items():
        figures[f"{name}_low"], figures[f"{name}_high"] = metrics.interval(figures[name], drawn, confidence)
    # 1 - sensitivity and 1 - specificity, so their intervals are the mirrored ones.
    for name, mirrored in (("missed_diagnosis_rate", "sensitivity"), ("false_alarm_rate", "specificity")):
        figures[f"{name}_low"], figures[f"{name}_high"] = 1 - figures[f"{mirrored}_high"], 1 - figures[f"{mirrored}_low"]
    return figures


def flags(by_threat: Mapping[str, Outcome], auroc_ceiling: float | None) -> list[str]:
    """What makes a defence's figures suspect, whatever they say.

    `degenerate`: it predicts one class for almost everyone. `masked_gradients`: cross-entropy loses where the margin wins, or
    another model's records win where its own gradients lose. `suspected_leak`: cleaner than honest data allow.
    """
    first = next(iter(by_threat.values()))
    clean = first.worst[0]
    raised = []
    if metrics.is_degenerate(predicted(clean, first.y), first.y):
        raised.append(DEGENERATE)
    if any(gap > 0 for outcome in by_threat.values() for gap in masking_gaps(outcome)):
        raised.append(MASKED)
    if auroc_ceiling is not None and metrics.auroc(disease_score(clean, first.y), first.y) > auroc_ceiling:
        raised.append(LEAK)
    return raised


def masking_gaps(outcome: Outcome) -> list[float]:
    """By how much each sign of gradient masking exceeds what chance allows, at its worst radius; positive = masked."""
    accuracy = {name: (margins > 0).mean((1, 2)) for name, margins in outcome.margins.items()}
    gaps = []
    if "pgd_ce" in accuracy and "pgd_margin" in accuracy:
        gaps.append(float((accuracy["pgd_ce"] - accuracy["pgd_margin"]).max()) - MASKING_GAP)
    white_box = [values for name, values in accuracy.items() if name.startswith("pgd")]
    if TRANSFER in accuracy and white_box:
        gaps.append(float((np.minimum.reduce(white_box) - accuracy[TRANSFER]).max()) - TRANSFER_GAP)
    return gaps


def ranking(table: pd.DataFrame, headline: str) -> dict[str, int]:
    """Ranks by the area under robust balanced accuracy; a defence with a flag has no rank.

    Balanced, because on an unequal data set a model that calls everyone healthy would otherwise win.
    """
    honest = table[(table["threat"] == headline) & (table["flags"] == "")]
    areas = {
        str(name): metrics.area_under_curve(group["eps"].to_numpy(), group["balanced_accuracy"].to_numpy())
        for name, group in honest.groupby("defense")
    }
    return {name: place for place, name in enumerate(sorted(areas, key=lambda n: -areas[n]), start=1)}


@dataclass(frozen=True)
class Evaluation:
    """Everything that one evaluation reports; all of it a pure function of the rows.

    Attributes:
        audits: rows of each defence.
        comparison: as `compare` returns it.
        classification: precision, recall, F1 and support per (defense, eps, class) under the headline threat.
        confusion: how many patients, seeds averaged, per (defense, eps, actual class, predicted class).
        roc: clean ROC of each defence on a fixed grid of false-alarm rates.
    """

    audits: Mapping[str, pd.DataFrame]
    comparison: pd.DataFrame
    classification: pd.DataFrame
    confusion: pd.DataFrame
    roc: pd.DataFrame


def evaluate_audits(audits: Mapping[str, pd.DataFrame], cfg: Config) -> Evaluation:
    """Compares the audits and draws up the tables beside the comparison."""
    threat, classes = cfg.audit.headline, list(cfg.data.classes)
    comparison = compare(audits, cfg.audit, cfg.seed, cfg.data.auroc_ceiling)
    reports, matrices, curves = [], [], []
    for name, rows in audits.items():
        outcome = outcomes(rows)[threat]
        for at, eps in enumerate(outcome.eps):
            answer = predicted(outcome.worst[at], outcome.y)
            key = {"defense": name, "threat": threat, "eps": float(eps)}
            reports += [key | line for line in metrics.classification_report(answer, outcome.y, classes)]
            counts = metrics.confusion(answer, outcome.y)
            matrices += [
                key | {"actual": classes[actual], "predicted": classes[guess], "patients": counts[cell]}
                for cell, actual, guess in (("tn", 0, 0), ("fp", 0, 1), ("fn", 1, 0), ("tp", 1, 1))
            ]
        fpr, tpr = metrics.roc_curve(disease_score(outcome.worst[0], outcome.y), outcome.y, points=101)
        curves.append(pd.DataFrame({"defense": name, "fpr": fpr, "tpr": tpr}))
    return Evaluation(audits, comparison, pd.DataFrame(reports), pd.DataFrame(matrices), pd.concat(curves, ignore_index=True))


def clean_metrics(margins: Array, y: Array) -> dict[str, float]:
    """Out-of-fold figures of the unchanged records, from margins (1, S, N), as a training stage reports them."""
    answer, score = predicted(margins[0], y), disease_score(margins[0], y)
    chosen = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
    figures = {name: metrics.classification(answer, y)[name] for name in chosen}
    figures |= {"auroc": metrics.auroc(score, y), "brier": metrics.brier(disease_probability(margins[0], y), y)}
    return {name: round(float(value), 4) for name, value in figures.items()}


def headline_metrics(table: pd.DataFrame, threat: str) -> dict[str, dict[str, float]]:
    """The few figures of each defence that `dvc metrics` shows: clean ones, and robust accuracy at each radius."""
    result: dict[str, dict[str, float]] = {}
    for defense, lines in table[table["threat"] == threat].groupby("defense", sort=False):
        first = lines.iloc[0]
        figures = {name: float(first[name]) for name in ("clean_accuracy", "auroc", "sensitivity", "specificity", "brier")}
        for _, line in lines[lines["eps"] > 0].iterrows():
            figures[f"robust_accuracy_at_{line['eps']:g}"] = float(line["robust_accuracy"])
        result[str(defense)] = {name: round(value, 4) for name, value in figures.items()}
    return result
