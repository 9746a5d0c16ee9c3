"""Budgets are counted exactly: whatever the batches, the workers and their ends."""

import multiprocessing
import random

import pytest

from journals import LAB, NOW, WARD, after, answered, faults, logged, made, opened
from pipeline.serving.journal import Entry, Kind, Limits, Outcome
from pipeline.serving.keys import Client, Role

NONE = Limits(None, None, None)


def outcome(journal, count, limits, now=NOW, client=WARD, kind=Kind.ANSWERED):
    entries = [answered(number, kind) for number in range(count)]
    return journal.write(entries, client=client, limits=limits, now=now).outcome


@pytest.fixture
def journal(tmp_path):
    with made(tmp_path, every=1000) as journal:
        yield journal


@pytest.mark.parametrize(
    ("limits", "over"),
    [
        (Limits(5, None, None), Outcome.OVER_MINUTE),
        (Limits(None, 5, None), Outcome.OVER_DAY),
        (Limits(None, None, 5), Outcome.OVER_EVER),
        (Limits(5, 5, 5), Outcome.OVER_EVER),
        (Limits(0, None, None), Outcome.OVER_MINUTE),
    ],
)
def test_the_last_record_that_fits_is_answered_and_the_next_is_not(journal, limits, over):
    room = min(one for one in (limits.per_minute, limits.per_day, limits.ever) if one is not None)
    for _ in range(room):
        assert outcome(journal, 1, limits) is Outcome.WRITTEN
    assert outcome(journal, 1, limits) is over


def test_a_batch_is_taken_whole_or_not_at_all(journal, tmp_path):
    limits = Limits(None, 5, None)
    assert outcome(journal, 3, limits) is Outcome.WRITTEN
    assert outcome(journal, 3, limits) is Outcome.OVER_DAY
    assert outcome(journal, 2, limits) is Outcome.WRITTEN
    assert len(logged(tmp_path)) == 5


def test_referrals_spend_and_refusals_only_hurry(journal):
    limits = Limits(6, 2, None)
    assert outcome(journal, 1, limits, kind=Kind.REFERRED) is Outcome.WRITTEN
    assert outcome(journal, 4, limits, kind=Kind.REFUSED) is Outcome.WRITTEN
    assert outcome(journal, 1, limits) is Outcome.WRITTEN
    assert outcome(journal, 1, limits) is Outcome.OVER_DAY
    assert outcome(journal, 1, limits, kind=Kind.REFUSED) is Outcome.OVER_MINUTE


def test_a_new_minute_and_a_new_day_begin_on_the_clock(journal):
    minute, day = Limits(1, None, None), Limits(None, 2, None)
    assert outcome(journal, 1, minute) is Outcome.WRITTEN
    assert outcome(journal, 1, minute, after(seconds=29)) is Outcome.OVER_MINUTE
    assert outcome(journal, 1, minute, after(seconds=30)) is Outcome.WRITTEN
    assert outcome(journal, 1, day, after(hours=11)) is Outcome.OVER_DAY
    assert outcome(journal, 1, day, after(hours=12)) is Outcome.WRITTEN


def test_the_budget_is_the_client_s_whatever_the_key_and_the_process(journal, tmp_path):
    limits = Limits(None, None, 2)
    assert outcome(journal, 1, limits) is Outcome.WRITTEN
    journal.close()
    with opened(tmp_path) as again:
        rotated = Client(WARD.name, WARD.role, "a new key")
        assert outcome(again, 1, limits, after(days=400), rotated) is Outcome.WRITTEN
        assert outcome(again, 1, limits, after(days=800), rotated) is Outcome.OVER_EVER
        assert outcome(again, 1, limits, client=LAB) is Outcome.WRITTEN


def test_a_clock_that_goes_back_gives_no_second_budget(journal):
    limits = Limits(1, 1, None)
    assert outcome(journal, 1, limits) is Outcome.WRITTEN
    assert outcome(journal, 1, limits, after(days=1)) is Outcome.WRITTEN
    assert outcome(journal, 1, limits) is Outcome.OVER_DAY


def test_a_refusal_has_one_row_a_minute(journal, tmp_path):
    limits = Limits(None, 0, None)
    for _ in range(5):
        outcome(journal, 3, limits)
    outcome(journal, 3, limits, after(minutes=1))
    outcome(journal, 3, limits, client=LAB)
    outcome(journal, 3, Limits(0, None, None))
    rows = list(journal.rows(kinds=[Kind.REFUSED]))
    assert [row.client for row in rows] == ["ward", "ward", "lab", "ward"]
    assert '"records":3' in rows[0].facts
    assert "0 of 0" in rows[0].facts
    assert faults(tmp_path) == []


def test_random_batches_count_as_a_plain_sum_does(journal, tmp_path):
    draw = random.Random(3)
    ever, days, minutes = 0, {}, {}
    now = NOW
    for _ in range(120):
        now = now + draw.choice((0, 0, 1, 200)) * (after(minutes=1) - NOW)
        count, kind = draw.randrange(1, 5), draw.choice((Kind.ANSWERED, Kind.REFUSED))
        limits = Limits(6, 15, 50)
        day, minute = now.date(), now.replace(second=0)
        spent = count if kind is Kind.ANSWERED else 0
        fits = (
            minutes.get(minute, 0) + count <= 6
            and (not spent or days.get(day, 0) + spent <= 15)
            and (not spent or ever + spent <= 50)
        )
        assert (outcome(journal, count, limits, now, kind=kind) is Outcome.WRITTEN) == fits
        if fits:
            ever += spent
            days[day] = days.get(day, 0) + spent
            minutes[minute] = minutes.get(minute, 0) + count
    assert ever == len(logged(tmp_path))
    assert 40 < ever <= 50
    assert len(days) > 2
    assert max(minutes.values()) == 6
    assert faults(tmp_path) == []


def test_what_nobody_asked_costs_nothing(journal):
    for _ in range(3):
        written = journal.write([Entry(Kind.ALARM)], client=WARD, limits=Limits(0, 0, 0), now=NOW)
        assert written.outcome is Outcome.WRITTEN


SPENDS = 33  # of at most 3: no process spends the budget of 100 by itself


def spend_all(folder, seed, together, results):
    draw, taken = random.Random(seed), 0
    together.wait(timeout=100)
    with opened(folder, patience=60.0) as journal:
        client = Client("team", Role.RESEARCHER, str(seed))
        for _ in range(SPENDS):
            count = draw.randrange(1, 4)
            if outcome(journal, count, Limits(None, 100, 150), client=client) is Outcome.WRITTEN:
                taken += count
    results.put(taken)


@pytest.mark.slow
def test_four_processes_at_once_spend_a_budget_exactly(tmp_path):
    made(tmp_path).close()
    context = multiprocessing.get_context("spawn")
    results, together = context.Queue(), context.Barrier(4)
    workers = [
        context.Process(target=spend_all, args=(tmp_path, seed, together, results))
        for seed in range(4)
    ]
    for worker in workers:
        worker.start()
    taken = [results.get(timeout=200) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(taken) == 100 == len(logged(tmp_path))
    assert sum(one > 0 for one in taken) > 1
    assert faults(tmp_path) == []
