"""What happens to a request, without HTTP."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.config.serving import CHANNELS
from pipeline.serving import switch
from pipeline.serving.facts import described
from pipeline.serving.guard import Guard, Unanswered
from pipeline.serving.journal import Kind, Unavailable, facts_of
from pipeline.serving.keys import Client, Role
from pipeline.serving.place import CONSOLE, LOG
from pipeline.serving.replies import as_given
from pipeline.serving.served import Served
from serving.made_up import HEALTHY, ILL, NEAR, NOW, served_folder

WARD, LAB = Client("ward", Role.CLINICIAN), Client("lab", Role.RESEARCHER)
pytestmark = pytest.mark.heavy


@pytest.fixture
def opened(tmp_path):
    """Opens a guard of a policy; it is closed at the end."""
    guards = []

    def make(**changes):
        if not (tmp_path / "guard").exists():
            served_folder(tmp_path / "guard", **changes)
        guards.append(Guard.open(tmp_path / "guard"))
        return guards[-1]

    yield make
    for guard in guards:
        guard.close(NOW)


def kinds(guard):
    return [row.kind for row in guard.journal.rows() if row.client in ("ward", "lab")]


def test_each_record_has_its_row_in_order(opened):
    guard = opened()
    told = guard.ask([HEALTHY, {}, NEAR, ILL], WARD, "/x", NOW)
    assert kinds(guard) == [Kind.ANSWERED, Kind.REFUSED, Kind.REFERRED, Kind.ANSWERED]
    rows = [facts_of(row).get("id") for row in guard.journal.rows(client="ward")]
    assert rows == [one.get("id") for one in told]


def test_what_is_answered_hangs_on_no_neighbour(opened):
    guard = opened()
    together = guard.ask([HEALTHY, NEAR, ILL], WARD, "/x", NOW)
    alone = [guard.ask([one], WARD, "/x", NOW)[0] for one in (HEALTHY, NEAR, ILL)]
    assert [{**one, "id": ""} for one in together] == [{**one, "id": ""} for one in alone]


def test_under_refer_all_nothing_is_decided(opened):
    guard = opened()
    switch.refer_all(guard.journal, by=CONSOLE, reason="a doubt", now=NOW)
    told = guard.ask([HEALTHY, {}], WARD, "/x", NOW)
    assert set(told[0]) == {"id", "referred"}
    assert "a doubt" in told[0]["referred"]
    assert set(told[1]) == {"refused"}
    assert kinds(guard) == [Kind.REFERRED, Kind.REFUSED]


def test_a_log_that_cannot_be_written_answers_nothing(opened, tmp_path):
    guard, log = opened(), tmp_path / "guard" / LOG
    log.rename(tmp_path / "away")
    with pytest.raises(Unavailable):
        guard.ask([HEALTHY], WARD, "/x", NOW)
    (tmp_path / "away").rename(log)
    assert kinds(guard) == []


def test_honest_rates_that_are_far_exceeded_raise_an_alarm_that_refers_everything(opened):
    guard = opened(alarms=dict.fromkeys(CHANNELS, "refer_all"))
    for minute in range(6):
        try:
            guard.ask([NEAR] * 8, WARD, "/x", NOW + timedelta(minutes=minute))
        except Unanswered:  # pragma: no cover
            pytest.fail("over budget")
    status = guard.status()
    assert status["state"] == "refer all"
    assert any(one["channel"] == "referrals" for one in status["alarms"])
    assert "alarm" in {row.kind for row in guard.journal.rows()}
    told = guard.ask([HEALTHY], WARD, "/x", NOW + timedelta(minutes=9))
    assert "referred" in told[0]


def test_without_honest_rates_nothing_is_watched_and_that_is_said(opened):
    guard = opened(honest=None)
    guard.ask([NEAR] * 16, WARD, "/x", NOW)
    shown = guard.status()
    assert (shown["alarms"], shown["streams"]) == ([], [])
    assert shown["silent"] == {"all": "the audit holds no honest rates"}
    assert shown["counts"] == {"referred": 16, "alarm": 0}


def test_diagnoses_of_answers_reach_the_alarms_of_referrals_they_do_not(opened):
    guard = opened()
    told = guard.ask([HEALTHY, NEAR], WARD, "/x", NOW)
    assert guard.learn([(one["id"], True) for one in told], WARD, NOW) == 2
    streams = {one["stream"]: one for one in guard.status()["streams"]}
    assert streams["labels/missed"]["events"] == 1
    assert streams["labels/missed"]["rate"] == 1.0
    with pytest.raises(Unanswered, match="no answer or referral"):
        guard.learn([("f" * 16, True)], WARD, NOW)


def test_alarms_go_on_where_another_process_left_them(opened):
    first = opened()
    first.ask([NEAR] * 2, WARD, "/x", NOW)
    first.close(NOW)
    second = opened()
    second.ask([NEAR] * 2, WARD, "/x", NOW)
    streams = {one["stream"]: one for one in second.status()["streams"]}
    assert streams["referrals"]["events"] == 4


def test_the_record_lies_sealed_and_the_log_holds_no_value_of_it(opened, tmp_path):
    from pipeline.serving.journal import Reader
    from pipeline.serving.private_keys import opening_key

    guard = opened()
    record = {"potassium": 3.7, "pulse": 77, "age": None}
    guard.ask([record], WARD, "/x", NOW)
    with Reader.open(tmp_path / "guard" / LOG) as reader:
        (row,) = reader.rows(client="ward")
        kept = json.loads(reader.opened(row, opening_key(tmp_path / "auditor.key")))
    given = as_given(kept["values"], (3,))
    assert given[:2].tolist() == [3.7, 77.0]
    assert given[2] != given[2]
    assert "3.7" not in (row.facts + row.answer)
    assert b"3.7" not in (tmp_path / "guard" / LOG).read_bytes()


def test_a_researcher_learns_the_decision_alone(opened):
    guard = opened()
    (told,) = guard.ask([ILL], LAB, "/x", NOW)
    assert "probability" not in told


def test_what_alarms_are_told_where_nobody_says_is_what_ships():
    from pipeline.serving.channels import Settings
    from pipeline.serving.guard import settings_of
    from serving.made_up import POLICY, policy

    assert settings_of(policy()) == Settings(actions=POLICY["alarms"])


def test_records_of_days_that_are_over_cannot_be_opened_any_more(opened, tmp_path):
    from pipeline.files import BadInput
    from pipeline.serving.journal import Reader
    from pipeline.serving.private_keys import opening_key

    guard = opened(journal={"records": "encrypted", "retention_days": 30, "head_every": 10})
    guard.ask([HEALTHY], WARD, "/x", NOW)
    key = opening_key(tmp_path / "auditor.key")

    def readable():
        with Reader.open(tmp_path / "guard" / LOG) as reader:
            row = next(iter(reader.rows(client="ward")))
            return reader.opened(row, key)

    guard.ask([HEALTHY], WARD, "/x", NOW + timedelta(days=30))
    assert readable()
    guard.ask([HEALTHY], WARD, "/x", NOW + timedelta(days=31))
    with pytest.raises(BadInput, match="destroyed"):
        readable()


def test_in_a_sector_the_guard_says_what_it_is_in_its_words(opened):
    guard = opened()
    said = [one["source"] for one in guard.status()["streams"]]
    assert any("patients" in one for one in said)
    replace(Served.load(guard.folder), words={"patients": "lots"}).save(guard.folder)
    own = opened()
    told = [one["source"] for one in own.status()["streams"]]
    assert told == [one.replace("patients", "lots") for one in said]
    assert described(own.model, "clinician")["use"] == "Research use: no basis for a decision."
    assert "medical" in described(guard.model, "clinician")["use"]
