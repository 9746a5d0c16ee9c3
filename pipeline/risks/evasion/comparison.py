"""The comparison that people read: figures with intervals, defenses paired with the baseline."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from pipeline.attacks.evasion import ACCESS_LEVELS, Attacker
from pipeline.config import BASELINE, AuditConfig, DecisionConfig
from pipeline.files import BadInput
from pipeline.models.answers import predicted
from pipeline.risks.evasion.evidence import Evidence
from pipeline.risks.evasion.flags import raise_flags
from pipeline.risks.evasion.groups import HARMS
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.risks.evasion.movable import Movable
from pipeline.risks.evasion.recipes import Found, Recipe, figures_of, recipe_columns
from pipeline.standards import THREAT_COLUMNS
from pipeline.statistics import Array, calibration, intervals, rates
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.operating_point import logistic
from pipeline.verify.least import Least
from pipeline.verify.out_of_fold import Proofs

BOUNDS = ("", "_low", "_high")


def compare(
    examined: Mapping[str, Examination],
    cfg: AuditConfig,
    attackers: Mapping[str, Attacker],
    *,
    decision: DecisionConfig,
    harmful: Mapping[str, str] | None = None,
    recipes: Mapping[str, Recipe] | None = None,
    sampling: Sampling,
    auroc_ceiling: float | None,
    movable: Movable | None = None,
    repaired: Collection[str] = (),
) -> pd.DataFrame:
    """The comparison: one row per (defense, threat, eps).

    Args:
        examined: what was measured of each defense; the differences are against `baseline`, where
            it is among them.
        cfg: names the headline threat.
        attackers: what is known of each attack, by its name in the rows.
        decision: the rule by which patients are called ill.
        harmful: of each defense that serves a group of patients worse, a sentence (`groups.harms`);
            None = of none.
        recipes: half models of each defense, where they were asked: clean figures, and those of the
            headline radius, get intervals for the recipe on a new cohort.
        sampling: of the intervals.
        auroc_ceiling: above it a clean AUROC is taken for a leak.
        movable: of `movable_shares`; None = not known.
        repaired: threats under which no attack is held against another one; see `Evidence`.

    Returns:
        a table; `COLUMNS` of `pipeline.risks.evasion.tables` says what each column is. Intervals
        are those of a bootstrap over patients, seeds averaged first, but for the figures that
        `of_recipe` names.

    Raises:
        BadInput: an attack of the rows is not among the attackers.
    """
    by_defense = {name: one.margins for name, one in examined.items()}
    patients = len(next(iter(by_defense.values()))[cfg.headline].y)
    weights, whose = sampling.weights(patients), sampling.whose(patients)
    reference, known = by_defense.get(BASELINE), recipes or {}
    ranked_there = {
        threat: rankings(margins, weights) for threat, margins in (reference or {}).items()
    }
    odds = worth_of_a_false_alarm(decision, next(iter(by_defense.values()))[cfg.headline].y)
    lines: list[dict[str, Any]] = []
    for name, by_threat in by_defense.items():
        one = examined[name]
        _check_known(by_threat, attackers)
        where_compared = {
            key: share
            for key, share in (movable or {}).items()
            if key == (cfg.headline, _nearest_radius(by_threat[cfg.headline], cfg))
        }
        known_of_it = (by_threat, attackers, one.diagnostics, auroc_ceiling, where_compared)
        raised = raise_flags(Evidence(*known_of_it, frozenset(repaired)))
        raised |= {HARMS: harmful[name]} if harmful and name in harmful else {}
        judged = {"flags": " ".join(raised), "evidence": "; ".join(raised.values())}
        of_recipe = _of_recipe(name, known)
        for threat, margins in by_threat.items():
            first = name == BASELINE
            ranked = ranked_there[threat] if first else rankings(margins, weights)
            against = None
            if reference and not first:
                against = reference[threat], ranked_there[threat]
            key = {"defense": name, "threat": threat, **judged}
            proved = proof_columns(one.proofs.get(threat), margins, weights, sampling.confidence)
            bounds = [_least(one, threat, cfg.headline, at) for at in range(len(proved))]
            proved = [
                columns | certified_columns(least, margins, at, weights, sampling.confidence)
                for at, (columns, least) in enumerate(zip(proved, bounds, strict=True))
            ]
            strongest = threat_columns(one.told.named, threat)
            where = partial(
                recipe_columns, *of_recipe, threat == cfg.headline, confidence=sampling.confidence
            )
            lines += [
                key
                | line
                | ({} if movable is None else {"movable": movable[threat, line["eps"]]})
                | where(line["eps"])
                | proof
                | strongest
                for line, proof in zip(
                    curve(margins, ranked, against, weights, sampling.confidence, odds, whose),
                    proved,
                    strict=True,
                )
            ]
    return pd.DataFrame(lines)


def _nearest_radius(margins: Margins, cfg: AuditConfig) -> float:
    return float(margins.eps[margins.nearest(cfg.headline_eps)])


def _of_recipe(name: str, recipes: Mapping[str, Recipe]) -> tuple[Found | None, Found | None]:
    """Figures of a recipe, and what it gains on the reference; None = half models are unknown."""
    if name not in recipes:
        return None, None
    paired = name != BASELINE and BASELINE in recipes
    return figures_of(recipes[name]), (
        figures_of(recipes[name], recipes[BASELINE]) if paired else None
    )


def worth_of_a_false_alarm(decision: DecisionConfig, y: Array) -> float:
    """Found illnesses that a false alarm costs, for the net benefit: the odds of a probability.

    Of the configured threshold, where the rule is one; otherwise of the share of the ill. Then the
    net benefit is that share times the sum of sensitivity and specificity, less 1.
    """
    chance = decision.value if decision.rule == "threshold" and decision.value else y.mean()
    return float(chance / (1 - chance))


def _check_known(by_threat: Mapping[str, Margins], attackers: Mapping[str, Attacker]) -> None:
    for margins in by_threat.values():
        for name in margins.by_attack:
            if name not in attackers:
                raise BadInput(
                    f"params.yaml: attack.{name}: missing, but results hold it; run `dvc repro`"
                )


def threat_columns(rows: pd.DataFrame, threat: str) -> dict[str, str]:
    """What names a threat completely; of its attackers the strongest, however rows are ordered.

    The strongest is of those who see most of the model the one who leaves least. Of rows, or of one
    row an attack, whose `broken` is a share.
    """
    lines = rows[rows["threat"] == threat]
    broken = lines.groupby(["attack", "access"], observed=True)["broken"].mean()
    strongest, _ = min(
        broken.index, key=lambda line: (ACCESS_LEVELS.index(line[1]), -broken[line], line[0])
    )
    line = lines[lines["attack"] == strongest].iloc[0]
    return {column: str(line[column]) for column in THREAT_COLUMNS}


def proof_columns(
    proofs: Proofs | None, margins: Margins, weights: Array, confidence: float
) -> list[dict[str, float]]:
    """One line per radius: the share proved, its interval, the share neither proved nor broken."""
    if proofs is None:
        return [{} for _ in margins.eps]
    lines = []
    proved = proofs.robust_at(list(margins.eps)).numpy()
    for robust, worst in zip(proved, margins.worst, strict=True):
        share, known = robust.mean(0), (worst > 0).mean(0)
        samples = intervals.bootstrap_mean(share, weights)
        low, high = intervals.share_interval(float(share.mean()), samples, weights, confidence)
        lines.append(
            {
                "verified_accuracy": float(share.mean()),
                "verified_low": low,
                "verified_high": high,
                "undecided": float((known - share).mean()),
            }
        )
    return lines


def _least(one: Examination, threat: str, headline: str, at: int) -> Least | None:
    """The bounds of margins that are known at one radius: of records at the headline's alone."""
    proofs = one.proofs.get(threat)
    if proofs is not None and proofs.least is not None:
        return Least(float(one.margins[threat].eps[at]), proofs.least[at])
    return one.least if threat == headline else None


