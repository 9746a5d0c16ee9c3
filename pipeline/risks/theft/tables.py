"""From stolen copies to what people read.

How faithful a copy is, what it is good for, and what a defense costs honest users.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from pipeline.attacks.theft import KNOWLEDGE as KNOWN
from pipeline.data.halves import learned_from, reported_on
from pipeline.defenses import trainable
from pipeline.risks.columns import DEFENSE, IDS, KNOWLEDGE
from pipeline.risks.pairs import PAIRS, Drawn, pairs_table
from pipeline.risks.risk import Context, Sources, nearest_of
from pipeline.risks.theft.measure.copies import EQUATIONS, TRUE_LABELS
from pipeline.risks.theft.measure.settings import TheftSettings
from pipeline.risks.theft.measure.stolen import Theft
from pipeline.risks.theft.measure.victims import PLAIN
from pipeline.standards import RISKS, Standards
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.edges import Share
from pipeline.statistics.intervals import Sampling

# resamples at most of the AUROC over members, who are many: an interval of a figure that heads no
# ranking
SECONDARY = 400
ATTACKER = ["strategy", "api", "access", "surrogate", "budget"]
KNOWS = {str(strategy): knows for strategy, knows in KNOWN.items()}
KNOWS |= {EQUATIONS: "black box, schema", TRUE_LABELS: "no access, other patients and diagnoses"}

_ATTACKER = {
    **DEFENSE,
    "api": "how the API answers: plainly, with noise, with an ensemble's mean; none = not asked",
    "access": "what an answer shows",
}
_COPY = {
    "surrogate": "the kind of model that the copy is",
    "queries": "records that the API counted for one victim",
    "fidelity": "test patients to whom copy and victim give the same class",
}
COLUMNS = {
    "theft": {
        **_ATTACKER,
        "strategy": "which records are asked about",
        "victims": "models that are copied, each trained on its own random half of the patients",
        "budget": "how many records are asked about, or how many diagnoses are known",
        **_COPY,
        "patients": "test patients, of all victims together",
        "uniform_fidelity": "the same of records drawn uniformly from the plausible ranges",
        "accuracy": "right answers of the copy to test patients",
        "auroc": "AUROC of the copy's answers to test patients",
        "evasion": "rightly answered test patients; the share that an attack on the copy turns",
        "membership": "AUROC of the copy's loss for who trained the victim; 0.5 = guessing",
        "victim_accuracy": "right answers of the victim",
        "victim_auroc": "AUROC of the victim's answers",
        "victim_evasion": "the same attack, made on the victim itself",
        "victim_membership": "AUROC of the victim's own loss",
        **KNOWLEDGE,
        **IDS,
    },
    "theft_pairs": PAIRS,
    "theft_api": {
        **_ATTACKER,
        "brier": "mean squared error of the answers to test patients; 0.25 = a coin",
        "auroc": "AUROC of these answers",
        **_COPY,
    },
}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """The tables about theft: `theft`, a row per attacker, `theft_api`, a row per way to answer.

    And `theft_pairs`: the headline copies of defenses compared.
    """
    place, cfg = sources.stage("theft"), context.cfg
    if place is None:
        return {}
    numbers = cfg.section(TheftSettings)
    loaded = {name: Theft.load(place / name) for name in trainable(numbers.recipes, cfg)}
    thefts, strangers = _by_split(loaded, context)
    table = theft_table(thefts, context.sampling, strangers)
    answers = api_table(thefts, table, context.sampling, numbers.headline, numbers.headline_budget)
    copies = headline_copies(table, numbers.headline_budget)
    pairs = headline_pairs(thefts, copies, context.sampling)
    return {"theft": table, "theft_pairs": pairs, "theft_api": answers}


def _by_split(thefts: dict[str, Theft], context: Context) -> tuple[dict[str, Theft], Tensor | None]:
    """Under an official split the same of its test records, and (V, N) strangers to its training.

    Otherwise as they are, and None.
    """
    dataset, plan = context.dataset, context.cfg.plan
    reported = reported_on(dataset, plan)
    if reported.all():
        return thefts, None
    strangers = next(iter(thefts.values())).test & learned_from(dataset, plan)
    return {name: replace(one, test=one.test & reported) for name, one in thefts.items()}, strangers


def theft_table(
    thefts: Mapping[str, Theft], sampling: Sampling, strangers: Tensor | None = None
) -> pd.DataFrame:
    """One row per defense and attacker, victims averaged.

    Args:
        thefts: of each defense; `test` are those whom figures are made of.
        sampling: of the intervals.
        strangers: (V, N) bool, beside whom members are told apart, the same of each defense; None =
            the test patients.

    Returns:
        `budget` is how many records were asked about (`true_labels`: how many diagnoses were
        known), `queries` what the oracle counted for one victim. Each figure has `_low` and
        `_high`: bootstrap over patients (`uniform_fidelity`: over the inputs). fidelity: the share
        of test patients whom copy and victim give the same class. uniform_fidelity: likewise of
        records drawn uniformly from the plausible ranges. accuracy, auroc: of the copy, on test
        patients. `victim_accuracy`, `victim_auroc`: of what is copied. evasion: of the test
        patients whom the victim answers rightly, the share of whom it is wrong about the record
        that was made on the copy. `victim_evasion`: made on the victim itself. membership: AUROC of
        the copy's loss for who trained the victim, against strangers. `victim_membership`: the
        victim's.
    """
    lines: list[dict[str, Any]] = []
    confidence = sampling.confidence
    weights = sampling.weights(len(next(iter(thefts.values())).y))
    inputs = sampling.each_alone().weights(next(iter(thefts.values())).agrees.shape[1])
    for defense, theft in thefts.items():
        apart = theft.member | (theft.test if strangers is None else strangers)
        patients = sampling.patients(len(theft.y), np.asarray(theft.test.numpy().any(0)))
        of_victims = {
            api: _own(theft, apart.numpy(), api, weights, confidence) for api in theft.victims
        }
        for key, group in theft.rows.groupby(ATTACKER, sort=False, observed=True):
            named = dict(zip(ATTACKER, key, strict=True))
            chosen = group.sort_values("victim").index.to_numpy()
            truth = named["api"] if named["api"] in theft.victims else PLAIN
            figures = _copied(theft, apart.numpy(), chosen, str(truth), weights, confidence)
            figures |= _share(
                "uniform_fidelity", theft.agrees.numpy()[chosen], None, inputs, confidence
            )
            queries = {"queries": int(group["queries"].max()), "patients": patients}
            lines.append(
                {
                    "defense": defense,
                    **named,
                    "victims": len(theft.test),
                    **queries,
                    **figures,
                    **of_victims[str(truth)],
                    **_attacker_columns(named),
                }
            )
    return pd.DataFrame(lines)


def api_table(
    thefts: Mapping[str, Theft], table: pd.DataFrame, sampling: Sampling, headline: str, budget: int
) -> pd.DataFrame:
    """One row per defense and way to answer.

    What it costs an honest user, and what it leaves a thief.

    Returns:
        `brier` (0.25 = a coin) and `auroc` of the answers to test patients, and the `fidelity` of
        the better copy at the budget, by the `headline` strategy; each with `_low` and `_high`.
    """
    lines: list[dict[str, Any]] = []
    confidence = sampling.confidence
    weights = sampling.weights(len(next(iter(thefts.values())).y))
    at_budget = table[(table["strategy"] == headline) & (table["budget"] == budget)]
    for defense, theft in thefts.items():
        y, test = theft.y.numpy(), theft.test.numpy()
        for name, chances in theft.shown.items():
            api, _, access = name.partition("/")
            score = chances.numpy().astype(np.float64)
            brier = _resampled((score - y) ** 2, test, weights)
            figures = intervals.bounded("brier", *brier, confidence)
            figures |= _auroc(
                "auroc", score, np.broadcast_to(y == 1, test.shape), test, weights, confidence
            )
            stolen = at_budget[
                (at_budget["defense"] == defense)
                & (at_budget["api"] == api)
                & (at_budget["access"] == access)
            ]
            best = stolen.nlargest(1, "fidelity")[
                ["fidelity", "fidelity_low", "fidelity_high", "surrogate", "queries"]
            ]
            found: dict[str, Any] = {
                str(key): value for line in best.to_dict("records") for key, value in line.items()
            }
            lines.append({"defense": defense, "api": api, "access": access, **figures, **found})
    return pd.DataFrame(lines)


def headline_copies(table: pd.DataFrame, budget: float) -> pd.DataFrame:
    """Of each defense the most faithful copy of a plain API, whatever answers show.

    Made by asking about records of the attacker's choice, with the budget nearest to this one.
    """
    best = faithful(table)
    return best[best["budget"] == nearest_of(best["budget"], budget)]


def faithful(table: pd.DataFrame) -> pd.DataFrame:
    """Of each defense and budget the most faithful copy of a plain API, whatever answers show."""
    asked = table[(table["api"] == PLAIN) & ~table["strategy"].isin((EQUATIONS, TRUE_LABELS))]
    return asked.loc[asked.groupby(["defense", "budget"], sort=False)["fidelity"].idxmax()]


def best_copies(table: pd.DataFrame) -> pd.DataFrame:
    """Of the copies by the same attacker, the kind that resembles the victim most."""
    key = ["defense", "strategy", "api", "access", "budget"]
    return table.loc[table.groupby(key, sort=False)["fidelity"].idxmax()]


def headline_pairs(
    thefts: Mapping[str, Theft], copies: pd.DataFrame, sampling: Sampling
) -> pd.DataFrame:
    """The fidelity of these copies, one of each defense, compared.

    Paired are the patients: every recipe's victims are trained on the same halves, and the same
    patients test their copies. Victims are few and are not resampled: what other halves or another
    training of the copies would change is not in `se`.

    Returns:
        `pairs_table`, of `fidelity`.
    """
    patients = len(next(iter(thefts.values())).y)
    weights = sampling.weights(patients)
    drawn = {}
    for line in copies.to_dict("records"):
        theft = thefts[str(line["defense"])]
        own = (theft.rows[ATTACKER] == [line[name] for name in ATTACKER]).all(axis=1)
        chosen = theft.rows[own].sort_values("victim").index.to_numpy()
        same = (theft.log_odds.numpy()[chosen] > 0) == (theft.victims[PLAIN].numpy() > 0)
        among = theft.test.numpy()
        each = np.where(among.any(0), (same & among).sum(0) / np.maximum(among.sum(0), 1), np.nan)
        share = Share(each, sampling.whose(patients))
        drawn[str(line["defense"])] = Drawn(*_resampled(same, among, weights), share)
    return pairs_table({"fidelity": drawn}, sampling.patients(patients))


def _copied(
    theft: Theft, apart: Array, rows: Array, truth: str, weights: Array, confidence: float
) -> dict[str, float]:
    """What is said of one attacker's copies, one row per victim."""
    y, test, member = theft.y.numpy(), theft.test.numpy(), theft.member.numpy()
    odds, victim = theft.log_odds.numpy()[rows], theft.victims[truth].numpy()
    said, true = odds > 0, victim > 0
    figures = _share("fidelity", said == true, test, weights, confidence)
    figures |= _share("accuracy", said == y, test, weights, confidence)
    figures |= _auroc("auroc", odds, np.broadcast_to(y == 1, test.shape), test, weights, confidence)
    figures |= _share(
        "evasion", theft.broken.numpy()[rows], test & (true == y), weights, confidence
    )
    return figures | _auroc(
        "membership", np.where(y == 1, odds, -odds), member, apart, weights[:SECONDARY], confidence
    )


