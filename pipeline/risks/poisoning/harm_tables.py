"""From margins to what people read about poison.

Every attack at every dose, beside the same recipe without poison.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.attacks.poisoning import POISON_FACTS
from pipeline.config import Config
from pipeline.models.answers import disease_score
from pipeline.presentation.numbers import SMALL
from pipeline.risks.poisoning.measure.recipes import AT_CLEAN, BACKDOOR, NONE, ONE_PATIENT, Harm
from pipeline.risks.poisoning.measure.settings import Dose, PoisoningSettings
from pipeline.standards import Standards
from pipeline.statistics import Array, edges, intervals, rates
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import numbered

NOTICED = 1 / 3  # of those called ill without poison: so many fewer or more are noticed
FIGURES = (
    "accuracy",
    "auroc",
    AT_CLEAN,
    "sensitivity",
    "missed_diagnosis_rate",
    "share_called_ill",
    "proved_accuracy",
    "attack_success_rate",
)


def harm_table(harms: Mapping[str, Harm], cfg: Config, sampling: Sampling) -> pd.DataFrame:
    """One row per defense, attack and dose.

    Without poison once per defense, as attack `none` at dose 0.

    Returns:
        `dose` as configured, in `unit`: records, or patients with all their records; `poisoned`
        records of a training set and `poison_rate` among its records, means over models; each of
        `FIGURES` with `_low, _high`, and `_difference, _difference_low, _difference_high`: to the
        same defense without poison, paired on the same
        patients (bootstrap over patients, repetitions averaged). Empty where a figure means
        nothing. Without poison are the figures of the control. `sensitivity` is that of the
        poisoned model where it draws the line itself; `sensitivity_at_clean_false_alarms` with the
        line moved to where as few of the healthy are called ill as without poison, which tells a
        lost ranking from a moved line. `patients` and `ill` say how many were asked; `warning`
        where many fewer or many more are called ill than without poison. `proved_accuracy` is a
        lower bound: right, and proved to stay so within `poisoning.eps`. `attack_success_rate` of
        the backdoor: of the ill who carry the trigger's measurements and are called ill without
        poison, those called healthy with the trigger; of
        `one_patient`: of the targets, those called healthy. `control` is the success rate of the
        same records without poison, `targets` of how many patients; the difference is to it. `goal,
        knowledge, access, atlas, nist, owasp` name the attack.
    """
    numbers, confidence = cfg.section(PoisoningSettings), sampling.confidence
    lines: list[dict[str, Any]] = []
    for defense, harm in harms.items():
        y = harm.y.numpy()
        weights = sampling.weights(len(y))
        clean = View.of(harm, NONE, 0)
        area = rates.auroc(clean.score, y), intervals.bootstrap_auroc(clean.score, y, weights)
        none = _figures(clean, clean, area, y, weights, confidence)
        unit = unit_of(sampling, len(y))
        asked = {"patients": sampling.patients(len(y)), "ill": sampling.patients(len(y), y == 1)}
        lines.append(
            {
                "defense": defense,
                "attack": NONE,
                "dose": 0,
                "unit": unit,
                "poisoned": 0.0,
                "poison_rate": 0.0,
                **none,
                **asked,
                "warning": warning(none),
                **attacker_columns(NONE),
            }
        )
        for attack, counts in harm.poisoned.items():
            for at, dose in enumerate(numbers.doses_of(attack)):
                key = {
                    "defense": defense,
                    "attack": attack,
                    "dose": dose,
                    "unit": unit,
                    "poisoned": float(counts[at]),
                }
                key |= {"poison_rate": float(harm.share[attack][at])}
                figures = (
                    {}
                    if attack == ONE_PATIENT
                    else _figures(View.of(harm, attack, at), clean, area, y, weights, confidence)
                    | asked
                )
                success = _success(harm, attack, at, weights, sampling)
                said = {"warning": warning(figures)}
                lines.append({**key, **figures, **success, **said, **attacker_columns(attack)})
    table = pd.DataFrame(lines)
    suffixes = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
    columns = [f"{metric}{suffix}" for metric in FIGURES for suffix in suffixes]
    return table.reindex(
        columns=[
            *list(lines[0])[:6],
            *columns,
            "control",
            "targets",
            "patients",
            "ill",
            "warning",
            *attacker_columns(NONE),
        ]
    )


def unit_of(sampling: Sampling, records: int) -> str:
    """What a poisoner is counted by: `records`; `patients` where somebody has several records."""
    return "records" if sampling.patients(records) == records else "patients"


def dose_name(dose: Dose, unit: str = "records") -> str:
    """`1 record`, `3 records`, `2 patients`, `10 %`."""
    if isinstance(dose, int) or dose >= 1:
        return f"{dose:g} {unit.removesuffix('s') if dose == 1 else unit}"
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


class View(NamedTuple):
    """What an attack at a dose left: (S, N) of N patients in S repetitions.

    Attributes:
        margins: of the true class, counted from where each model draws the line.
        score: log-odds of disease.
        proved: right, and proved to stay so; None = nothing was tried to be proved.
    """

    margins: Array
    score: Array
    proved: Array | None

    @classmethod
    def of(cls, harm: Harm, attack: str, at: int) -> "View":
        """Of a dose, by its place."""
        margins, cut = (table[attack][at].numpy() for table in (harm.margins, harm.cuts))
        proved = harm.proved[attack][at].numpy() if attack in harm.proved else None
        return cls(margins, disease_score(margins, harm.y.numpy(), cut), proved)


def _figures(
    after: View,
    before: View,
    area_before: tuple[float, Array],
    y: Array,
    weights: Array,
    confidence: float,
) -> dict[str, float]:
    ill, figures = y == 1, dict[str, float]()
    for name, whom, each in (
        ("accuracy", ..., lambda view: view.margins > 0),
        ("sensitivity", ill, lambda view: view.margins > 0),
        ("missed_diagnosis_rate", ill, lambda view: view.margins <= 0),
        (AT_CLEAN, ill, lambda view: called_at_clean(view.margins, before.margins, y)),
        ("share_called_ill", ..., lambda view: disease_score(view.margins, y) > 0),
        ("proved_accuracy", ..., lambda view: view.proved),
    ):
        if name == "proved_accuracy" and after.proved is None:
            continue
        control = each(before).mean(0)[whom]
        found = control if after is before else each(after).mean(0)[whom]
        figures |= compared(name, found, control, weights[:, whom], confidence)
    area = rates.auroc(after.score, y)
    drawn = intervals.bootstrap_auroc(after.score, y, weights)
    figures |= intervals.bounded_auroc("auroc", area, drawn, y, weights, confidence)
    return figures | intervals.bounded(
        "auroc_difference", area - area_before[0], drawn - area_before[1], confidence
    )


def warning(figures: Mapping[str, float]) -> str:
    """What a clinic would notice: a share called ill that moved a lot; else `none`."""
    name = "share_called_ill"
    if name not in figures:
        return NONE
    share, moved = figures[name], figures[f"{name}_difference"]
    clean = share - moved
    if abs(moved) <= NOTICED * clean:
        return NONE
    return f"share called ill {'fell' if moved < 0 else 'rose'} from {clean:.2f} to {share:.2f}"


def called_at_clean(margins: Array, clean: Array, y: Array) -> Array:
    """Who is called ill once as many of the healthy are called ill as by the clean models.

    In each repetition all models move their line by one amount, which only takes knowing whom the
    clean models would have called ill: to where the healthy are split as the clean line splits
    them, between two of them by its place there.

    Args:
        margins: (S, N) of the true class, counted from where each model draws the line.
        clean: (S, N) likewise, of the same recipe without poison.
        y: (N,) class indices.

    Returns:
        (S, N) bool; for the clean models themselves whom they call ill anyway.
    """
    healthy, score, before = y == 0, disease_score(margins, y), disease_score(clean, y)
    lines = []
    for own, control in zip(score[:, healthy], before[:, healthy], strict=True):
        places = np.arange(len(own))
        place = np.interp(0.0, np.sort(control), places)
        lines.append(np.interp(place, places, np.sort(own)))
    return np.asarray(score > np.array(lines)[:, None])


def compared(
    name: str, after: Array, before: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """A mean (N,), its interval, and the paired difference to `before` (N,); weights (R, N)."""
    paired = intervals.paired_difference(after, before, weights, confidence)
    figures = intervals.bounded_mean_share(name, after, weights, confidence)
    names = {"": "difference", "_low": "low", "_high": "high"}
    return figures | {f"{name}_difference{suffix}": paired[key] for suffix, key in names.items()}


def _success(
    harm: Harm, attack: str, at: int, weights: Array, sampling: Sampling
) -> dict[str, float]:
    """What the attacker wanted and got, of how many, and what is got without poison.

    Nothing for an attack on everybody. `targets` of the backdoor are a group of patients, of whom
    fewer than ten are not told; whom an attacker names are no group, and always told.
    """
    if attack == ONE_PATIENT:
        healthy = (harm.target_margins.numpy() <= 0).mean(1)
        after, before = healthy[1 + at], healthy[0]
        named = sampling.of(harm.targets.numpy())
        weights, whose = named.weights(len(before)), named.whose(len(before))
    elif attack == BACKDOOR:
        stamped = harm.triggered.numpy()
        before, _ = turned_by_trigger(harm, stamped[0])
        after, chosen = turned_by_trigger(harm, stamped[1 + at])
        weights, whose = weights[:, chosen], numbered(sampling.whose(len(harm.y))[chosen])
    else:
        return {}
    if not len(after):
        return {}
    count = len(np.unique(whose))
    told = attack == ONE_PATIENT or count >= SMALL
    return success_compared(after, before, weights, whose, sampling.confidence) | {
        "control": float(before.mean()),
        "targets": float(count) if told else np.nan,
    }


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
    after: Array, before: Array, weights: Array, whose: Array, confidence: float
) -> dict[str, float]:
    """`compared` of success rates, their interval no narrower than Wilson's.

    Where everybody or nobody is won, the bootstrap is as sure as if there were no others. Of a
    patient with several records `whose` (N,) says that they are no independent ones.
    """
    name = "attack_success_rate"
    figures = compared(name, after, before, weights, confidence)
    low, high = edges.wilson_of_patients(round(float(after.sum())), whose, confidence)
    return figures | {
        f"{name}_low": min(figures[f"{name}_low"], low),
        f"{name}_high": max(figures[f"{name}_high"], high),
    }
