"""E-detectors: against the sum they are defined as, and their promise against every stream."""

import json
from itertools import product

import numpy as np
import pytest

from pipeline.statistics.streams import (
    CEILING,
    Bets,
    falls,
    most,
    moves,
    of_streams,
    rises,
    shared_out,
    start,
    update,
    value,
    watched,
)

EDGE = 0.3


def as_defined(bets: Bets, events) -> float:
    """The weighted sum, over all moments of beginning, of the products since."""
    total = 0.0
    for bet, weight in enumerate(bets.weight):
        factors = []
        for event in events:
            won = event if bets.wins is None else float(bets.wins[bet, event])
            factors.append(1 + bets.stake[bet] * (won - bets.honest[bet]))
        total += weight * sum(np.prod(factors[begin:]) for begin in range(len(factors)))
    return total


def last(bets: Bets, events):
    state = start(bets)
    for event in events:
        state = update(bets, state, event)
    return value(bets, state)


def every(moments: int):
    """(2^moments, moments): all streams of zeros and ones, and the chance of each at the edge."""
    streams = np.array(list(product([0, 1], repeat=moments)))
    ones = streams.sum(1)
    return streams, EDGE**ones * (1 - EDGE) ** (moments - ones)


REFERENCE = moves([20, 50, 30, 40], 140, confidence=0.9)
KINDS = {"rises": rises(EDGE), "falls": falls(EDGE), "moves": REFERENCE}


@pytest.mark.parametrize("kind", KINDS)
def test_the_recursion_is_the_sum_over_all_beginnings(kind):
    bets, drawn = KINDS[kind], np.random.default_rng(0)
    for length in (1, 2, 7, 30):
        events = drawn.integers(0, 4, length) if kind == "moves" else drawn.random(length)
        assert last(bets, events) == pytest.approx(as_defined(bets, events))


def test_a_bet_is_a_likelihood_ratio():
    bets = rises(0.2, [0.25])
    alternative = 0.2 + 0.25 * 0.8
    assert last(bets, [1]) == pytest.approx(alternative / 0.2)
    assert last(bets, [0]) == pytest.approx((1 - alternative) / 0.8)


@pytest.mark.parametrize("kind", ["rises", "falls"])
@pytest.mark.parametrize("moments", [1, 3, 8])
def test_at_the_edge_of_the_null_the_mean_value_is_the_number_of_events(kind, moments):
    streams, chance = every(moments)
    _, state = watched(KINDS[kind], streams, np.inf)
    assert chance @ value(KINDS[kind], state) == pytest.approx(moments)


@pytest.mark.parametrize("kind", ["rises", "falls"])
@pytest.mark.parametrize("threshold", [1.5, 4.0, 9.0])
def test_no_more_alarms_on_average_than_one_in_threshold_events(kind, threshold):
    """Over every stream of 10 events, the detector starting again after each alarm."""
    streams, chance = every(10)
    raised, state = watched(KINDS[kind], streams, threshold)
    for moment in range(10):
        assert chance @ raised[:, : moment + 1].sum(1) <= (moment + 1) / threshold
    # nothing is lost but what an alarm exceeds its threshold by
    whole = threshold * raised.sum(1) + value(KINDS[kind], state)
    assert chance @ raised.sum(1) > 0
    assert chance @ whole <= 10


def test_the_promise_holds_of_streams_that_depend_on_what_went_before():
    """The next event is as likely as the null allows, or impossible, by what the bets hold."""
    bets, threshold = rises(EDGE), 3.0
    for cautious in (0.5, 1.5, 2.5):

        def alarms(state, left, cautious=cautious):
            if not left:
                return 0.0
            chance = EDGE if value(bets, state) > cautious or left > 5 else 0.0
            total = 0.0
            for event, of_it in ((1, chance), (0, 1 - chance)):
                if of_it:
                    after = update(bets, state, event)
                    rang = value(bets, after) >= threshold
                    total += of_it * (rang + alarms(start(bets) if rang else after, left - 1))
            return total

        assert 0 < alarms(start(bets), 10) <= 10 / threshold