def certified_columns(
    least: Least | None, margins: Margins, at: int, weights: Array, confidence: float
) -> dict[str, float]:
    """AUROC that no record within the radius can take: of proved bounds of every score.

    Every ill patient counts at the lower bound of the score, every healthy one at the upper. Of the
    radius of the bounds, and without attack; nothing of others, nor where nothing is proved.
    """
    eps = float(margins.eps[at])
    if least is None or eps not in (0.0, least.eps):
        return {}
    score = margins.score(margins.worst[0] if eps == 0 else least.margins.numpy())
    drawn = intervals.bootstrap_auroc(score, margins.y, weights)
    value = rates.auroc(score, margins.y)
    return intervals.bounded_auroc("certified_auc", value, drawn, margins.y, weights, confidence)


class Ranking(NamedTuple):
    """AUROC at one radius, and that of each resample (R,)."""

    auroc: float
    drawn: Array


def rankings(margins: Margins, weights: Array) -> list[Ranking]:
    """Of each radius, under the worst of all attacks."""
    scores = [margins.score(found) for found in margins.worst]
    return [
        Ranking(rates.auroc(one, margins.y), intervals.bootstrap_auroc(one, margins.y, weights))
        for one in scores
    ]


def curve(
    margins: Margins,
    ranked: Sequence[Ranking],
    against: tuple[Margins, Sequence[Ranking]] | None,
    weights: Array,
    confidence: float,
    odds: float,
    whose: Array,
) -> list[dict[str, Any]]:
    """One line per radius: figures under the worst of all attacks, and the gain on `against`."""
    worst = margins.worst
    every = [
        _figures(margins, found, one, weights, confidence, odds)
        for found, one in zip(worst, ranked, strict=True)
    ]
    clean = dict(every[0])
    probabilities = _probabilities(margins, weights, confidence, whose)
    lines = []
    for at, (eps, figures) in enumerate(zip(margins.eps, every, strict=True)):
        line = {
            "eps": float(eps),
            "clean_accuracy": clean["accuracy"],
            "clean_low": clean["accuracy_low"],
            "clean_high": clean["accuracy_high"],
            **{f"auroc{suffix}": clean[f"attacked_auc{suffix}"] for suffix in BOUNDS},
            **probabilities,
            "robust_accuracy": figures.pop("accuracy"),
            "robust_low": figures.pop("accuracy_low"),
            "robust_high": figures.pop("accuracy_high"),
            **figures,
        }
        if against is not None:
            theirs, ranked_there = against
            line |= _gains(margins.y, worst[at], theirs.worst[at], weights, confidence)
            gain = ranked[at].auroc - ranked_there[at].auroc
            drawn = ranked[at].drawn - ranked_there[at].drawn
            line |= intervals.bounded("attacked_auc_difference", gain, drawn, confidence)
        line |= {
            f"accuracy_{name}": float((own[at] > 0).mean())
            for name, own in margins.by_attack.items()
        }
        lines.append(line)
    return lines


