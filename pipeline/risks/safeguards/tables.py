"""What is left of safeguards, as figures with intervals, and what may be concluded of each.

Shapes: S repetitions x N patients; an attacker's figures are those of one radius.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.config import BASELINE
from pipeline.risks.columns import DEFENSE
from pipeline.risks.risk import Context, Sources
from pipeline.risks.safeguards.figures import (
    counts,
    passed_on,
    proved_to,
    ratio,
    share,
    thresholds,
    whose_rule,
)
from pipeline.risks.safeguards.measure.covered import Sets
from pipeline.risks.safeguards.measure.experiment import FILES
from pipeline.risks.safeguards.measure.referred import PROVED, Referrals
from pipeline.risks.safeguards.measure.sanitised import NOTHING, Margins
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.risks.safeguards.verdicts import ALGORITHM, LOT, REFER, SANITISE, verdict_table
from pipeline.statistics import Array, conformal
from pipeline.statistics.intervals import Sampling

ATTACKERS = {
    "none": "nobody attacks",
    "chance": "the worst of some random changes of the same size",
    "ignoring": "who does not know of the safeguard",
    "adaptive": "who attacks through it; also with what the one who ignores it made",
}
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
                    **counts(y, sampling),
                    **share("accuracy", 1 - wrong, weights, sampling),
                    **share("missed_diagnosis_rate", wrong, weights, sampling, y == 1),
                    **share("false_alarm_rate", wrong, weights, sampling, y == 0),
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
                        **counts(y, sampling),
                        **share("undetected", passed.wrong, weights, sampling),
                        **share("undetected_missed", passed.wrong, weights, sampling, y == 1),
                        **ratio("passed", passed.turned_on, passed.turned, weights, sampling),
                    }
                )
    return pd.DataFrame(lines)


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
        radii = [0.0] if attacker == "none" else found.eps
        for eps, p in zip(radii, each.numpy(), strict=True):
            inside = p > alpha
            held = np.where(y == 1, inside[..., 1], inside[..., 0]).mean(0)
            size = inside.sum(-1)
            lines.append(
                {
                    "attacker": attacker,
                    "eps": eps,
                    **counts(y, sampling),
                    "promised": promised,
                    **share("coverage", held, weights, sampling),
                    **share("coverage_ill", held, weights, sampling, y == 1),
                    **share("two_classes", (size == 2).mean(0), weights, sampling),
                    **share("no_class", (size == 0).mean(0), weights, sampling),
                }
            )
    return pd.DataFrame(lines)
