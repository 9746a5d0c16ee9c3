"""One stops, two start: across processes and restarts, and in the very transaction of an answer."""

import itertools
import subprocess
import sys

import pytest

import tiny
from journals import LAB, NOW, OPERATOR, WARD, after, answered, faults, made, opened
from pipeline.serving.journal import Kind, Mode, Outcome
from pipeline.serving.keys import GUARD, Client, Role
from pipeline.serving.switch import NotAllowed, confirm, propose, refer_all, stop

ANNA, BERT = Client("anna", Role.ADMINISTRATOR, "a"), Client("bert", Role.ADMINISTRATOR, "b")


def asked(journal, now=NOW):
    return journal.write([answered()], client=WARD, now=now).outcome


@pytest.fixture
def journal(tmp_path):
    with made(tmp_path) as journal:
        yield journal


def test_nothing_is_answered_after_a_stop_not_even_after_a_restart(tmp_path):
    with made(tmp_path) as journal, opened(tmp_path) as other:
        assert asked(journal) is asked(other) is Outcome.WRITTEN
        state = stop(journal, by=ANNA, reason="odd answers", now=NOW)
        assert (state.mode, state.by, state.reason) == (Mode.STOPPED, "anna", "odd answers")
        assert asked(journal) is asked(other) is Outcome.STOPPED
    with opened(tmp_path) as journal:
        assert journal.state() == state
        assert asked(journal) is Outcome.STOPPED
        assert len(list(journal.rows(kinds=[Kind.ANSWERED]))) == 2
    assert faults(tmp_path) == []


def test_alarms_and_diagnoses_are_written_all_the_same(journal):
    from pipeline.serving.journal import Entry

    stop(journal, by=GUARD, reason="an alarm", now=NOW)
    written = journal.write([Entry(Kind.ALARM), Entry(Kind.LABEL)], client=GUARD, now=NOW)
    assert written.outcome is Outcome.WRITTEN


def test_two_administrators_start_again(journal, tmp_path):
    stop(journal, by=ANNA, reason="odd", now=NOW)
    propose(journal, by=ANNA, reason="looked at", now=after(minutes=1))
    assert asked(journal) is Outcome.STOPPED
    with pytest.raises(NotAllowed, match="another administrator confirms"):
        confirm(journal, by=Client("anna", Role.ADMINISTRATOR, "her new key"), now=after(minutes=2))
    assert asked(journal) is Outcome.STOPPED
    state = confirm(journal, by=BERT, now=after(minutes=2))
    assert (state.mode, state.proposal) == (Mode.SERVING, None)
    assert journal.state() == state
    assert asked(journal) is Outcome.WRITTEN
    assert faults(tmp_path) == []


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
def test_only_administrators_start(journal, role):
    somebody = Client("somebody", role)
    stop(journal, by=ANNA, reason="odd", now=NOW)
    with pytest.raises(NotAllowed, match="is no administrator"):
        propose(journal, by=somebody, reason="why not", now=NOW)
    propose(journal, by=ANNA, reason="looked at", now=NOW)
    with pytest.raises(NotAllowed, match="is no administrator"):
        confirm(journal, by=somebody, now=NOW)
    assert journal.state().mode is Mode.STOPPED


def test_a_proposal_grows_old(journal):
    stop(journal, by=ANNA, reason="odd", now=NOW)
    propose(journal, by=ANNA, reason="looked at", now=NOW)
    for late in (after(minutes=30, microseconds=1), after(seconds=-1)):
        with pytest.raises(NotAllowed, match="older than"):
            confirm(journal, by=BERT, now=late)
    assert confirm(journal, by=BERT, now=after(minutes=30)).mode is Mode.SERVING


def test_a_stop_in_between_drops_the_proposal(journal):
    stop(journal, by=ANNA, reason="odd", now=NOW)
    propose(journal, by=ANNA, reason="looked at", now=NOW)
    stop(journal, by=GUARD, reason="another alarm", now=NOW)
    with pytest.raises(NotAllowed, match="nobody has proposed"):
        confirm(journal, by=BERT, now=NOW)


