"""How soon attacks among queries are seen, and how often none is: the guard's detector and others.

All of them hear the same made-up events, know the same null and start again after an alarm. Attacks
begin after honest queries, from which Page-Hinkley learns its mean, and are events always: each is
referred, or, of diagnoses, each patient of them is missed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.table import table
from pipeline.seeds import Stream, numpy_generator
from pipeline.statistics import Array
from pipeline.statistics.streams import rises, start, update, value

SEED = 0
RATES = {"adv_train r=0.1": 0.050, "baseline r=0.1": 0.079}  # of honest referrals (Pima)
SLACK = 0.02  # of the null
# At the operating point, as `monitored.json` has them: the rate, its null, and the part of the one
# false alarm in 10 000 queries that its channel may raise.
MEASURED = {
    "adv_train, referrals": (0.0586, 0.0745, 0.7),
    "baseline, referrals": (0.0953, 0.1157, 0.7),
    "adv_train, missed": (0.3471, 0.4012, 0.03),
    "baseline, missed": (0.3199, 0.3759, 0.03),
}
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)  # of queries that are attacks
RUN_LENGTH = 10_000 / 0.7  # queries for a false alarm of referrals, at the edge of the null
STREAMS, HONEST, ATTACKED, ALONE = 300, 300, 4000, 5000
WINDOW, SHARPNESS = 200, 3.72  # the quantile of 1 in 10 000
EFFECT = 0.1  # the share of attacks that CUSUM is made for


@dataclass(frozen=True)
class Detector:
    """States of S streams, one event more of each, and whether it calls each."""

    starts: Callable[[int], Array]
    step: Callable[[Array, Array], Array]
    calls: Callable[[Array], Array]


def ours(null: float, threshold: float) -> Detector:
    """The guard's."""
    bets = rises(null)
    return Detector(
        lambda count: start(bets, count),
        lambda state, event: update(bets, state, event),
        lambda state: value(bets, state) >= threshold,
    )


def detectors(null: float) -> dict[str, Detector]:
    """Ours, one that is made for one attack and set by simulation, and two of the shelf."""
    return {
        "ours": ours(null, RUN_LENGTH),
        "cusum": set_by_simulation(null),
        "page_hinkley": page_hinkley(),
        "window": window(null),
    }


def cusum(null: float, threshold: float) -> Detector:
    """Page 1954: the likelihood ratio of one attack, which must be known."""
    other = null + EFFECT * (1 - null)
    gain, loss = np.log(other / null), np.log((1 - other) / (1 - null))
    return Detector(
        lambda count: np.zeros((count, 1)),
        lambda state, event: np.maximum(state + np.where(event, gain, loss)[:, None], 0),
        lambda state: state[:, 0] >= threshold,
    )


def set_by_simulation(null: float) -> Detector:
    """CUSUM with the threshold that calls honest queries as often as the guard may."""
    low, high = 1.0, 12.0
    events = honest_events(null, 7)
    while high - low > 0.05:
        middle = (low + high) / 2
        often = called(cusum(null, middle), events).sum() / events.size > 1 / RUN_LENGTH
        low, high = (middle, high) if often else (low, middle)
    return cusum(null, high)


def page_hinkley(delta: float = 0.005, threshold: float = 50.0, alpha: float = 0.9999) -> Detector:
    """As river 0.26 has it, with its defaults, upwards; state: events, mean, sum, least sum."""

    def step(state: Array, event: Array) -> Array:
        count = state[:, 0] + 1
        mean = state[:, 1] + (event - state[:, 1]) / count
        total = alpha * state[:, 2] + event - mean - delta
        return np.stack([count, mean, total, np.minimum(state[:, 3], total)], axis=1)

    return Detector(
        lambda count: np.tile([0.0, 0.0, 0.0, np.inf], (count, 1)),
        step,
        lambda state: (state[:, 0] >= 30) & (state[:, 2] - state[:, 3] > threshold),
    )


def window(null: float) -> Detector:
    """A test of the last 200 queries, at 1 in 10 000, after every query."""
    least = null + SHARPNESS * (null * (1 - null) / WINDOW) ** 0.5
    return Detector(
        lambda count: np.full((count, WINDOW), np.nan),
        lambda state, event: np.concatenate([state[:, 1:], event[:, None]], axis=1),
        lambda state: state.mean(1) > least,
    )


def called(detector: Detector, events: Array) -> Array:
    """(S, T) bool: where it calls; each stream starts again after that."""
    state, found = detector.starts(len(events)), np.zeros(events.shape, dtype=bool)
    for moment in range(events.shape[1]):
        state = detector.step(state, events[:, moment])
        found[:, moment] = calls = detector.calls(state)
        if calls.any():
            state[calls] = detector.starts(int(calls.sum()))
    return found


def honest_events(rate: float, number: int) -> Array:
    """(STREAMS, ALONE) of zeros and ones."""
    drawn = numpy_generator(Stream.MONITORED, SEED, number)
    return (drawn.random((STREAMS, ALONE)) < rate).astype(float)


def measure_streams() -> list[dict[str, Any]]:
    """One entry per rate and detector: false alarms in 10 000 queries, and delays by share."""
    entries = [
        entry(name, peer, detector, rate, rate + SLACK)
        for name, rate in RATES.items()
        for peer, detector in detectors(rate + SLACK).items()
    ]
    return entries + [
        entry(name, "ours", ours(null, 10_000 / part), rate, null)
        for name, (rate, null, part) in MEASURED.items()
    ]


def entry(name: str, peer: str, detector: Detector, rate: float, null: float) -> dict[str, Any]:
    often = [called(detector, honest_events(one, 0)).mean() * 10_000 for one in (rate, null)]
    return {
        "case": name,
        "detector": peer,
        "rate": rate,
        "null": round(null, 4),
        "false_alarms": round(float(often[0]), 3),
        "false_alarms_at_the_null": round(float(often[1]), 3),
        "delays": [delay(detector, rate, share) for share in SHARES],
    }


def delay(detector: Detector, rate: float, share: float) -> dict[str, Any]:
    """Median queries from the first attack to the call; of streams that were not called before."""
    drawn = numpy_generator(Stream.MONITORED, SEED, round(share * 1e6), 2)
    before = drawn.random((STREAMS, HONEST)) < rate
    attacks = drawn.random((STREAMS, ATTACKED)) < rate + share * (1 - rate)
    found = called(detector, np.concatenate([before, attacks], axis=1).astype(float))
    quiet = ~found[:, :HONEST].any(1)
    after = found[quiet, HONEST:]
    when = np.where(after.any(1), after.argmax(1) + 1.0, np.inf)
    middle = float(np.quantile(when, 0.5, method="inverted_cdf"))
    return {
        "share": share,
        "queries": middle if np.isfinite(middle) else None,
        "found": round(float(np.isfinite(when).mean()), 3),
    }


def streams_table(entries: list[dict[str, Any]]) -> str:
    """One line per entry."""
    head = ["case", "detector", "false in 10 000", "at the null", *(f"{s:g}" for s in SHARES)]
    lines = [
        [
            entry["case"],
            entry["detector"],
            f"{entry['false_alarms']:g}",
            f"{entry['false_alarms_at_the_null']:g}",
            *("-" if one["queries"] is None else f"{one['queries']:g}" for one in entry["delays"]),
        ]
        for entry in entries
    ]
    return table(head, lines, left=2)