def _figures(
    margins: Margins, found: Array, ranked: Ranking, weights: Array, confidence: float, odds: float
) -> dict[str, float]:
    """Figures at the cut, and of the ranking, from margins (S, N) of this defense."""
    y = margins.y
    answer = predicted(found, y)
    correct = (answer == y).mean(0)
    worth = calibration.net_benefit(answer == 1, y, odds)
    figures: dict[str, float] = {**rates.classification(answer, y), **rates.confusion(answer, y)}
    figures |= intervals.bounded_auroc(
        "attacked_auc", ranked.auroc, ranked.drawn, y, weights, confidence
    )
    figures |= intervals.bounded_mean("net_benefit", worth, weights, confidence)
    for name, who in (("accuracy", y >= 0), ("sensitivity", y == 1), ("specificity", y == 0)):
        figures |= intervals.bounded_mean_share(name, correct, weights, confidence, who)
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


def _probabilities(
    margins: Margins, weights: Array, confidence: float, whose: Array
) -> dict[str, float]:
    """Whether the probabilities of unchanged records are what they say."""
    y, score = margins.y, margins.score(margins.worst[0])
    chance = logistic(score)
    error, drawn = calibration.expected_calibration_error(chance, y, weights)
    each = ((chance - y) ** 2).mean(0)
    return {
        **calibration.slope_and_intercept(score, y, confidence, whose),
        **intervals.bounded_mean("brier", each, weights, confidence),
        **intervals.bounded("ece", error, drawn, confidence),
    }


def _gains(
    y: Array, found: Array, theirs: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """What a defense gains on another at the cut, paired on the same patients."""
    right, right_there = (found > 0).mean(0), (theirs > 0).mean(0)
    gains: dict[str, float] = {}
    for name, where in (("", None), ("sensitivity_", y == 1), ("specificity_", y == 0)):
        paired = intervals.paired_difference(right, right_there, weights, confidence, where)
        gains |= {
            f"{name}difference{suffix}": paired[key]
            for suffix, key in (("", "difference"), ("_low", "low"), ("_high", "high"))
        }
        gains[f"{name}smallest_detectable"] = paired["smallest_detectable"]
    return gains