def test_a_proposal_is_used_once(journal):
    stop(journal, by=ANNA, reason="odd", now=NOW)
    propose(journal, by=ANNA, reason="looked at", now=NOW)
    confirm(journal, by=BERT, now=NOW)
    stop(journal, by=BERT, reason="odd again", now=NOW)
    with pytest.raises(NotAllowed, match="nobody has proposed"):
        confirm(journal, by=BERT, now=NOW)


def test_of_two_proposals_the_later_one_counts(journal):
    stop(journal, by=ANNA, reason="odd", now=NOW)
    propose(journal, by=ANNA, reason="serve", now=NOW)
    propose(journal, by=BERT, reason="refer first", now=NOW, to=Mode.REFER_ALL)
    with pytest.raises(NotAllowed, match="bert proposed it"):
        confirm(journal, by=BERT, now=NOW)
    assert confirm(journal, by=ANNA, now=NOW).mode is Mode.REFER_ALL


def test_where_everything_is_referred_no_answer_is_kept_or_given(journal, tmp_path):
    refer_all(journal, by=GUARD, reason="an alarm", now=NOW)
    written = journal.write([answered(1), answered(2)], client=LAB, now=NOW)
    assert written.outcome is Outcome.REFERRED
    assert written.accepted
    rows = list(journal.rows(client="lab"))
    assert [row.kind for row in rows] == ["referred", "referred"]
    assert {row.answer for row in rows} == {"null"}
    assert all("an alarm" in row.facts for row in rows)
    assert faults(tmp_path) == []


ACTS = {
    "stop": lambda journal: stop(journal, by=ANNA, reason="x", now=NOW),
    "refer all": lambda journal: refer_all(journal, by=ANNA, reason="x", now=NOW),
    "propose": lambda journal: propose(journal, by=ANNA, reason="x", now=NOW),
    "propose b": lambda journal: propose(journal, by=BERT, reason="x", now=NOW, to=Mode.REFER_ALL),
    "confirm": lambda journal: confirm(journal, by=ANNA, now=NOW),
    "confirm b": lambda journal: confirm(journal, by=BERT, now=NOW),
}


def expected(acts):
    """The mode after the acts, by a definition of its own."""
    level, open_to, by = 0, None, None  # 0 serves, 2 is stopped
    for act in acts:
        who = "b" if act.endswith(" b") else "a"
        if act == "stop":
            level, open_to = 2, None
        elif act == "refer all" and level < 2:
            level, open_to = 1, None
        elif act.startswith("propose"):
            to = 1 if who == "b" else 0
            if to < level:
                open_to, by = to, who
        elif act.startswith("confirm") and open_to is not None and by != who:
            level, open_to = open_to, None
    return list(Mode)[level]


@pytest.mark.slow
def test_whatever_two_do_nobody_starts_alone(journal, tmp_path):
    start = ["stop", "propose", "confirm b"]
    for acts in itertools.product(ACTS, repeat=3):
        for act in [*start, *acts]:
            try:
                ACTS[act](journal)
            except NotAllowed:
                continue
        assert journal.state().mode is expected([*start, *acts]), acts
    assert faults(tmp_path) == []


@pytest.mark.parametrize("act", [stop, refer_all, propose])
def test_nobody_switches_without_a_reason(journal, act):
    with pytest.raises(NotAllowed, match="say why"):
        act(journal, by=OPERATOR, reason=" ", now=NOW)
    assert journal.state().mode is Mode.SERVING


def test_what_needs_no_second_administrator_is_not_proposed(journal):
    with pytest.raises(NotAllowed, match="needs no second"):
        propose(journal, by=ANNA, reason="x", now=NOW)
    stop(journal, by=ANNA, reason="odd", now=NOW)
    with pytest.raises(NotAllowed, match="two administrators"):
        refer_all(journal, by=ANNA, reason="x", now=NOW)
    with pytest.raises(NotAllowed, match="needs no second"):
        propose(journal, by=ANNA, reason="x", now=NOW, to=Mode.STOPPED)


def test_the_guard_s_memory_loads_no_model_library():
    """It is read by auditors, and opened by a service before it has a model."""
    code = (
        "import sys, pipeline.serving.switch; "
        "print(sorted({'torch', 'numpy', 'mlflow', 'pydantic'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tiny.ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
