"""Other detectors beside the guard's: what they are, and that all are counted alike."""

import numpy as np
import pytest

from benchmarks.streams import WINDOW, called, cusum, ours, page_hinkley, window
from pipeline.statistics.streams import rises, watched


def events(count=3, length=700, before=200, seed=0):
    drawn = np.random.default_rng(seed)
    rate = np.where(np.arange(length) < before, 0.05, 0.6)
    return (drawn.random((count, length)) < rate).astype(float)


def one_by_one(stream, step, state, calls):
    """Where a detector calls that starts again after each call."""
    found, now = [], state()
    for event in stream:
        now = step(now, event)
        found.append(calls(now))
        now = state() if found[-1] else now
    return found


def test_ours_is_what_the_guard_keeps():
    raised, _ = watched(rises(0.07), events(), 1000)
    assert np.array_equal(called(ours(0.07, 1000), events()), raised)
    assert raised.any()


def test_page_hinkley_is_that_of_its_paper():
    def step(seen, event):
        return [*seen, event]

    def calls(seen):
        total, sums = 0.0, []
        for count in range(1, len(seen) + 1):
            total = 0.9999 * total + seen[count - 1] - np.mean(seen[:count]) - 0.005
            sums.append(total)
        return len(seen) >= 30 and sums[-1] - min(sums) > 10

    stream = events(1, 320)
    expected = one_by_one(stream[0], step, list, calls)
    assert called(page_hinkley(threshold=10), stream)[0].tolist() == expected
    assert any(expected)


def test_cusum_is_the_largest_likelihood_ratio_of_any_beginning():
    other = 0.07 + 0.1 * 0.93

    def step(seen, event):
        return [*seen, np.log((other / 0.07) if event else (1 - other) / 0.93)]

    def calls(seen):
        return max(sum(seen[begin:]) for begin in range(len(seen))) >= 4

    stream = events(1, 320)
    expected = one_by_one(stream[0], step, list, calls)
    assert called(cusum(0.07, 4.0), stream)[0].tolist() == expected
    assert any(expected)


def test_the_window_calls_when_it_is_full():
    found = called(window(0.07), np.ones((1, 2 * WINDOW + 10)))
    assert np.flatnonzero(found[0]).tolist() == [WINDOW - 1, 2 * WINDOW - 1]


@pytest.mark.parametrize("detector", [ours(0.07, 1000), cusum(0.07, 6.0), window(0.07)])
def test_streams_do_not_hear_each_other(detector):
    together = called(detector, events())
    for place in range(3):
        assert np.array_equal(together[place], called(detector, events()[place : place + 1])[0])
