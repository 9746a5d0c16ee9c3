"""What the guard costs, what passes it and what it gives away, as figures with intervals.

Shapes: K reaches x S repetitions x N patients.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.risks.columns import DEFENSE
from pipeline.risks.groups import groups_of
from pipeline.risks.guard.alarms import alarm_table
from pipeline.risks.guard.measure.attacked import ATTACKERS, Passed, key
from pipeline.risks.guard.measure.experiment import PASSED, TAKEN
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.guard.measure.taken import ALONE, FULL, SHADOWS, Taken
from pipeline.risks.membership.tables import score_figures
from pipeline.risks.risk import Context, Sources
from pipeline.risks.safeguards.figures import counts, ratio, share
from pipeline.statistics import Array, intervals
from pipeline.statistics.conclusions import Difference, verdict_columns
from pipeline.statistics.intervals import Sampling
from pipeline.statistics.patients import LEAST, added, first_records
from pipeline.verify.problem import TOLERANCE

R = {"r": "radius of the guard, in units of the headline threat's scale; 0 = there is no guard"}
ASKED = {"patients": "who are asked about", "ill": "of them"}
SEEN = {
    "role": "who asks; nobody = a stranger who is told everything",
    "access": "what an answer shows",
}
COLUMNS = {
    "guard_price": {
        **DEFENSE,
        **R,
        "by": "what cuts groups; empty: all patients",
        "group": "whose figures these are",
        **ASKED,
        "referred": "who is left to a person, of all",
        "accuracy": "right answers, of all that are answered",
        "sensitivity": "who is called ill, of the ill who are answered",
        "wrong": "answered wrongly, of all",
        "missed": "answered healthy, of the ill",
    },
    "guard_attacks": {
        **DEFENSE,
        **R,
        "attacker": "nearest: the nearest record with another answer; margin: the one where that "
        "answer leads most; adaptive: whichever is answered, of all that anybody has",
        "reach": "of the attacker, in multiples of r",
        "eps": "the same, in units of scale",
        **ASKED,
        "turned": "whose record is decided otherwise than unchanged",
        "passed": "who is, and answered",
        "wrong": "answered wrongly, of all; also those who were so without attack",
        "missed": "answered healthy, of the ill; likewise",
        "proved_none": "whether it is proved that nobody passes: the reach is at most r",
    },
    "guard_verdicts": {
        **DEFENSE,
        **R,
        "other": "the recipe that it is compared with",
        "other_r": "and its radius",
        "figure": "what is compared, without attack; HIGHER = BETTER",
        "difference": "to the other: of fewer referred, fewer wrong answers, fewer missed",
        "se": "its standard error: of these models on new patients",
        "p": "after Holm, over all rows",
        "verdict": "better, worse or not told apart",
        "smallest_detectable": "difference that 80 of 100 such comparisons would tell apart",
    },
    "guard_theft": {
        **DEFENSE,
        **SEEN,
        **R,
        "budget": "answers, referrals included, that a copy was trained on",
        "referred": "share of the thief's queries that was referred",
        "patients": "neither learned from nor asked about",
        "fidelity": "share of them to whom the copy gives the answer of the model",
    },
    "guard_membership": {
        **DEFENSE,
        **SEEN,
        **R,
        "attack": f"{ALONE}: right answer = member, referral in between; {SHADOWS}: likelihood "
        "ratio, with models of other folds behind the same guard",
        "targets": "models that are attacked",
        "patients": "who are asked about",
        "auroc": "0.5 = guessing",
        "tpr_at_1pct": "members found while 1 % of the others are taken for members",
    },
    "guard_alarms": {
        **DEFENSE,
        "attacker": "who attacks",
        "eps": "his reach, twice guard.r, in units of scale",
        "channel": "referrals: at guard.alarm_r; missed: confirmed diagnoses of ill patients who "
        "were answered healthy",
        "honest": "rate of such events without attack",
        "attacked": "rate of attacked records",
        "share": "of the queries that are attacks",
        "found": "share of simulated streams in which the alarm rose within 4000 events",
        "events": "until the alarm, the median: queries, or confirmed diagnoses; empty: in fewer "
        "than half of the streams",
    },
}
FIGURES = ("referred", "wrong", "missed")


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """The tables named in `COLUMNS`."""
    place = sources.stage("guard")
    if place is None:
        return {}
    cfg = context.cfg
    wanted = cfg.section(GuardSettings)
    names = [name for name in cfg.chosen(wanted.recipes) if (place / name / PASSED).exists()]
    if not names:
        return {}
    passed = {name: Passed.load(place / name / PASSED) for name in names}
    taken = {name: Taken.load(place / name / TAKEN) for name in names}
    sampling = context.sampling.of(next(iter(passed.values())).patients.numpy())
    return {
        "guard_price": price_table(passed, context, sampling),
        "guard_attacks": attack_table(passed, sampling),
        "guard_verdicts": verdict_table(passed, sampling),
        "guard_theft": theft_table(taken, wanted, context.sampling),
        "guard_membership": membership_table(taken, wanted, context.sampling),
        "guard_alarms": alarm_table(passed, wanted, sampling, cfg.seed),
    }


# ---- the price ----


def answered_by(found: Passed, r: float) -> Array:
    """(S, N) bool: who is answered; everybody where there is no guard."""
    radius = found.radius.numpy()
    return radius > r + TOLERANCE if r else np.ones(radius.shape, dtype=bool)


def price_of(found: Passed, r: float) -> dict[str, Array]:
    """What each patient adds, repetitions averaged: (N,) each."""
    answered = answered_by(found, r)
    right = found.called.numpy() == found.y.numpy()
    return {
        "referred": 1 - answered.mean(0),
        "wrong": (answered & ~right).mean(0),
        "answered": answered.mean(0),
        "right": (answered & right).mean(0),
    }


def price_table(passed: Mapping[str, Passed], context: Context, sampling: Sampling) -> pd.DataFrame:
    """One row per recipe, radius and group; a figure of fewer than `LEAST` patients is not told."""
    first, dataset = next(iter(passed.values())), context.dataset
    y = first.y.numpy()
    x = dataset.x[first.patients].flatten(1).numpy()
    everyone = {("", "all patients"): np.ones(len(y), dtype=bool)}
    groups = everyone | groups_of(x, dataset.schema.names, y, context.cfg.data)
    weights = sampling.weights(len(y))
    lines = [
        {
            "defense": name,
            "r": r,
            "by": by,
            "group": group,
            "patients": sampling.patients(len(y), inside),
            "ill": sampling.patients(len(y), inside & (y == 1)),
            **_priced(price_of(found, r), y, inside, weights, sampling),
        }
        for name, found in passed.items()
        for r in (0.0, *found.radii)
        for (by, group), inside in groups.items()
    ]
    return pd.DataFrame(lines)


def _priced(
    each: Mapping[str, Array], y: Array, inside: Array, weights: Array, sampling: Sampling
) -> dict[str, float]:
    ill = inside & (y == 1)
    figures: dict[str, float] = {}
    for name, where, value in (
        ("referred", inside, "referred"),
        ("accuracy", inside, ""),
        ("sensitivity", ill, ""),
        ("wrong", inside, "wrong"),
        ("missed", ill, "wrong"),
    ):
        if sampling.patients(len(y), where) < LEAST:
            figures |= {f"{name}{end}": np.nan for end in ("", "_low", "_high")}
        elif value:
            figures |= share(name, each[value], weights, sampling, where)
        else:
            part, whole = each["right"] * where, each["answered"] * where
            figures |= ratio(name, part, whole, weights, sampling)
    return figures


# ---- the attack ----


def attack_table(passed: Mapping[str, Passed], sampling: Sampling) -> pd.DataFrame:
    """One row per recipe, radius, attacker and reach."""
    y = next(iter(passed.values())).y.numpy()
    weights = sampling.weights(len(y))
    lines = [
        {
            "defense": name,
            "r": r,
            "attacker": attacker,
            "reach": reach,
            "eps": float(f"{r * reach:.6g}"),
            **counts(y, sampling),
            **{
                column: value
                for figure in ("turned", "passed", "wrong")
                for column, value in share(
                    figure, _each(getattr(found, figure), attacker, r, k), weights, sampling
                ).items()
            },
            **share("missed", _each(found.wrong, attacker, r, k), weights, sampling, y == 1),
            "proved_none": reach <= 1,
        }
        for name, found in passed.items()
        for r in found.radii
        for attacker in ATTACKERS
        for k, reach in enumerate(found.reach)
    ]
    return pd.DataFrame(lines)


def _each(found: Mapping[str, Any], attacker: str, r: float, k: int) -> Array:
    """(N,) what each patient adds at the k-th reach."""
    return np.asarray(found[key(attacker, r)][k].double().mean(0).numpy())


# ---- what is concluded ----


def verdict_table(passed: Mapping[str, Passed], sampling: Sampling) -> pd.DataFrame:
    """Recipes at each radius against the first one, and each radius against the one before it."""
    y = next(iter(passed.values())).y.numpy()
    weights = sampling.weights(len(y))
    differences: dict[tuple[str, float, str, float, str], Difference] = {}
    for (name, r), (other, other_r) in _compared(passed):
        mine, theirs = price_of(passed[name], r), price_of(passed[other], other_r)
        for figure in FIGURES:
            value, where = ("wrong", y == 1) if figure == "missed" else (figure, None)
            found = intervals.paired_difference(
                -mine[value], -theirs[value], weights, sampling.confidence, where
            )
            difference = Difference(found["difference"], found["se"])
            differences[name, r, other, other_r, figure] = difference
    told = verdict_columns(
        differences, patients=sampling.patients(len(y)), confidence=sampling.confidence
    )
    names = ("defense", "r", "other", "other_r", "figure")
    return pd.DataFrame(
        {**dict(zip(names, key, strict=True)), **columns} for key, columns in told.items()
    )


def _compared(
    passed: Mapping[str, Passed],
) -> Iterator[tuple[tuple[str, float], tuple[str, float]]]:
    first, *others = passed
    for name, found in passed.items():
        for before, r in zip([0.0, *found.radii], found.radii, strict=False):
            yield (name, r), (name, before)
    for name in others:
        for r in passed[name].radii:
            yield (name, r), (first, r)


# ---- what is given away ----


def _seen(found: Taken, wanted: GuardSettings) -> Iterator[tuple[str, str, float]]:
    """Roles, what they are shown, and the guard's radius."""
    yield "nobody", FULL, 0.0
    for role, access in wanted.roles.items():
        for r in found.radii:
            yield role, access, r


