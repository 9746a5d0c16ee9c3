"""From rows to the comparison that people read: figures, intervals, paired differences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.attacks.evasion import ACCESS_LEVELS, Attacker
from pipeline.config import BASELINE, AuditConfig, Config
from pipeline.files import BadInput
from pipeline.models.answers import disease_probability, disease_score, predicted
from pipeline.risks.evasion.evidence import Evidence
from pipeline.risks.evasion.flags import raise_flags
from pipeline.risks.evasion.measure.attackers import all_attackers
from pipeline.risks.evasion.measure.examination import Findings
from pipeline.risks.evasion.measure.margins import Array, Outcome
from pipeline.standards import THREAT_COLUMNS
from pipeline.statistics import intervals, rates
from pipeline.verify.out_of_fold import Verified


def compare(
    audits: Mapping[str, Findings],
    cfg: AuditConfig,
    attackers: Mapping[str, Attacker],
    *,
    seed: int,
    auroc_ceiling: float | None,
) -> pd.DataFrame:
    """The comparison: one row per (defense, threat, eps).

    Args:
        audits: findings of each defense; the differences are against `baseline`, where it is among
            them.
        cfg: confidence, resamples and the headline threat, whose robust balanced accuracy ranks the
            defenses.
        attackers: what is known of each attack, by its name in the findings.
        seed: of the bootstrap.
        auroc_ceiling: above it a clean AUROC is taken for a leak.

    Returns:
        a table; `_low` and `_high` bound 95 % (or `cfg.confidence`) bootstrap intervals over
        patients, seeds averaged first. `flags` holds names joined by a blank, `evidence` a sentence
        for each, joined by "; ". `rank` is empty where there is one. `verified_accuracy` is the
        share of patients of whom it is proved that no record within the radius changes their right
        answer; `robust_accuracy` that of patients for whom none is known; `undecided` is their
        difference.

    Raises:
        BadInput: an attack of the findings is not among the attackers.
    """
    by_defense = {name: findings.outcomes for name, findings in audits.items()}
    patients = len(next(iter(by_defense.values()))[cfg.headline].y)
    weights = intervals.bootstrap_weights(patients, cfg.resamples, seed)
    reference = by_defense.get(BASELINE)
    lines: list[dict[str, Any]] = []
    for name, by_threat in by_defense.items():
        findings = audits[name]
        _check_known(by_threat, attackers)
        raised = raise_flags(Evidence(by_threat, attackers, findings.diagnostics, auroc_ceiling))
        judged = {"flags": " ".join(raised), "evidence": "; ".join(raised.values())}
        for threat, outcome in by_threat.items():
            against = reference[threat] if reference and name != BASELINE else None
            key = {"defense": name, "threat": threat, **judged}
            proofs = proved(findings.verified.get(threat), outcome, weights, cfg.confidence)
            strongest = threat_columns(findings.rows, threat)
            lines += [
                key | line | proof | strongest
                for line, proof in zip(
                    curve(outcome, against, weights, cfg.confidence), proofs, strict=True
                )
            ]
    table = pd.DataFrame(lines)
    table.insert(0, "rank", table["defense"].map(ranking(table, cfg.headline)).astype("Int64"))
    return table


def _check_known(by_threat: Mapping[str, Outcome], attackers: Mapping[str, Attacker]) -> None:
    for outcome in by_threat.values():
        for name in outcome.margins:
            if name not in attackers:
                raise BadInput(
                    f"params.yaml: attack.{name}: missing, but results hold it; run `dvc repro`"
                )


def threat_columns(rows: pd.DataFrame, threat: str) -> dict[str, str]:
    """What names a threat completely; of its attackers the strongest, in whatever order they stand.

    The strongest is of those who see most of the model the one who leaves least.
    """
    lines = rows[rows["threat"] == threat]
    broken = lines.groupby(["attack", "access"], observed=True)["broken"].mean()
    strongest, _ = min(
        broken.index, key=lambda line: (ACCESS_LEVELS.index(line[1]), -broken[line], line[0])
    )
    line = lines[lines["attack"] == strongest].iloc[0]
    return {column: str(line[column]) for column in THREAT_COLUMNS}


def proved(
    verified: Verified | None, outcome: Outcome, weights: Array, confidence: float
) -> list[dict[str, float]]:
    """One line per radius: the shares of patients proved robust and undecided, with an interval."""
    if verified is None:
        return [{} for _ in outcome.eps]
    lines = []
    for robust, worst in zip(
        verified.robust_at(list(outcome.eps)).numpy(), outcome.worst, strict=True
    ):
        share, known = robust.mean(0), (worst > 0).mean(0)
        low, high = intervals.interval(
            float(share.mean()), intervals.bootstrap_mean(share, weights), confidence
        )
        lines.append(
            {
                "verified_accuracy": float(share.mean()),
                "verified_low": low,
                "verified_high": high,
                "undecided": float((known - share).mean()),
            }
        )
    return lines


def by_attack(audits: Mapping[str, Findings], cfg: AuditConfig, seed: int) -> pd.DataFrame:
    """One row per (defense, threat, attack, eps): the accuracy each attack leaves, its interval.

    And what the threat allows, in full.
    """
    lines: list[dict[str, Any]] = []
    weights: Array | None = None
    for defense, findings in audits.items():
        named = findings.rows.drop_duplicates(["threat", "attack"]).set_index(["threat", "attack"])[
            list(THREAT_COLUMNS)
        ]
        in_full: dict[Any, dict[str, Any]] = named.astype(str).to_dict("index")  # type: ignore[assignment]
        for threat, outcome in findings.outcomes.items():
            if weights is None:
                weights = intervals.bootstrap_weights(len(outcome.y), cfg.resamples, seed)
            right = np.stack(
                [(margins > 0).mean(1) for margins in outcome.margins.values()]
            )  # attack x eps x patient
            samples = (
                weights @ right.reshape(-1, len(outcome.y)).T.astype(np.float32) / len(outcome.y)
            )
            drawn = samples.T.reshape(*right.shape[:2], -1)
            for at, attack in enumerate(outcome.margins):
                for eps, each, sample in zip(outcome.eps, right[at], drawn[at], strict=True):
                    low, high = intervals.interval(float(each.mean()), sample, cfg.confidence)
                    figures = {
                        "eps": float(eps),
                        "accuracy": float(each.mean()),
                        "accuracy_low": low,
                        "accuracy_high": high,
                    }
                    figures |= {"missed_diagnosis_rate": 1 - float(each[outcome.y == 1].mean())}
                    lines.append(
                        {
                            "defense": defense,
                            "threat": threat,
                            "attack": attack,
                            **figures,
                            **in_full[threat, attack],
                        }
                    )
    return pd.DataFrame(lines)


def exact_curves(audits: Mapping[str, Findings], points: int = 201) -> pd.DataFrame:
    """The whole curve of what is proved: the share of patients `proved` robust against eps."""
    frames = []
    for defense, findings in audits.items():
        for threat, verified in findings.verified.items():
            radii = np.linspace(
                0, float(findings.rows.loc[findings.rows["threat"] == threat, "eps"].max()), points
            ).tolist()
            share = verified.robust_at(radii).numpy().mean((1, 2))
            frames.append(
                pd.DataFrame({"defense": defense, "threat": threat, "eps": radii, "proved": share})
            )
    return (
        pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=["defense", "threat"])
    )


def curve(
    outcome: Outcome, reference: Outcome | None, weights: Array, confidence: float
) -> list[dict[str, Any]]:
    """One line per radius: figures under all attacks, intervals, the difference to `reference`."""
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
            **{
                f"robust_{name}" if name.startswith("auroc") else name: value
                for name, value in figures.items()
            },
        }
        if reference is not None:
            mine, theirs = ((o.worst[at] > 0).mean(0) for o in (outcome, reference))
            paired = intervals.paired_difference(mine, theirs, weights, confidence)
            line |= {
                f"difference{suffix}": paired[key]
                for suffix, key in (("", "difference"), ("_low", "low"), ("_high", "high"))
            }
            line["smallest_detectable"] = paired["smallest_detectable"]
        line |= {
            f"accuracy_{name}": float((m[at] > 0).mean()) for name, m in outcome.margins.items()
        }
        lines.append(line)
    return lines


def _figures(margins: Array, y: Array, weights: Array, confidence: float) -> dict[str, float]:
    answer, score = predicted(margins, y), disease_score(margins, y)
    correct = (answer == y).mean(0)
    figures: dict[str, float] = {**rates.classification(answer, y), **rates.confusion(answer, y)}
    figures |= {
        "auroc": rates.auroc(score, y),
        "brier": rates.brier(disease_probability(margins, y), y),
    }
    samples = {
        "accuracy": intervals.bootstrap_mean(correct, weights),
        "sensitivity": intervals.bootstrap_mean(correct, weights, where=y == 1),
        "specificity": intervals.bootstrap_mean(correct, weights, where=y == 0),
        "auroc": intervals.bootstrap_auroc(score, y, weights),
    }
    for name, drawn in samples.items():
        figures[f"{name}_low"], figures[f"{name}_high"] = intervals.interval(
            figures[name], drawn, confidence
        )
    # 1 - sensitivity and 1 - specificity, so their intervals are the mirrored ones.
    for name, mirrored in (
        ("missed_diagnosis_rate", "sensitivity"),
        ("false_alarm_rate", "specificity"),
    ):
        figures[f"{name}_low"], figures[f"{name}_high"] = (
            1 - figures[f"{mirrored}_high"],
            1 - figures[f"{mirrored}_low"],
        )
    return figures


def ranking(table: pd.DataFrame, headline: str) -> dict[str, int]:
    """Ranks by the area under robust balanced accuracy; a defense with a flag has no rank.

    Balanced, because on an unequal data set a model that calls everyone healthy would otherwise
    win.
    """
    honest = table[(table["threat"] == headline) & (table["flags"] == "")]
    areas = {
        str(name): rates.area_under_curve(
            group["eps"].to_numpy(), group["balanced_accuracy"].to_numpy()
        )
        for name, group in honest.groupby("defense")
    }
    return {
        name: place for place, name in enumerate(sorted(areas, key=lambda n: -areas[n]), start=1)
    }


@dataclass(frozen=True)
class Evaluation:
    """Everything that one evaluation reports; all of it a pure function of the rows.

    Attributes:
        comparison: as `compare` returns it.
        attacks: as `by_attack` returns it.
        classification: precision, recall, F1 and support per (defense, eps, class) under the
            headline threat.
        confusion: how many patients, seeds averaged, per (defense, eps, actual class, predicted
            class).
        exact: as `exact_curves` returns it.
        roc: clean ROC of each defense on a fixed grid of false-alarm rates.
    """

    comparison: pd.DataFrame
    attacks: pd.DataFrame
    classification: pd.DataFrame
    confusion: pd.DataFrame
    exact: pd.DataFrame
    roc: pd.DataFrame


def evaluate_audits(audits: Mapping[str, Findings], cfg: Config) -> Evaluation:
    """Compares the audits and draws up the tables beside the comparison."""
    threat, classes = cfg.audit.headline, list(cfg.data.classes)
    comparison = compare(
        audits, cfg.audit, all_attackers(cfg), seed=cfg.seed, auroc_ceiling=cfg.data.auroc_ceiling
    )
    reports, matrices, curves = [], [], []
    for name, findings in audits.items():
        outcome = findings.outcomes[threat]
        for at, eps in enumerate(outcome.eps):
            answer = predicted(outcome.worst[at], outcome.y)
            key = {"defense": name, "threat": threat, "eps": float(eps)}
            reports += [
                key | line for line in rates.classification_report(answer, outcome.y, classes)
            ]
            counts = rates.confusion(answer, outcome.y)
            matrices += [
                key
                | {"actual": classes[actual], "predicted": classes[guess], "patients": counts[cell]}
                for cell, actual, guess in (("tn", 0, 0), ("fp", 0, 1), ("fn", 1, 0), ("tp", 1, 1))
            ]
        fpr, tpr = rates.roc_curve(
            disease_score(outcome.worst[0], outcome.y), outcome.y, points=101
        )
        curves.append(pd.DataFrame({"defense": name, "fpr": fpr, "tpr": tpr}))
    return Evaluation(
        comparison=comparison,
        attacks=by_attack(audits, cfg.audit, cfg.seed),
        classification=pd.DataFrame(reports),
        confusion=pd.DataFrame(matrices),
        exact=exact_curves(audits),
        roc=pd.concat(curves, ignore_index=True),
    )


def headline_metrics(table: pd.DataFrame, threat: str) -> dict[str, dict[str, float]]:
    """The few figures of each defense that `dvc metrics` shows.

    Clean ones, robust accuracy at each radius, and what is undecided.
    """
    result: dict[str, dict[str, float]] = {}
    for defense, lines in table[table["threat"] == threat].groupby("defense", sort=False):
        first = lines.iloc[0]
        figures = {
            name: float(first[name])
            for name in ("clean_accuracy", "auroc", "sensitivity", "specificity", "brier")
        }
        for _, line in lines[lines["eps"] > 0].iterrows():
            figures[f"robust_accuracy_at_{line['eps']:g}"] = float(line["robust_accuracy"])
        if "undecided" in lines:
            figures["undecided_at_most"] = float(lines["undecided"].max())
        result[str(defense)] = {name: round(value, 4) for name, value in figures.items()}
    return result
