"""How soon a detector sees an attack, and how often it sees one where there is none: simulated.

Events are drawn independently: with a rate (0 or 1), or from those that were measured, one by one
and with replacement.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.seeds import Stream, numpy_generator
from pipeline.statistics import Array
from pipeline.statistics.streams import Bets, start, update, value

BLOCK = 64  # queries that are drawn together
Events = float | Array  # the rate of events that are 0 or 1, or (n,) measured ones


@dataclass(frozen=True)
class Delay:
    """How soon attacks among honest queries are seen.

    Attributes:
        share: of the queries that are attacks.
        found: the share of simulated streams in which the alarm rose at all.
        queries: until the alarm, itself included: the median of the streams; None where fewer than
            half of them saw it.
        attacked: those among them that were attacks, the median likewise.
    """

    share: float
    found: float
    queries: float | None
    attacked: float | None


@dataclass(frozen=True)
class FalseAlarms:
    """How often honest queries raise alarms, the detector starting again after each.

    Attributes:
        alarms: that rose.
        queries: that were made.
        per_10_000: alarms in 10 000 queries.
        low: of the 95 % interval of that, as of a Poisson count.
        high: likewise.
    """

    alarms: int
    queries: int
    per_10_000: float
    low: float
    high: float


def delay(
    bets: Bets,
    threshold: float,
    *,
    honest: Events,
    attacked: Events,
    share: float,
    streams: int = 300,
    length: int = 4000,
    seed: int = 0,
) -> Delay:
    """Attacks begin with the first query, before which the detector holds nothing: the worst case.

    Args:
        bets: of the detector (`streams.rises(most(count, n, confidence))`).
        threshold: of the alarm (`streams.shared_out`).
        honest: events of honest queries.
        attacked: events of attacks; 1.0 = each is one.
        share: of the queries that are attacks, in 0 to 1.
        streams: simulated ones.
        length: queries of each, at most.
        seed: the configured one.
    """
    drawn = _generator(seed, share)

    def queries(count: int, moments: int) -> tuple[Array, Array]:
        theirs = drawn.random((count, moments)) < share
        events = _events(drawn, honest, (count, moments))
        return np.where(theirs, _events(drawn, attacked, (count, moments)), events), theirs

    when, of_attacks = _first_alarms(bets, threshold, queries, streams, length)
    return Delay(share, float(np.isfinite(when).mean()), _median(when), _median(of_attacks))


def false_alarms(
    bets: Bets,
    threshold: float,
    *,
    honest: Events,
    streams: int = 300,
    length: int = 5000,
    seed: int = 0,
) -> FalseAlarms:
    """Honest queries alone; arguments as of `delay`.

    At most 10 000 / threshold in 10 000 queries are promised where the honest mean is within the
    null of the bets.
    """
    drawn = _generator(seed, 0.0)
    state, alarms = start(bets, streams), 0
    for begin in range(0, length, BLOCK):
        for events in _events(drawn, honest, (min(BLOCK, length - begin), streams)):
            state = update(bets, state, events)
            raised = value(bets, state) >= threshold
            alarms += int(raised.sum())
            state[raised] = 0.0
    queries = streams * length
    low, high = _poisson(alarms)
    unit = 10_000 / queries
    return FalseAlarms(alarms, queries, alarms * unit, low * unit, high * unit)


def _first_alarms(
    bets: Bets,
    threshold: float,
    queries: Callable[[int, int], tuple[Array, Array]],
    streams: int,
    length: int,
) -> tuple[Array, Array]:
    """(streams,) twice: queries until the first alarm, and attacks among them; infinite if none."""
    when, of_attacks = np.full(streams, np.inf), np.full(streams, np.inf)
    running, state, met = np.arange(streams), start(bets, streams), np.zeros(streams)
    for begin in range(0, length, BLOCK):
        moments = min(BLOCK, length - begin)
        events, theirs = queries(len(running), moments)
        seen = np.zeros(len(running), dtype=bool)
        for moment in range(moments):
            state = update(bets, state, events[:, moment])
            met = met + theirs[:, moment]
            new = (value(bets, state) >= threshold) & ~seen
            when[running[new]], of_attacks[running[new]] = begin + moment + 1, met[new]
            seen |= new
        running, state, met = running[~seen], state[~seen], met[~seen]
        if not len(running):
            break
    return when, of_attacks


def _events(drawn: np.random.Generator, events: Events, shape: tuple[int, int]) -> Array:
    if isinstance(events, np.ndarray):
        return np.asarray(events[drawn.integers(0, len(events), shape)])
    return np.asarray(drawn.random(shape) < events, dtype=float)


def _generator(seed: int, share: float) -> np.random.Generator:
    return numpy_generator(Stream.MONITORED, seed, round(share * 1e6))


def _median(values: Array) -> float | None:
    middle = float(np.quantile(values, 0.5, method="inverted_cdf"))
    return middle if np.isfinite(middle) else None


def _poisson(count: int) -> tuple[float, float]:
    from scipy.stats import gamma

    low = float(gamma.ppf(0.025, count)) if count else 0.0
    return low, float(gamma.ppf(0.975, count + 1))