def test_below_the_edge_alarms_are_rarer():
    bets = rises(EDGE)
    streams, _ = every(8)
    ones = streams.sum(1)
    _, state = watched(bets, streams, np.inf)
    means = [
        (rate**ones * (1 - rate) ** (8 - ones)) @ value(bets, state) for rate in (0.0, 0.1, 0.2)
    ]
    assert means[0] < means[1] < means[2] < 8


def test_downwards_is_upwards_of_the_opposite():
    events = np.random.default_rng(1).random(40)
    assert last(falls(0.3), events) == pytest.approx(last(rises(0.7), 1 - events))


def test_events_between_0_and_1_keep_the_promise_too():
    """Of two values, 0.1 and 0.6, whose mean is the edge."""
    bets = rises(EDGE)
    chance = (EDGE - 0.1) / 0.5
    mean = chance * last(bets, [0.6]) + (1 - chance) * last(bets, [0.1])
    assert mean == pytest.approx(1)


@pytest.mark.parametrize("shares", [(0.2, 0.3, 0.5), (0.1, 0.2, 0.3, 0.15, 0.25)])
def test_no_bet_on_bins_gains_where_events_come_from_the_reference(shares):
    bets = moves([1000 * share for share in shares], 1000, confidence=0.95)
    after = np.stack([update(bets, start(bets), bin) for bin in range(len(shares))])
    means = np.asarray(shares) @ after
    assert (means <= 1).all()
    assert means.min() > 0.9  # the slack is small
    assert bets.weight.sum() == pytest.approx(1)
    assert ((after >= 0) & (after < np.inf)).all()


def test_bins_are_betted_on_alone_and_from_below_in_both_directions():
    bets = moves([30, 30, 30, 30, 30], 150, confidence=0.95, shares=[0.3])
    sets = {tuple(np.flatnonzero(wins)) for wins in bets.wins}
    assert sets == {(0,), (1,), (2,), (3,), (4,), (0, 1), (0, 1, 2)}
    assert sorted(np.sign(bets.stake)) == [-1] * 7 + [1] * 7
    shifted = [0, 0, 1, 0] * 20
    assert last(bets, shifted) > 1e6 > 1e3 > last(bets, [0, 1, 2, 3, 4] * 16)


def test_the_slack_of_a_reference_covers_what_it_was_drawn_from():
    """As often as is claimed, of 300 references: the true share lies within every interval."""
    drawn, true = np.random.default_rng(2), np.full(5, 0.2)
    covered = 0
    for counts in drawn.multinomial(200, true, size=300):
        bets = moves(counts, 200, confidence=0.8)
        within = bets.wins @ true
        covered += all(
            chance <= limit if stake > 0 else chance >= limit
            for chance, limit, stake in zip(within, bets.honest, bets.stake, strict=True)
        )
    assert covered / 300 >= 0.8


def test_the_upper_limit_is_where_so_few_are_as_rare_as_promised():
    limit = most(3, 50, 0.95)
    from scipy.stats import binom

    assert binom.cdf(3, 50, limit) == pytest.approx(0.05)
    assert most(0, 768, 0.95) == pytest.approx(1 - 0.05 ** (1 / 768))
    assert most(2.4, 50, 0.95) == limit  # a fraction is rounded up
    assert most(5, 5, 0.95) == most(0, 0, 0.95) == 1


def test_a_state_that_was_stored_goes_on_as_if_it_was_not():
    events = np.random.default_rng(3).random((4, 60)) < 0.45
    bets = rises(EDGE)
    raised, state = watched(bets, events, 40)
    first, half = watched(bets, events[:, :31], 40)
    stored = np.array(json.loads(json.dumps(half.tolist())))
    second, end = watched(bets, events[:, 31:], 40, stored)
    assert np.array_equal(np.concatenate([first, second], axis=1), raised)
    assert np.array_equal(end, state)
    assert raised.any()


