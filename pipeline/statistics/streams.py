"""Alarms on streams of events that come one by one, with a known rate of false alarms.

An e-detector (Shin, Ramdas & Rinaldo 2022, arXiv:2203.03532) of the Shiryaev-Roberts kind. Each bet
multiplies what it holds by `1 + stake * (event - honest)` at every event, after 1 was added to it:
a bet that begins at every moment, all of them together. The value of a detector is the weighted sum
of its bets.

The null: whatever went before, the mean of the next event is at most `honest` (of a bet downwards:
at least). Nothing else is asked of the events, not even independence. Under the null no factor has
a mean above 1, so the value of t events has a mean of t at most, and of a detector that starts
again at 0 after each alarm:

    mean number of alarms among the first t events <= t / threshold, for every t,
    mean number of events until the first alarm >= threshold.

Several detectors share one promise: their mean numbers add up, so thresholds whose inverses add up
to 1 / run_length give `run_length` events for one false alarm of any of them (`shared_out`). Of
detectors that divide the events of one stream among themselves (one per client) each takes the
whole threshold, however many they are.

B bets; `...` any streams at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.statistics import Array

# The shares of queries of an attack, all of which are events, against which is betted.
SHARES = (0.05, 0.1, 0.2, 0.5, 0.95)
SHARES_OF_BINS = (0.05, 0.15, 0.4)
CEILING = 1e200  # what a bet holds at most; less than it might be keeps the promise


@dataclass(frozen=True, eq=False)
class Bets:
    """What is betted on one kind of event.

    Attributes:
        honest: (B,) in 0 to 1, the mean that the null allows at most; of a negative stake, at
            least.
        stake: (B,) of each bet; no factor is negative.
        weight: (B,) of each bet; they add up to 1.
        wins: (B, K) bool, of events that are bins 0 ... K - 1: those that each bet is about, and
            `honest` is their share; None of events in 0 to 1.
    """

    honest: Array
    stake: Array
    weight: Array
    wins: Array | None = None


def rises(honest: float, shares: Sequence[float] = SHARES) -> Bets:
    """Bets that the mean of events in 0 to 1 is above `honest`.

    A bet on share s is the likelihood ratio of `honest + s * (1 - honest)` against `honest` where
    events are 0 or 1: of honest queries among which a share s are attacks that are always events.

    Args:
        honest: in 0 to 1, without both: the largest honest mean, its uncertainty included (`most`).
        shares: (B,) in 0 to 1, without 0.

    Raises:
        ValueError: `honest` or a share is out of range.
    """
    share = _shares(shares)
    _check(honest)
    return Bets(np.full(len(share), honest), share / honest, np.full(len(share), 1 / len(share)))


def falls(honest: float, shares: Sequence[float] = SHARES) -> Bets:
    """Bets that the mean is below `honest`: `rises` of 1 - event."""
    share = _shares(shares)
    _check(honest)
    stake = -share / (1 - honest)
    return Bets(np.full(len(share), honest), stake, np.full(len(share), 1 / len(share)))


def moves(
    counts: Sequence[float],
    n: float,
    *,
    confidence: float,
    shares: Sequence[float] = SHARES_OF_BINS,
) -> Bets:
    """Bets that events leave the bins of a reference for others, in either direction.

    Sets of bins are betted on: each bin, and the first 2 ... K - 2 of them (a shift). The null: the
    chance that the next event falls into a set is, whatever went before, within the exact interval
    (Clopper & Pearson 1934) of its share in the reference. It holds of events that are independent
    draws from what the reference was drawn from, with at least the given confidence for all sets
    together (Bonferroni). Ordered, drifting or repeated events are no such draws, and may be called
    drift.

    Args:
        counts: (K,) of the reference in each bin.
        n: independent ones among them: patients, where records are several of a patient.
        confidence: of the slack that the reference needs, in 0 to 1.
        shares: as in `rises`.

    Raises:
        ValueError: fewer than two bins, an empty reference, or none that can be betted on.
    """
    counted = np.asarray(counts, dtype=float)
    size = len(counted)
    if size < 2 or counted.sum() <= 0 or n <= 0:
        raise ValueError("a reference is at least two bins, and somebody in them")
    sets = np.concatenate([np.eye(size), np.tri(size)[1 : size - 2]]).astype(bool)
    within = sets @ counted / counted.sum() * n
    each = 1 - (1 - confidence) / (2 * len(sets))
    above = [most(one, n, each) for one in within]
    below = [1 - most(n - one, n, each) for one in within]
    share = _shares(shares)
    honest, stake, wins = [], [], []
    for members, high, low in zip(sets, above, below, strict=True):
        for limit, scale in ((high, high), (low, low - 1)):
            if 0 < limit < 1:
                honest.append(np.full(len(share), limit))
                stake.append(share / scale)
                wins.append(np.tile(members, (len(share), 1)))
    if not honest:
        raise ValueError(f"{n:g} in the reference are too few to call anything drift")
    stakes = np.concatenate(stake)
    return Bets(
        np.concatenate(honest), stakes, np.full(len(stakes), 1 / len(stakes)), np.concatenate(wins)
    )


def most(count: float, n: float, confidence: float) -> float:
    """The upper limit of a share: one-sided, exact (Clopper & Pearson 1934); 1 of nobody.

    Args:
        count: among n; a fraction (of averages over repetitions) is rounded up.
        n: independent ones.
        confidence: in 0 to 1.
    """
    from scipy.stats import beta  # here: it takes a second to import

    n, count = float(np.floor(n + 1e-9)), float(np.ceil(count - 1e-9))
    return float(beta.ppf(confidence, count + 1, n - count)) if count < n else 1.0


def start(bets: Bets, *streams: int) -> Array:
    """(*streams, B): what each bet holds before the first event, nothing."""
    return np.zeros((*streams, len(bets.weight)))


def update(bets: Bets, state: Array, event: Array | float) -> Array:
    """What each bet holds after one more event of each stream.

    Args:
        bets: B of them.
        state: (..., B) before; as it came from `start`, from here, or from JSON (`tolist`, which
            keeps every bit).
        event: (...) in 0 to 1, or whole numbers of bins.

    Returns:
        (..., B); a new array.

    Raises:
        ValueError: an event is out of range: of it nothing is promised.
    """
    return multiplied(state, factors(bets, event))


def factors(bets: Bets, event: Array | float) -> Array:
    """(..., B): by what an event multiplies each bet; arguments and errors as of `update`."""
    event = np.asarray(event)
    if bets.wins is None:
        if not np.all((event >= 0) & (event <= 1)):
            raise ValueError("an event lies in 0 to 1")
        won = event[..., None]
    else:
        if not (np.issubdtype(event.dtype, np.integer) and np.all(event >= 0)):
            raise ValueError("an event is the number of a bin")
        won = bets.wins.T[event]
    return np.asarray(np.maximum(1 + bets.stake * (won - bets.honest), 0.0))  # 0, but for rounding


def multiplied(state: Array, factor: Array) -> Array:
    """(..., B): what `update` makes of a state, from the factors of the event; a new array."""
    return np.asarray(np.minimum((state + 1) * factor, CEILING))


def value(bets: Bets, state: Array) -> Array:
    """(...): the value of the detector; an alarm where it is at least the threshold."""
    return np.asarray(state @ bets.weight)


def watched(
    bets: Bets, events: Array, threshold: float, state: Array | None = None
) -> tuple[Array, Array]:
    """Follows streams to their end; each starts again at 0 after an alarm.

    Args:
        bets: B of them.
        events: (..., T).
        threshold: of the alarm.
        state: (..., B) before the first; None = `start`.

    Returns:
        (..., T) bool, where alarms are raised, and (..., B) the state after the last event.
    """
    events = np.asarray(events)
    state = start(bets, *events.shape[:-1]) if state is None else state
    raised = np.zeros(events.shape, dtype=bool)
    for moment in range(events.shape[-1]):
        state = update(bets, state, events[..., moment])
        raised[..., moment] = value(bets, state) >= threshold
        state = np.where(raised[..., moment, None], 0.0, state)
    return raised, state


def shared_out(run_length: float, parts: Mapping[str, float]) -> dict[str, float]:
    """The threshold of each detector, so that all of them keep one promise together.

    Args:
        run_length: queries for one false alarm of any of them, at least.
        parts: of the false alarms that each may raise, in any unit. Each detector sees at most one
            event a query; those of clients count as one.

    Returns:
        thresholds whose inverses add up to 1 / run_length.
    """
    whole = sum(parts.values())
    return {name: run_length * whole / part for name, part in parts.items()}


def of_streams(
    run_length: float, parts: Mapping[str, float], streams: Mapping[str, int]
) -> dict[str, float]:
    """The threshold of each stream of a channel, whose streams share its part evenly.

    Args:
        run_length: as for `shared_out`.
        parts: of the false alarms that each channel may raise.
        streams: of each channel; the part of one that has none stays unused.
    """
    limits = shared_out(run_length, parts)
    return {name: limit * max(1, streams.get(name, 0)) for name, limit in limits.items()}


def _shares(shares: Sequence[float]) -> Array:
    share = np.asarray(shares, dtype=float)
    if not (share.size and np.all((share > 0) & (share <= 1))):
        raise ValueError("a share to bet on lies in 0 to 1, without 0")
    return share


def _check(honest: float) -> None:
    if not 0 < honest < 1:
        raise ValueError(f"an honest mean of {honest} cannot be exceeded, or never was measured")
