"""From margins to what people read about poison.

Every attack at every dose, beside the same recipe without poison.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.attacks.poisoning import POISON_FACTS
from pipeline.config import Config
from pipeline.models.answers import disease_score
from pipeline.risks.poisoning.measure.recipes import BACKDOOR, NONE, ONE_PATIENT, Harm
from pipeline.risks.poisoning.measure.settings import Dose, PoisoningSettings
from pipeline.standards import Standards
from pipeline.statistics import Array, intervals, rates

FIGURES = (
    "accuracy",
    "sensitivity",
    "missed_diagnosis_rate",
    "auroc",
    "proved_accuracy",
    "attack_success_rate",
)


def harm_table(harms: Mapping[str, Harm], cfg: Config) -> pd.DataFrame:
    """One row per defense, attack and dose.

    Without poison once per defense, as attack `none` at dose 0.

    Returns:
        `dose` as configured, `poisoned` records of a training set and `poison_rate` among its
        records, means over models; each of `FIGURES` with `_low, _high`, and `_difference,
        _difference_low, _difference_high`: to the same defense without poison, paired on the same
        patients (bootstrap over patients, repetitions averaged). Empty where a figure means
        nothing. `proved_accuracy` is a lower bound: right, and proved to stay so within
        `poisoning.eps`. `attack_success_rate` of the backdoor: of the ill who carry the trigger's
        measurements and are called ill without poison, those called healthy with the trigger; of
        `one_patient`: of the targets, those called healthy. `control` is the success rate of the
        same records without poison; the difference is to it. `goal, knowledge, access, atlas, nist,
        owasp` name the attack.
    """
    doses, confidence = cfg.section(PoisoningSettings).doses, cfg.audit.confidence
    lines: list[dict[str, Any]] = []
    for defense, harm in harms.items():
        y = harm.y.numpy()
        weights = intervals.bootstrap_weights(len(y), cfg.audit.resamples, cfg.seed)
        clean = _views(harm, NONE, 0)
        score = disease_score(clean[0], y)
        area = rates.auroc(score, y), intervals.bootstrap_auroc(score, y, weights)
        none = _figures(clean, clean, area, y, weights, confidence)
        lines.append(
            {
                "defense": defense,
                "attack": NONE,
                "dose": 0,
                "poisoned": 0.0,
                "poison_rate": 0.0,
                **none,
                **attacker_columns(NONE),
            }
        )
        for attack, counts in harm.poisoned.items():
            for at, dose in enumerate(doses):
                key = {
                    "defense": defense,
                    "attack": attack,
                    "dose": dose,
                    "poisoned": float(counts[at]),
                }
                key |= {"poison_rate": float(harm.share[attack][at])}
                figures = (
                    {}
                    if attack == ONE_PATIENT
                    else _figures(_views(harm, attack, at), clean, area, y, weights, confidence)
                )
                success = _success(harm, attack, at, weights, cfg)
                lines.append({**key, **figures, **success, **attacker_columns(attack)})
    table = pd.DataFrame(lines)
    suffixes = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
    columns = [f"{metric}{suffix}" for metric in FIGURES for suffix in suffixes]
    return table.reindex(
        columns=[*list(lines[0])[:5], *columns, "control", *attacker_columns(NONE)]
    )


def dose_name(dose: Dose) -> str:
    """`1 record`, `3 records`, `10 %`."""
    if isinstance(dose, int) or dose >= 1:
        return f"{dose:g} record{'' if dose == 1 else 's'}"
    return f"{100 * dose:g} %"


def attacker_columns(attack: str) -> dict[str, str]:
    """The columns `goal, knowledge, access, atlas, nist, owasp` of an attack.

    `none` in each where nothing was written.
    """
    if attack == NONE:
        return dict.fromkeys(("goal", "knowledge", "access"), "none") | Standards().columns()
    facts = POISON_FACTS[attack]
    who = {"goal": facts.goal, "knowledge": facts.knowledge, "access": facts.access}
    return who | facts.ids.columns()


def _views(harm: Harm, attack: str, at: int) -> tuple[Array, Array]:
    """Margins and proofs (S, N) of an attack at a dose."""
    return harm.margins[attack][at].numpy(), harm.proved[attack][at].numpy()


def _figures(
    after: tuple[Array, Array],
    before: tuple[Array, Array],
    area_before: tuple[float, Array],
    y: Array,
    weights: Array,
    confidence: float,
) -> dict[str, float]:
    ill = y == 1
    right, right_before = ((margins > 0).mean(0) for margins, _ in (after, before))
    figures = {
        **compared("accuracy", right, right_before, weights, confidence),
        **compared("sensitivity", right[ill], right_before[ill], weights[:, ill], confidence),
        **compared(
            "missed_diagnosis_rate",
            1 - right[ill],
            1 - right_before[ill],
            weights[:, ill],
            confidence,
        ),
        **compared("proved_accuracy", after[1].mean(0), before[1].mean(0), weights, confidence),
    }
    score = disease_score(after[0], y)
    area, drawn = rates.auroc(score, y), intervals.bootstrap_auroc(score, y, weights)
    figures |= intervals.bounded("auroc", area, drawn, confidence)
    return figures | intervals.bounded(
        "auroc_difference", area - area_before[0], drawn - area_before[1], confidence
    )


def compared(
    name: str, after: Array, before: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """A mean (N,), its interval, and the paired difference to `before` (N,); weights (R, N)."""
    after, before = after.astype(np.float64), before.astype(np.float64)
    paired = intervals.paired_difference(after, before, weights, confidence)
    figures = intervals.bounded_mean(name, after, weights, confidence)
    names = {"": "difference", "_low": "low", "_high": "high"}
    return figures | {f"{name}_difference{suffix}": paired[key] for suffix, key in names.items()}


def _success(harm: Harm, attack: str, at: int, weights: Array, cfg: Config) -> dict[str, float]:
    """What the attacker wanted and got, and what is got without poison.

    Nothing for an attack on everybody.
    """
    confidence = cfg.audit.confidence
    if attack == ONE_PATIENT:
        healthy = (harm.target_margins.numpy() <= 0).mean(1)
        after, before = healthy[1 + at], healthy[0]
        weights = intervals.bootstrap_weights(len(before), cfg.audit.resamples, cfg.seed)
    elif attack == BACKDOOR:
        stamped = harm.triggered.numpy()
        before, _ = turned_by_trigger(harm, stamped[0])
        after, chosen = turned_by_trigger(harm, stamped[1 + at])
        weights = weights[:, chosen]
    else:
        return {}
    if not len(after):
        return {}
    return success_compared(after, before, weights, confidence) | {"control": float(before.mean())}


def turned_by_trigger(harm: Harm, stamped: Array) -> tuple[Array, Array]:
    """How often a trigger makes healthy whom the models without poison call ill.

    Whether a poisoned model calls them ill without the trigger plays no part: a model that calls
    nobody ill resists no trigger.

    Args:
        harm: of the recipe; its models without poison say whom there is to win.
        stamped: (S, N) margins of the models in question on the records with the trigger.

    Returns:
        (K,) for each of the K ill who carry the trigger's measurements and are called ill without
        poison, the share of the repetitions in which they were called so; and (N,) bool, who these
        patients are.
    """
    called_ill = harm.margins[NONE][0].numpy() > 0
    chosen = (harm.y.numpy() == 1) & ~np.isnan(harm.triggered[0, 0].numpy()) & called_ill.any(0)
    turned = (stamped <= 0) & called_ill
    return turned.sum(0)[chosen] / called_ill.sum(0)[chosen], chosen


def success_compared(
    after: Array, before: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """`compared` of success rates, their interval no narrower than Wilson's.

    Where everybody or nobody is won, the bootstrap is as sure as if there were no others.
    """
    name = "attack_success_rate"
    figures = compared(name, after, before, weights, confidence)
    low, high = intervals.wilson(round(float(after.sum())), len(after), confidence)
    return figures | {
        f"{name}_low": min(figures[f"{name}_low"], low),
        f"{name}_high": max(figures[f"{name}_high"], high),
    }