def test_many_streams_are_what_each_is_alone():
    events = np.random.default_rng(4).random((2, 3, 25))
    bets = rises(EDGE)
    raised, state = watched(bets, events, 5)
    for place in np.ndindex(2, 3):
        alone, its = watched(bets, events[place], 5)
        assert np.array_equal(raised[place], alone)
        assert np.array_equal(state[place], its)


def test_an_update_leaves_the_state_it_was_given():
    bets, state = rises(EDGE), start(rises(EDGE), 2)
    update(bets, state, np.array([1, 0]))
    assert not state.any()


def test_it_holds_finitely_much():
    bets, state = rises(0.001), start(rises(0.001))
    for _ in range(200):
        state = update(bets, state, 1)
    assert state.max() == CEILING
    assert np.isfinite(update(bets, state, 0)).all()


def test_thresholds_share_one_promise():
    found = shared_out(10_000, {"referrals": 7, "near": 2, "labels": 1})
    assert found["referrals"] == pytest.approx(10_000 / 0.7)
    assert sum(1 / each for each in found.values()) == pytest.approx(1 / 10_000)


def test_streams_of_a_channel_share_its_part():
    parts, streams = {"referrals": 7, "labels": 1, "near": 2}, {"labels": 2, "near": 0}
    found = of_streams(10_000, parts, streams)
    alone = shared_out(10_000, parts)
    assert found == {**alone, "labels": 2 * alone["labels"]}
    everyone = [found["referrals"], found["near"], found["labels"], found["labels"]]
    assert sum(1 / each for each in everyone) == pytest.approx(1 / 10_000)


@pytest.mark.parametrize("event", [-0.01, 1.01, float("nan")])
def test_an_event_that_is_none_is_refused(event):
    with pytest.raises(ValueError, match="0 to 1"):
        update(rises(EDGE), start(rises(EDGE)), event)


@pytest.mark.parametrize("event", [-1, 0.5])
def test_a_bin_that_is_none_is_refused(event):
    with pytest.raises(ValueError, match="bin"):
        update(REFERENCE, start(REFERENCE), event)


@pytest.mark.parametrize("honest", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_that_nothing_exceeds_is_refused(honest):
    with pytest.raises(ValueError, match="honest mean"):
        rises(honest)
    with pytest.raises(ValueError, match="honest mean"):
        falls(honest)


def test_shares_and_references_out_of_range_are_refused():
    for shares in ([], [0.0], [1.2]):
        with pytest.raises(ValueError, match="share"):
            rises(EDGE, shares)
    for counts, n in (([5], 5), ([0, 0], 2), ([3, 4], 0)):
        with pytest.raises(ValueError, match="bins"):
            moves(counts, n, confidence=0.95)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rises", "falls"])
def test_the_run_length_is_the_mean_value_at_the_alarm(kind):
    """Optional stopping: 2000 streams at the edge of the null, until their first alarm."""
    bets, threshold, streams = KINDS[kind], 300.0, 2000
    drawn, state = np.random.default_rng(5), start(KINDS[kind], streams)
    when, held = np.zeros(streams), np.zeros(streams)
    moment = 0
    while not when.all():
        moment += 1
        state = update(bets, state, (drawn.random(streams) < EDGE).astype(float))
        now = value(bets, state)
        new = (when == 0) & (now >= threshold)
        when[new], held[new] = moment, now[new]
    error = (when - held).std() / streams**0.5
    assert abs(when.mean() - held.mean()) < 3 * error
    assert when.mean() + 3 * error > threshold
    assert error < threshold / 30


@pytest.mark.slow
def test_the_run_length_against_a_reference_that_was_estimated():
    """Each of 300 streams against a reference of its own, of 300 draws."""
    drawn, true, threshold, length = np.random.default_rng(6), np.full(5, 0.2), 200.0, 1000
    alarms = 0
    for _ in range(300):
        bets = moves(drawn.multinomial(300, true), 300, confidence=0.95)
        raised, _ = watched(bets, drawn.choice(5, length, p=true), threshold)
        alarms += int(raised.sum())
    assert alarms <= 300 * length / threshold
