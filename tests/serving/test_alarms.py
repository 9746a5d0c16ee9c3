"""Alarms: against the streams that they are made of, and one promise for the whole guard."""

import json
import subprocess
import sys

import numpy as np
import pytest

from pipeline.serving.alarms import Alarms
from pipeline.serving.channels import Confirmed, Query, Settings
from pipeline.serving.honest import Bins, Honest, Share
from pipeline.statistics.streams import rises, start, update, value

HONEST = Honest(
    patients=768,
    referred=Share(61, 768),
    near=Share(90, 700),
    missed=Share(100, 250),
    wrong=Share(160, 700),
    scores=Bins((0.25, 0.5, 0.75), (192, 192, 192, 192), 768),
    inputs={"glucose": Bins((100.0,), (384, 384), 768)},
)
QUIET = Settings(quiet=20, actions={"referrals": "stop"})


def needed(alarms, name):
    """How many events in a row raise an alarm of a stream."""
    bets, number = alarms.watched[name].bets, 0
    state = start(bets)
    while value(bets, state) < alarms.thresholds[name]:
        state, number = update(bets, state, 1), number + 1
    return number, float(value(bets, state))


def raised(alarms, events):
    return [(moment, alarm) for moment, one in enumerate(events, 1) for alarm in alarms.seen(one)]


def test_all_thresholds_share_one_promise():
    for honest in (HONEST, Honest(768, None, None, None, Share(160, 700), None)):
        alarms = Alarms.of(Settings(run_length=5000), honest)
        whole = sum(1 / each for each in alarms.thresholds.values())
        assert whole == pytest.approx(1 / 5000)
        assert set(alarms.watched) <= set(alarms.thresholds)
    assert "referrals" in alarms.silent  # whose part stays unused
    full = Alarms.of(Settings(run_length=5000), HONEST)
    assert alarms.thresholds["labels/wrong"] == pytest.approx(full.thresholds["labels/wrong"] / 2)
    assert full.thresholds["referrals"] == pytest.approx(5000 / 0.7)


def test_an_attack_is_named_at_the_query_that_betrays_it():
    alarms = Alarms.of(QUIET, HONEST)
    number, reached = needed(alarms, "referrals")
    found = raised(alarms, [Query("ward", True, True)] * number)
    assert [(moment, one.stream) for moment, one in found] == [(number, "referrals")]
    alarm = found[0][1]
    assert (alarm.value, alarm.events, alarm.rate, alarm.number) == (reached, number, 1.0, 1)
    assert (alarm.action, alarm.client) == ("stop", None)
    assert (
        alarm.said
        == f"referrals: a rate of 1 in {number} events, honest at most {alarm.honest:.3g}"
    )


def test_an_attack_that_goes_on_is_an_alarm_every_so_often():
    alarms = Alarms.of(QUIET, HONEST)
    number, _ = needed(alarms, "referrals")
    found = raised(alarms, [Query("ward", True, True)] * (3 * number + 2 * 20))
    moments = [moment for moment, one in found if one.stream == "referrals"]
    assert moments == [number, 2 * number + 20, 3 * number + 40]
    assert [one.number for _, one in found if one.stream == "referrals"] == [1, 2, 3]


def mixed(count, seed=0):
    """Queries and diagnoses of an attack, as they come."""
    drawn = np.random.default_rng(seed)
    for _ in range(count):
        if drawn.random() < 0.2:
            yield Confirmed(drawn.random() < 0.5, drawn.random() < 0.3)
        else:
            referred, refused = drawn.random() < 0.3, drawn.random() < 0.1
            yield Query(
                f"ward {drawn.integers(3)}",
                not refused,
                None if refused else bool(referred),
                None if refused or referred else bool(drawn.random() < 0.4),
                None if refused else drawn.random() ** 2,
                {} if refused else {"glucose": drawn.normal(130, 30)},
                kin=bool(drawn.random() < 0.4),
            )


def test_it_goes_on_from_json_as_if_it_had_not_stopped():
    settings = Settings(run_length=200, quiet=5)
    events = list(mixed(400))
    whole = Alarms.of(settings, HONEST)
    expected = [alarm for event in events for alarm in whole.seen(event)]
    parts, found = Alarms.of(settings, HONEST), []
    for begin in range(0, 400, 57):
        parts = Alarms.of(settings, HONEST).resumed(json.loads(json.dumps(parts.state())))
        found += [alarm for event in events[begin : begin + 57] for alarm in parts.seen(event)]
    assert found == expected
    assert parts.state() == whole.state()
    assert {alarm.channel for alarm in found} >= {"referrals", "clients", "labels", "scores"}


def test_resuming_leaves_what_it_resumes_from():
    alarms = Alarms.of(QUIET, HONEST)
    state = alarms.state()
    alarms.resumed(state).seen(Query("ward", True, True))
    assert alarms.state() == state


def test_another_audit_begins_anew_and_another_action_does_not():
    alarms = Alarms.of(QUIET, HONEST)
    alarms.seen(Query("ward", True, True))
    state = alarms.state()
    other = Alarms.of(Settings(quiet=20, confidence=0.9), HONEST)
    assert other.resumed(state).state()["streams"] == []
    noted = Alarms.of(Settings(quiet=20), HONEST)
    assert noted.resumed(state).state() == state