def _own(
    theft: Theft, apart: Array, api: str, weights: Array, confidence: float
) -> dict[str, float]:
    """The same of the victims themselves."""
    y, test, member = theft.y.numpy(), theft.test.numpy(), theft.member.numpy()
    odds = theft.victims[api].numpy()
    right = (odds > 0) == y
    figures = _share("victim_accuracy", right, test, weights, confidence)
    figures |= _auroc(
        "victim_auroc", odds, np.broadcast_to(y == 1, test.shape), test, weights, confidence
    )
    figures |= _share(
        "victim_evasion", theft.direct[api].numpy(), test & right, weights, confidence
    )
    recorded = np.where(y == 1, odds, -odds)
    return figures | _auroc(
        "victim_membership", recorded, member, apart, weights[:SECONDARY], confidence
    )


def _share(
    name: str, hit: Array, among: Array | None, weights: Array, confidence: float
) -> dict[str, float]:
    """The share of hits (V, N) among those that count, all victims together."""
    among = np.ones_like(hit) if among is None else among
    share, samples = _resampled(hit.astype(np.float64), among, weights)
    return intervals.bounded_share(name, share, samples, weights, confidence, among.sum(0))


def _resampled(values: Array, among: Array, weights: Array) -> tuple[float, Array]:
    """The mean of values (V, N) over those that count, as measured and in each resample (R,).

    A patient who is drawn brings all victims' along.
    """
    total, count = (values * among).sum(0), among.sum(0)
    estimate = float(total.sum() / max(count.sum(), 1))
    # the weights' own precision: whole numbers are exact
    both = weights @ np.stack([total, count], 1).astype(np.float32)
    return estimate, both[:, 0] / np.maximum(both[:, 1], 1e-9)


def _auroc(
    name: str, score: Array, positive: Array, among: Array, weights: Array, confidence: float
) -> dict[str, float]:
    """AUROC of scores (V, N) among those that count, averaged over victims."""
    estimates, samples = [], []
    for one, is_positive, counts in zip(score, positive, among, strict=True):
        y = is_positive[counts].astype(int)
        estimates.append(rates.auroc(one[counts], y))
        own = weights[:, counts]
        samples.append(intervals.bootstrap_auroc(one[counts], y, own))
    area, drawn = float(np.mean(estimates)), np.mean(samples, 0)
    return intervals.bounded_auroc(name, area, drawn, y, own, confidence)  # victims are alike


def _attacker_columns(named: Mapping[Any, Any]) -> dict[str, str]:
    """Who attacks, and the ids; a model of one's own diagnoses is no technique of any catalogue."""
    ids = Standards() if named["strategy"] == TRUE_LABELS else RISKS["extraction"]
    return {"knowledge": KNOWS[named["strategy"]], **ids.columns()}