def theft_table(
    taken: Mapping[str, Taken], wanted: GuardSettings, sampling: Sampling
) -> pd.DataFrame:
    """One row per recipe, role, radius and budget."""
    lines = []
    for name, found in taken.items():
        own = sampling.of(found.tests.numpy())
        weights = own.weights(len(found.tests))
        for role, access, r in _seen(found, wanted):
            agrees = found.agrees[f"{access}/{r:g}"].numpy().astype(float)
            for budget, each in zip(found.budgets, agrees, strict=True):
                lines.append(
                    {
                        "defense": name,
                        "role": role,
                        "access": access,
                        "r": r,
                        "budget": budget,
                        "referred": float(found.referred[f"{access}/{r:g}"].mean()),
                        "patients": own.patients(len(found.tests)),
                        **share("fidelity", each, weights, own),
                    }
                )
    return pd.DataFrame(lines)


def membership_table(
    taken: Mapping[str, Taken], wanted: GuardSettings, sampling: Sampling
) -> pd.DataFrame:
    """One row per recipe, role, radius and attack; none where the plan has no shadows."""
    lines = []
    for name, found in taken.items():
        if not found.scores:
            continue
        own = sampling.of(found.patients.numpy())
        whose = own.whose(len(found.patients))
        member = found.member.numpy()[:, first_records(whose)]
        people = own.patients(len(found.patients))
        weights = own.each_alone().weights(people)
        for role, access, r in _seen(found, wanted):
            for attack in (ALONE, SHADOWS):
                scores = added(found.scores[f"{attack}/{access}/{r:g}"].numpy(), whose)
                figures = score_figures(scores, member, weights, own.confidence)
                lines.append(
                    {
                        "defense": name,
                        "role": role,
                        "access": access,
                        "r": r,
                        "attack": attack,
                        "targets": len(member),
                        "patients": people,
                        **{
                            column: value
                            for column, value in figures.items()
                            if column.startswith(("auroc", "tpr_at_1pct"))
                        },
                    }
                )
    columns = [*COLUMNS["guard_membership"]]
    return pd.DataFrame(lines) if lines else pd.DataFrame(columns=columns)