def test_clients_do_not_answer_for_each_other():
    alarms = Alarms.of(QUIET, HONEST)
    number, _ = needed(alarms, "clients/kin")
    turns = [
        Query(client, True, kin=client == "thief")
        for _ in range(number)
        for client in ("ward", "thief", "other")
    ]
    found = raised(alarms, turns)
    assert [(moment, one.stream, one.client) for moment, one in found] == [
        (3 * number - 1, "clients/kin", "thief")
    ]
    assert "of thief" in found[0][1].said


def test_what_is_shown_of_each_stream():
    alarms = Alarms.of(QUIET, HONEST)
    shown = {(one["stream"], one["client"]): one for one in alarms.streams()}
    assert {name for name, _ in shown} == {
        name for name, one in alarms.watched.items() if not one.of_clients
    }
    assert all(one["events"] == 0 and one["value"] == 0 for one in shown.values())
    for referred in (True, False, False, False):
        alarms.seen(Query("ward", True, referred, score=0.9))
    shown = {(one["stream"], one["client"]): one for one in alarms.streams()}
    assert shown["referrals", None]["rate"] == shown["clients/referrals", "ward"]["rate"] == 0.25
    assert shown["scores", None]["rate"] is None
    assert shown["scores", None]["events"] == 4
    assert 0 < shown["referrals", None]["value"] < shown["referrals", None]["threshold"]


def test_scores_that_spread_otherwise_are_named():
    alarms = Alarms.of(QUIET, HONEST)
    found = raised(alarms, [Query("ward", True, score=0.6)] * 100)
    assert [one.stream for _, one in found][:1] == ["scores"]
    assert "do not spread as in the audit" in found[0][1].said


def test_a_score_that_is_none_is_not_learned_from():
    alarms = Alarms.of(QUIET, HONEST)
    alarms.seen(Query("ward", True, score=float("nan")))
    assert all(one["stream"] != "scores" for one in alarms.state()["streams"])


def test_an_honest_day_raises_nothing():
    drawn, alarms = np.random.default_rng(3), Alarms.of(Settings(), HONEST)
    for _ in range(600):
        referred = bool(drawn.random() < 61 / 768)
        near = None if referred else bool(drawn.random() < 90 / 700)
        score, glucose = drawn.random(), drawn.normal(100, 20)
        assert not alarms.seen(Query("ward", True, referred, near, score, {"glucose": glucose}))


def test_it_needs_no_torch():
    said = "import pipeline.serving.alarms, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], check=False).returncode == 0


@pytest.mark.slow
def test_the_whole_guard_raises_no_more_false_alarms_than_it_promises():
    """Every rate at the edge of its null, spreads as in the audit: the worst honest stream."""
    settings, queries = Settings(run_length=100, quiet=0), 12_000
    alarms, drawn = Alarms.of(settings, HONEST), np.random.default_rng(4)
    most = {name: one.honest for name, one in alarms.watched.items()}
    count = 0
    for _ in range(queries):
        referred = bool(drawn.random() < most["referrals"])
        count += len(
            alarms.seen(
                Query(
                    f"ward {drawn.integers(4)}",
                    bool(drawn.random() >= most["admission"]),
                    referred,
                    bool(drawn.random() < most["near"]),
                    drawn.random(),
                    {"glucose": 90.0 + 20 * (drawn.random() < 0.5)},
                    bool(drawn.random() < most["clients/kin"]),
                    bool(drawn.random() < most["clients/hasty"]),
                )
            )
        )
        ill = bool(drawn.random() < 0.5)
        wrong = bool(drawn.random() < most["labels/missed"])
        count += len(alarms.seen(Confirmed(ill, ill != (wrong and ill))))
    assert queries / 100 / 4 < count <= queries / 100


def test_every_stream_is_what_the_recursion_makes_of_it_bit_for_bit():
    alarms, held, quiet = Alarms.of(QUIET, HONEST), {}, {}
    for event in mixed(400):
        alarms.seen(event)
        for name, watched in alarms.watched.items():
            heard = watched.hears(event)
            if heard is None:
                continue
            key = name, event.client if watched.of_clients else None
            if quiet.get(key, 0):
                quiet[key] -= 1
                continue
            state = update(watched.bets, held.get(key, start(watched.bets)), heard)
            over = value(watched.bets, state) >= alarms.thresholds[name]
            held[key] = start(watched.bets) if over else state
            quiet[key] = QUIET.quiet if over else 0
    kept = {(one["stream"], one["client"]): one for one in alarms.state()["streams"]}
    assert set(kept) == set(held)
    assert len(held) > 10
    for key, state in held.items():
        assert (kept[key]["held"], kept[key]["quiet"]) == (state.tolist(), quiet[key])


def test_the_bets_are_those_of_the_streams():
    """The guard's state against `streams.update`, event by event."""
    alarms, drawn = Alarms.of(QUIET, HONEST), np.random.default_rng(5)
    bets = rises(HONEST.referred.most(0.95))
    state = start(bets)
    for _ in range(30):
        referred = bool(drawn.random() < 0.08)
        state = update(bets, state, referred)
        alarms.seen(Query("ward", True, referred))
        kept = next(one for one in alarms.state()["streams"] if one["stream"] == "referrals")
        assert kept["held"] == state.tolist()
