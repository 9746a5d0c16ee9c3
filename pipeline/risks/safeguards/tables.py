"""What is left of safeguards, as figures with intervals, and what may be concluded of each.

Shapes: S repetitions x N patients; an attacker's figures are those of one radius.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import BASELINE
from pipeline.risks.columns import DEFENSE
from pipeline.risks.risk import Context, Sources, nearest_in
from pipeline.risks.safeguards.measure.covered import Sets
from pipeline.risks.safeguards.measure.experiment import FILES
from pipeline.risks.safeguards.measure.referred import PROVED, Referrals
from pipeline.risks.safeguards.measure.sanitised import NOTHING, Margins
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.statistics import Array, conformal, intervals
from pipeline.statistics.conclusions import Difference, compare
from pipeline.statistics.intervals import Sampling

CONTROL = "margin"  # the rule that asks for nothing beside the answer itself
ATTACKERS = {
    "none": "nobody attacks",
    "chance": "the worst of some random changes of the same size",
    "ignoring": "who does not know of the safeguard",
    "adaptive": "who attacks through it; also with what the one who ignores it made",
}
LOT = "lot"  # referral of as many, whoever they are
SENSITIVITY = "sensitivity"
# Name, against whom, figure -> what each patient adds (N,) of either, HIGHER = BETTER.
Asked = dict[tuple[str, str, str], tuple[Array, Array]]
SANITISE, ALGORITHM, REFER = "sanitise", "algorithm", "refer"
_ATTACKED = {
    "attacker": "; ".join(f"{name}: {words}" for name, words in ATTACKERS.items()),
    "eps": "radius of the headline threat, in units of scale",
    "patients": "who are asked about",
    "ill": "of them",
}
COLUMNS = {
    "sanitised": {
        **DEFENSE,
        "safeguard": "the sanitiser in front of the models; none = nothing is",
        **_ATTACKED,
        "accuracy": "right answers, out of fold",
        "missed_diagnosis_rate": "of the ill, who are called healthy",
        "false_alarm_rate": "of the healthy, who are called ill",
    },
    "referred": {
        **DEFENSE,
        "rule": "by which patients are referred to a human",
        "rate": "share of unchanged records that is to be referred",
        "referred": "share that is; more where doubts are the same",
        "proved_to": "radius below which no record passes whose answer an attacker turned: proved; "
        "empty = nothing is",
        **_ATTACKED,
        "undetected": "answered wrongly and not referred, of all patients",
        "undetected_missed": "of the ill, who are called healthy and not referred",
        "passed": "of the answers that the attacker turned, those that are not referred",
    },
    "conformal_sets": {
        **_ATTACKED,
        "promised": "share of sets that hold the true class, at least, were nobody to attack",
        "coverage": "share that does",
        "coverage_ill": "of the ill",
        "two_classes": "sets of both classes",
        "no_class": "sets of none",
    },
    "safeguard_verdicts": {
        "mitigation": f"{SANITISE}, {REFER} the doubtful, or a more robust {ALGORITHM}",
        "name": "the sanitiser, the rule, or the recipe",
        "against": f"what it is compared with, on the same patients; {LOT}: referral of as many, "
        "whoever they are",
        "eps": "radius of the adaptive attacker",
        "figure": "what is compared; HIGHER = BETTER",
        "difference": "to it",
        "se": "its standard error: of these models on new patients",
        "p": "after Holm, over all figures of the mitigation",
        "verdict": "better, worse or not told apart",
        "smallest_detectable": "difference that 80 of 100 such comparisons would tell apart",
    },
}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """The tables `sanitised`, `referred`, `conformal_sets` and `safeguard_verdicts`."""
    place = sources.stage("safeguards")
    if place is None:
        return {}
    wanted = context.cfg.section(SafeguardsSettings)
    margins = Margins.load(place / FILES["sanitised"])
    referrals = Referrals.load(place / FILES["referred"])
    sets = Sets.load(place / FILES["covered"])
    sampling = context.sampling.of(margins.patients.numpy())
    return {
        "sanitised": sanitised_table(margins, context.cfg.chosen(wanted.beside), sampling),
        "referred": referred_table(referrals, wanted.rates, sampling),
        "conformal_sets": conformal_table(sets, wanted.alpha, sampling),
        "safeguard_verdicts": verdict_table(
            margins,
            referrals,
            beside=context.cfg.chosen(wanted.beside),
            rate=middle(wanted.rates),
            eps=context.cfg.headline_radius,
            sampling=sampling,
        ),
    }


def middle(rates: list[float]) -> float:
    """The rate of referral that is concluded from."""
    return sorted(rates)[len(rates) // 2]


# ---- sanitisers ----


def sanitised_table(found: Margins, beside: list[str], sampling: Sampling) -> pd.DataFrame:
    """One row per sanitiser or recipe, attacker and radius; without attack one row at radius 0."""
    y = found.y.numpy()
    weights, lines = sampling.weights(len(y)), []
    for name, clean in found.clean.items():
        for attacker, eps, margins in _attacked(found, name, clean.numpy()):
            wrong = (margins <= 0).mean(0)
            lines.append(
                {
                    "defense": name if name in beside else BASELINE,
                    "safeguard": NOTHING if name in beside else name,
                    "attacker": attacker,
                    "eps": eps,
                    **_counts(y, sampling),
                    **_mean("accuracy", 1 - wrong, weights, sampling),
                    **_mean("missed_diagnosis_rate", wrong, weights, sampling, y == 1),
                    **_mean("false_alarm_rate", wrong, weights, sampling, y == 0),
                }
            )
    return pd.DataFrame(lines)


def _attacked(found: Margins, name: str, clean: Array) -> Iterator[tuple[str, float, Array]]:
    yield "none", 0.0, clean
    for attacker in ("chance", "ignoring", "adaptive"):
        each = getattr(found, attacker)[name].numpy()
        for eps, margins in zip(found.eps, each, strict=True):
            if eps > 0:
                yield attacker, eps, margins


# ---- referral ----


def referred_table(found: Referrals, rates: list[float], sampling: Sampling) -> pd.DataFrame:
    """One row per rule, rate, attacker and radius; without attack one row at radius 0."""
    y = found.y.numpy()
    weights, lines = sampling.weights(len(y)), []
    for rule in found.rules:
        defense, name = whose_rule(rule)
        clean = found.doubt[f"clean/{rule}"][0].numpy()
        for rate in sorted(rates):
            limit = thresholds(clean, rate)
            head = {
                "defense": defense,
                "rule": name,
                "rate": rate,
                "referred": float((clean >= limit).mean()),
                "proved_to": proved_to(limit, found.eps[-1]) if name == PROVED else np.nan,
            }
            for attacker, place, eps in _asked(found):
                passed = passed_on(found, rule, attacker, place, limit)
                lines.append(
                    {
                        **head,
                        "attacker": attacker,
                        "eps": eps,
                        **_counts(y, sampling),
                        **_mean("undetected", passed.wrong, weights, sampling),
                        **_mean("undetected_missed", passed.wrong, weights, sampling, y == 1),
                        **_ratio("passed", passed.turned_on, passed.turned, weights, sampling),
                    }
                )
    return pd.DataFrame(lines)


def whose_rule(rule: str) -> tuple[str, str]:
    """The recipe and the name of a rule: `adv_train: margin`, `margin`."""
    before, colon, after = rule.partition(": ")
    return (before, after) if colon else (BASELINE, before)


def thresholds(clean: Array, rate: float) -> Array:
    """(S, 1) the doubt from which on a patient is referred, of each repetition.

    So that of N unchanged records the nearest whole number to `rate` N is, and equal doubts alike.

    Args:
        clean: (S, N) doubts of unchanged records; no diagnosis is looked at.
        rate: of them that is to be referred.
    """
    count = round(rate * clean.shape[1])
    if not count:
        return np.full((len(clean), 1), np.inf)
    return np.sort(clean, 1)[:, -count, None]


def proved_to(limit: Array, largest: float) -> float:
    """Below which radius no record passes whose answer an attacker turned, in every repetition.

    Args:
        limit: (S, 1) thresholds of doubts that are proved radii with their sign turned.
        largest: radius that was looked at.
    """
    return float(np.clip(-limit.max(), 0.0, largest))


class Passed:
    """What is passed on to patients: (N,), repetitions averaged.

    Attributes:
        wrong: wrong answers that are not referred.
        turned: answers that were right and are wrong.
        turned_on: of these, those that are not referred.
    """

    def __init__(self, clean: Array, margin: Array, doubt: Array, limit: Array) -> None:
        """From margins and doubts (S, N), unchanged and presented, and thresholds (S, 1)."""
        wrong, on = margin <= 0, doubt < limit
        turned = wrong & (clean > 0)
        self.wrong, self.turned = (wrong & on).mean(0), turned.mean(0)
        self.turned_on = (turned & on).mean(0)


def passed_on(found: Referrals, rule: str, attacker: str, place: int, limit: Array) -> Passed:
    """What a rule passes on of what an attacker presents within one radius."""
    kind = "clean" if attacker == "none" else attacker
    clean = found.margin[f"clean/{rule}"][0].numpy()
    margin, doubt = (one[f"{kind}/{rule}"][place].numpy() for one in (found.margin, found.doubt))
    return Passed(clean, margin, doubt, limit)


def _asked(found: Referrals) -> Iterator[tuple[str, int, float]]:
    yield "none", 0, 0.0
    for attacker in ("ignoring", "adaptive"):
        for place, eps in enumerate(found.eps):
            yield attacker, place, eps


# ---- conformal sets ----


def conformal_table(found: Sets, alpha: float, sampling: Sampling) -> pd.DataFrame:
    """One row per attacker and radius; without attack one row at radius 0."""
    y, lines = found.y.numpy(), []
    weights = sampling.weights(len(y))
    fewest = found.calibrated.numpy().reshape(-1, 2).min(0)
    promised = min(conformal.promised(int(n), alpha) for n in fewest)
    for attacker, each in found.p.items():
        for eps, p in zip(found.eps, each.numpy(), strict=True):
            if eps == 0 and attacker != "ignoring":
                continue
            inside = p > alpha
            held = np.where(y == 1, inside[..., 1], inside[..., 0]).mean(0)
            size = inside.sum(-1)
            lines.append(
                {
                    "attacker": attacker if eps else "none",
                    "eps": eps,
                    **_counts(y, sampling),
                    "promised": promised,
                    **_mean("coverage", held, weights, sampling),
                    **_mean("coverage_ill", held, weights, sampling, y == 1),
                    **_mean("two_classes", (size == 2).mean(0), weights, sampling),
                    **_mean("no_class", (size == 0).mean(0), weights, sampling),
                }
            )
    return pd.DataFrame(lines)


# ---- conclusions ----


def verdict_table(
    margins: Margins,
    referrals: Referrals,
    *,
    beside: list[str],
    rate: float,
    eps: float,
    sampling: Sampling,
) -> pd.DataFrame:
    """What is concluded of every safeguard, from the adaptive attacker alone.

    Args:
        margins: of sanitisers and of the recipes beside.
        referrals: of rules.
        beside: the more robust recipes.
        rate: of referral at which rules are compared.
        eps: of the adaptive attacker; the nearest radius that was tried.
        sampling: of the standard errors.
    """
    at = margins.eps.index(nearest_in([one for one in margins.eps if one > 0], eps))
    others = [name for name in margins.clean if name != NOTHING]
    figures = {name: _figures(margins, name, at) for name in margins.clean}
    lines: list[dict[str, Any]] = []
    for mitigation in (SANITISE, ALGORITHM):
        names = [name for name in others if (name in beside) == (mitigation == ALGORITHM)]
        asked = {
            (name, NOTHING, figure): (value, figures[NOTHING][figure])
            for name in names
            for figure, value in figures[name].items()
        }
        head = {"mitigation": mitigation, "eps": margins.eps[at]}
        lines += _compared(head, asked, margins.y.numpy(), sampling)
    head = {"mitigation": REFER, "eps": nearest_in(referrals.eps, eps)}
    lines += _compared(head, _rules_compared(referrals, rate, eps), referrals.y.numpy(), sampling)
    return pd.DataFrame(lines)


def _rules_compared(referrals: Referrals, rate: float, eps: float) -> Asked:
    """Every rule against referral by lot, and against the control; HIGHER = BETTER."""
    place = referrals.eps.index(nearest_in(referrals.eps, eps))
    asked: Asked = {}
    for rule in referrals.rules:
        defense, name = whose_rule(rule)
        control = CONTROL if defense == BASELINE else f"{defense}: {CONTROL}"
        own, plain = (_passed_at(referrals, one, place, rate) for one in (rule, control))
        wrong = (referrals.margin[f"adaptive/{control}"][place].numpy() <= 0).mean(0)
        asked[rule, LOT, "undetected"] = (-own, -(1 - rate) * wrong)
        if name != CONTROL:
            asked[rule, control, "undetected"] = (-own, -plain)
    return asked


def _passed_at(referrals: Referrals, rule: str, place: int, rate: float) -> Array:
    limit = thresholds(referrals.doubt[f"clean/{rule}"][0].numpy(), rate)
    return passed_on(referrals, rule, "adaptive", place, limit).wrong


def _figures(margins: Margins, name: str, at: int) -> dict[str, Array]:
    """By figure what each patient adds, HIGHER = BETTER: (N,)."""
    attacked = (margins.adaptive[name][at].numpy() > 0).mean(0)
    return {
        SENSITIVITY: attacked,  # of the ill alone
        "accuracy": attacked,
        "clean_accuracy": (margins.clean[name].numpy() > 0).mean(0),
    }


def _compared(
    head: Mapping[str, Any], asked: Asked, y: Array, sampling: Sampling
) -> list[dict[str, Any]]:
    """A line for each comparison of one mitigation, after Holm over all of them."""
    weights, differences = sampling.weights(len(y)), {}
    for key, (own, other) in asked.items():
        where = y == 1 if key[-1] == SENSITIVITY else None
        found = intervals.paired_difference(own, other, weights, sampling.confidence, where)
        differences[key] = Difference(found["difference"], found["se"])
    judged = compare(
        differences, patients=sampling.patients(len(y)), confidence=sampling.confidence
    )
    return [
        {
            **head,
            "name": name,
            "against": against,
            "figure": figure,
            "difference": one.difference.value,
            "se": one.difference.se,
            "p": one.p,
            "verdict": one.verdict,
            "smallest_detectable": one.smallest_detectable,
        }
        for (name, against, figure), one in judged.items()
    ]


# ---- figures ----


def _counts(y: Array, sampling: Sampling) -> dict[str, int]:
    return {"patients": sampling.patients(len(y)), "ill": sampling.patients(len(y), y == 1)}


def _mean(
    name: str, each: Array, weights: Array, sampling: Sampling, where: Array | None = None
) -> dict[str, float]:
    """`intervals.bounded_mean`; by Wilson where it is the same of everybody.

    Of those a bootstrap would draw nothing else, and be certain.
    """
    found = intervals.bounded_mean(name, each, weights, sampling.confidence, where)
    inside = np.ones(len(each), dtype=bool) if where is None else where
    if inside.any() and not np.ptp(each[inside]):
        whose = sampling.whose(len(each))[inside]
        whose = np.unique(whose, return_inverse=True)[1]
        bounds = intervals.wilson_of_patients(each[inside].sum(), whose, sampling.confidence)
        found |= dict(zip((f"{name}_low", f"{name}_high"), bounds, strict=True))
    return found


def _ratio(
    name: str, part: Array, whole: Array, weights: Array, sampling: Sampling
) -> dict[str, float]:
    """A share of those whom an attacker turned; not a number where he turned nobody."""
    if not whole.sum():
        return intervals.bounded(name, float("nan"), np.zeros(1), sampling.confidence)
    drawn = (weights @ whole.astype(weights.dtype)).astype(np.float64)
    samples = (weights @ part.astype(weights.dtype)) / np.where(drawn > 0, drawn, np.nan)
    return intervals.bounded(name, float(part.sum() / whole.sum()), samples, sampling.confidence)
