"""What the journal accepts stands on the disk when it says so; what it cannot write, it refuses."""

import json
import os
import resource
import shutil
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

import pytest

from journals import (
    AUDITOR,
    LAB,
    NOW,
    OPERATOR,
    WARD,
    after,
    answered,
    faults,
    killed,
    logged,
    made,
    opened,
    places,
)
from pipeline.files import BadInput
from pipeline.serving.journal import (
    Damaged,
    Entry,
    Hashes,
    Journal,
    Kind,
    Mode,
    Outcome,
    Reader,
    Unavailable,
    heads,
    same_record,
    tables,
)
from pipeline.serving.keys import Client, Role, issue, recognised, revoke


def write(journal, *numbers, now=NOW, client=WARD):
    return journal.write([answered(number) for number in numbers], client=client, now=now)


def fill(journal, numbers, accepted):
    """Writes until it is refused; notes what was accepted."""
    for number in numbers:
        write(journal, number, 1000 + number)
        accepted += [number, 1000 + number]


def raw(folder, statement, *values):
    """Runs SQL on the file of a log, as somebody else would; the triggers are out of the way."""
    connection = sqlite3.connect(places(folder)[0], isolation_level=None)
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


# ---- rows ----


def test_a_row_says_what_happened_and_who_asked(tmp_path):
    with made(tmp_path) as journal:
        written = write(journal, 5, 6)
        assert (written.outcome, written.said, len(written.rows)) == (Outcome.WRITTEN, "", 2)
        rows = list(journal.rows(client="ward"))
        with Reader.open(journal.path) as reader:
            assert list(reader.rows(client="ward")) == rows
            records = [reader.opened(row, AUDITOR) for row in rows]
    assert [row.sequence for row in rows] == list(written.rows)
    first = rows[0]
    assert (first.client, first.role, first.key) == ("ward", "clinician", WARD.key)
    assert (first.endpoint, first.kind, first.model) == ("/predict", "answered", "m" * 64)
    assert json.loads(first.answer) == {"diagnosis": 1}
    assert json.loads(first.facts) == {"number": 5}
    assert records == [answered(5).record, answered(6).record]


def test_no_record_lies_in_the_clear(tmp_path):
    with made(tmp_path) as journal:
        entry = Entry(Kind.ANSWERED, record=b"glucose of nobody else: 148.125")
        journal.write([entry], client=WARD, now=NOW)
    for path in tmp_path.iterdir():
        assert b"148.125" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_where_hashes_are_kept_nothing_is_replayed(tmp_path):
    hashes = Hashes(bytes(32))
    with made(tmp_path, seal=hashes) as journal:
        write(journal, 1, 1)
        one, two = journal.rows(client="ward")
    with Reader.open(places(tmp_path)[0]) as reader, pytest.raises(BadInput, match="replayed"):
        reader.opened(one, AUDITOR)
    assert one.sealed != two.sealed
    assert same_record(one, answered(1).record, hashes)
    assert not same_record(one, answered(2).record, hashes)
    assert faults(tmp_path) == []


def test_where_records_go_nowhere_there_are_none(tmp_path):
    with made(tmp_path, seal=None) as journal:
        write(journal, 1)
        (row,) = journal.rows(client="ward")
    assert (row.sealed, row.block) == (None, "")
    with Reader.open(places(tmp_path)[0]) as reader, pytest.raises(BadInput, match="no record"):
        reader.opened(row, AUDITOR)


def test_a_day_and_a_process_have_a_data_key_of_their_own(tmp_path):
    with made(tmp_path) as one, opened(tmp_path) as two:
        for journal, now in ((one, NOW), (one, NOW), (two, NOW), (one, after(days=1))):
            write(journal, 1, now=now)
        blocks = [row.block for row in one.rows(client="ward")]
    assert blocks[0] == blocks[1]
    assert len(set(blocks)) == 3
    assert faults(tmp_path) == []


def test_what_has_passed_its_days_is_opened_by_nobody_and_the_chain_holds(tmp_path):
    with made(tmp_path) as journal:
        for days in (0, 1, 2):
            write(journal, days, now=after(days=days))
        held = raw(tmp_path, "SELECT wrapped FROM blocks WHERE day = '2026-03-01'")[0][0]
        assert held in places(tmp_path)[0].read_bytes()
        assert journal.expire(days=2, by=OPERATOR, now=after(days=2)) == 0
        assert journal.expire(days=2, by=OPERATOR, now=after(days=3)) == 1
        assert journal.expire(days=2, by=OPERATOR, now=after(days=3)) == 0
        rows = list(journal.rows(client="ward"))
    assert all(held not in path.read_bytes() for path in tmp_path.iterdir())
    with Reader.open(places(tmp_path)[0]) as reader:
        with pytest.raises(BadInput, match="data key was destroyed"):
            reader.opened(rows[0], AUDITOR)
        assert [reader.opened(row, AUDITOR) for row in rows[1:]] == [
            answered(number).record for number in (1, 2)
        ]
    assert faults(tmp_path) == []


def test_api_keys_lie_in_the_log_and_each_change_has_its_row(tmp_path):
    with made(tmp_path) as journal, opened(tmp_path) as other:
        key, token = issue("ward", Role.CLINICIAN, now=NOW, expires=after(days=9))
        assert recognised(token, journal.key, NOW) != Client("ward", Role.CLINICIAN, key.id)
        journal.store([key], by=OPERATOR, now=NOW)
        assert recognised(token, other.key, NOW) == Client("ward", Role.CLINICIAN, key.id)
        assert other.every_key() == [key]
        gone = revoke(key, now=after(days=1))
        other.store([gone], by=OPERATOR, now=after(days=1))
        assert journal.every_key() == [gone]
        assert len(list(journal.rows(kinds=[Kind.KEY]))) == 2
        assert token.split("_")[2].encode() not in journal.path.read_bytes()
    assert faults(tmp_path) == []


def test_only_the_journal_writes_what_it_vouches_for(tmp_path):
    with made(tmp_path) as journal:
        for kind in (Kind.CREATED, Kind.KEY, Kind.BLOCK, Kind.EXPIRED, Kind.STOPPED, Kind.STARTED):
            with pytest.raises(BadInput, match="is not written so"):
                journal.write([Entry(kind)], client=OPERATOR, now=NOW)
        for entries in ([], [answered(), Entry(Kind.ALARM)]):
            with pytest.raises(BadInput, match="by itself"):
                journal.write(entries, client=OPERATOR, now=NOW)
        with pytest.raises(BadInput, match="switches nothing"):
            journal.decide(lambda state: answered(), client=OPERATOR, now=NOW)
        with pytest.raises(BadInput, match="zone"):
            write(journal, 1, now=datetime(2026, 3, 1))
        bad = Entry(Kind.ANSWERED, facts={"r": float("nan")})
        with pytest.raises(BadInput, match="JSON"):
            journal.write([answered(), bad], client=WARD, now=NOW)
        assert len(list(journal.rows())) == 1
        assert write(journal, 1).accepted


# ---- heads ----


def test_heads_are_signed_after_so_many_rows_and_at_the_end(tmp_path):
    journal = made(tmp_path, every=4)
    for number in range(9):
        write(journal, number)
    with Reader.open(journal.path) as reader:
        assert [head.sequence for head in reader.heads()] == [1, 5, 9]
        journal.close(NOW)
        assert [head.sequence for head in reader.heads()] == [1, 5, 9, 11]
        assert heads.read_heads(places(tmp_path)[1]) == reader.heads()
    with opened(tmp_path) as journal:
        journal.checkpoint(NOW)  # nothing new
        assert len(heads.read_heads(places(tmp_path)[1])) == 4


def test_a_stop_has_its_head_at_once(tmp_path):
    with made(tmp_path, every=1000) as journal:
        journal.decide(
            lambda state: Entry(Kind.STOPPED, facts={"reason": "x"}), client=OPERATOR, now=NOW
        )
        assert heads.read_heads(places(tmp_path)[1])[-1].sequence == 2


def test_where_heads_cannot_be_written_nothing_more_is_accepted(tmp_path):
    _, lying = places(tmp_path)
    with made(tmp_path, every=2) as journal:
        write(journal, 1)  # with the row of the data key
        kept = lying.read_bytes()
        lying.unlink()
        lying.mkdir()
        with pytest.raises(Unavailable, match="; the rows are written"):
            write(journal, 2, 3)
        with pytest.raises(Unavailable, match="heads cannot be written"):
            write(journal, 4)
        assert len(logged(tmp_path)) == 3
        lying.rmdir()
        lying.write_bytes(kept)
        assert write(journal, 5).accepted
    assert faults(tmp_path) == []


# ---- who opens or reads it while others write ----


def interrupted(connect, when, write):
    """As `connect`; `write` runs at the moment at which a statement with these words begins."""
    came = []

    def connecting(*args):
        connection = connect(*args)

        def begins(statement):
            if when in statement and not came:
                came.append(statement)
                with suppress(Unavailable):  # the file is held: who reads sees one moment
                    write()

        connection.set_trace_callback(begins)
        return connection

    return connecting, came


@pytest.mark.parametrize("when", ["FROM rows ORDER BY sequence DESC", "FROM heads", "WHERE sequ"])
def test_a_log_is_opened_while_another_process_signs_a_head_a_row(tmp_path, monkeypatch, when):
    with made(tmp_path, every=1, patience=0.0) as other:
        connecting, came = interrupted(tables.connect, when, lambda: write(other, 7))
        write(other, 1)
        monkeypatch.setattr(tables, "connect", connecting)
        with opened(tmp_path, every=1) as journal:
            assert came
            assert write(journal, 8).accepted
    assert faults(tmp_path) == []


@pytest.mark.parametrize("opening", [Reader.open, Journal.open])
def test_the_state_that_is_read_was_the_state_at_one_moment(tmp_path, monkeypatch, opening):
    def switch(kind, reason):
        facts = {"reason": reason, "to": "serving"}
        other.decide(lambda state: Entry(kind, facts=facts), client=OPERATOR, now=NOW)

    def meanwhile():
        for kind in (Kind.PROPOSED, Kind.STARTED, Kind.STOPPED, Kind.PROPOSED):
            switch(kind, "later")

    with made(tmp_path, patience=0.0) as other:
        switch(Kind.STOPPED, "first")
        connecting, came = interrupted(tables.connect, "kind = 'proposed'", meanwhile)
        monkeypatch.setattr(tables, "connect", connecting)
        with opening(other.path) as reading:
            state = reading.state()
        assert came
        assert (state.mode, state.reason, state.proposal) == (Mode.STOPPED, "first", None)


# ---- what stands in the way ----


def test_a_log_is_made_once_and_opened_only_where_it_is(tmp_path):
    with pytest.raises(Unavailable, match="No such file"):
        opened(tmp_path)
    assert not places(tmp_path)[0].exists()
    made(tmp_path).close()
    for gone in (0, 1):
        with pytest.raises(BadInput, match="exists"):
            Journal.create(places(tmp_path)[gone], now=NOW, by=OPERATOR, heads=places(tmp_path)[1])
    places(tmp_path)[1].unlink()
    with pytest.raises(Unavailable, match="heads cannot be read"):
        opened(tmp_path)


def test_what_is_no_log_is_refused(tmp_path):
    log = places(tmp_path)[0]
    made(tmp_path).close()
    for content in (b"", b"x" * 5000):
        log.write_bytes(content)
        with pytest.raises(Damaged):
            opened(tmp_path)
        assert faults(tmp_path)


def test_a_read_only_file_is_refused_and_read(tmp_path):
    made(tmp_path).close()
    log = places(tmp_path)[0]
    log.chmod(0o400)
    if os.access(log, os.W_OK):
        pytest.skip("this user may write everything")
    with pytest.raises(Unavailable, match="read-only"):
        opened(tmp_path)
    assert faults(tmp_path) == []


def test_a_disk_that_turns_read_only_is_an_error_and_no_row(tmp_path, monkeypatch):
    with made(tmp_path) as journal:
        write(journal, 1)
        journal._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(Unavailable, match="readonly"):
            write(journal, 2)
        journal._connection.execute("PRAGMA query_only = OFF")
        assert write(journal, 3).accepted
    assert list(logged(tmp_path).values()) == [1, 3]
    assert faults(tmp_path) == []


def test_a_full_disk_is_an_error_and_nothing_half_written(tmp_path):
    with made(tmp_path) as journal:
        accepted = [0]
        write(journal, 0)
        ((pages,),) = journal._connection.execute("PRAGMA page_count").fetchall()
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(Unavailable, match="full"):
            fill(journal, range(1, 100), accepted)
        assert list(logged(tmp_path).values()) == accepted
        journal._connection.execute("PRAGMA max_page_count = 1000000")
        assert write(journal, 500).accepted
    assert faults(tmp_path) == []


def test_a_file_that_may_grow_no_more_is_an_error_and_nothing_half_written(tmp_path):
    """As `max_page_count`, but it is the system that refuses, in the middle of a commit."""
    accepted = []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with made(tmp_path) as journal:
        limit = journal.path.stat().st_size + 6000
        was = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            for numbers in (range(100), range(100, 200)):
                with pytest.raises(Unavailable):
                    fill(journal, numbers, accepted)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, was)
        assert list(logged(tmp_path).values()) == accepted
        assert write(journal, 500).accepted
    assert faults(tmp_path) == []


def test_a_busy_file_is_waited_for_and_then_refused(tmp_path):
    with made(tmp_path, patience=0.05) as journal:
        other = sqlite3.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            write(journal, 1)
        other.execute("ROLLBACK")
        assert write(journal, 2).accepted
        other.close()
    assert list(logged(tmp_path).values()) == [2]


@pytest.mark.parametrize("how", ["removed", "replaced", "cut"])
def test_a_file_that_is_exchanged_under_the_service_takes_no_more_rows(tmp_path, how):
    log = places(tmp_path)[0]
    with made(tmp_path, every=1000) as journal:
        shutil.copy(log, tmp_path / "earlier")
        write(journal, 1)
        if how == "removed":
            log.unlink()
        elif how == "replaced":
            (tmp_path / "earlier").replace(log)
        else:
            log.write_bytes((tmp_path / "earlier").read_bytes())
        with pytest.raises(Unavailable):
            write(journal, 2)
        with pytest.raises(Unavailable):
            journal.state() if how != "cut" else write(journal, 3)


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("UPDATE rows SET facts = '{}' WHERE sequence = 7", "row 7: changed"),
        ("DELETE FROM rows WHERE sequence = 7", "signed after row 7"),
        ("DELETE FROM rows WHERE sequence > 2", "signed after row 7"),
        ("DELETE FROM rows", "no rows"),
    ],
)
def test_nothing_is_added_to_a_tail_that_was_changed(tmp_path, planted, said):
    with made(tmp_path) as journal:
        for number in range(5):
            write(journal, number)
        journal.close(NOW)
    raw(tmp_path, "DROP TRIGGER rows_update")
    raw(tmp_path, "DROP TRIGGER rows_delete")
    with pytest.raises(Damaged, match="somebody changed them"):
        opened(tmp_path)
    raw(tmp_path, planted)
    for table, what in (("rows", "UPDATE"), ("rows", "DELETE")):
        raw(
            tmp_path,
            f"CREATE TRIGGER {table}_{what.lower()} BEFORE {what} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END",
        )
    with pytest.raises(Damaged, match=said):
        opened(tmp_path)


def test_a_log_without_its_last_heads_is_refused_by_the_file_of_heads(tmp_path):
    with made(tmp_path) as journal:
        write(journal, 1)
        journal.close(NOW)
        shutil.copy(journal.path, tmp_path / "earlier")
    with opened(tmp_path) as journal:
        write(journal, 2)
        journal.close(NOW)
    shutil.copy(tmp_path / "earlier", journal.path)
    with pytest.raises(Damaged, match="ends before the last head"):
        opened(tmp_path)


def test_a_switch_that_cannot_be_read_is_an_error(tmp_path):
    with made(tmp_path) as journal:
        write(journal, 1)
        journal.decide(
            lambda state: Entry(Kind.STOPPED, facts={"reason": "x"}), client=OPERATOR, now=NOW
        )
        stop = journal.state()
        write(journal, 2, client=LAB)
        raw(tmp_path, "DROP TRIGGER rows_update")
        raw(tmp_path, "UPDATE rows SET facts = ? WHERE kind = 'stopped'", '{"reason":"y"}')
        assert stop.mode is Mode.STOPPED
        with pytest.raises(Damaged, match="row 4: changed"):
            journal.state()
        with pytest.raises(Damaged, match="row 4: changed"):
            write(journal, 3)


def test_threads_of_one_process_write_one_chain(tmp_path):
    with made(tmp_path) as journal:
        with ThreadPoolExecutor(4) as pool:
            written = list(pool.map(lambda number: write(journal, number, -number), range(1, 61)))
        assert all(one.accepted for one in written)
        assert sorted(row for one in written for row in one.rows) == sorted(logged(tmp_path))
    log = logged(tmp_path)
    for number, one in enumerate(written, start=1):
        assert [log[row] for row in one.rows] == [number, -number]
    assert faults(tmp_path) == []


def test_a_process_that_was_forked_opens_its_own(tmp_path):
    with made(tmp_path) as journal:
        child = os.fork()
        if child == 0:
            try:
                write(journal, 1)
            except Unavailable:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert write(journal, 2).accepted
    with pytest.raises(Unavailable, match="is closed"):
        write(journal, 3)


def test_the_tables_take_no_update_and_no_deletion(tmp_path):
    made(tmp_path).close()
    for statement in (
        "UPDATE rows SET client = 'x'",
        "DELETE FROM rows",
        "UPDATE heads SET number = 2",
        "DELETE FROM heads",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw(tmp_path, statement)


def test_a_commit_waits_for_the_disk(tmp_path):
    """No kill shows it, only a power cut: so it is asked of SQLite."""
    with made(tmp_path, quick=False) as journal:
        asked = {
            name: journal._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "secure_delete")
        }
    assert asked == {"synchronous": 2, "journal_mode": "truncate", "secure_delete": 1}


def test_only_the_errors_of_the_system_are_taken_for_it(tmp_path):
    with made(tmp_path) as journal, pytest.raises(ZeroDivisionError):
        journal.decide(lambda state: 1 // 0, client=OPERATOR, now=NOW)
    assert faults(tmp_path) == []


# ---- killed ----


@pytest.mark.slow
def test_what_was_committed_is_there_whenever_a_writer_was_killed(tmp_path):
    said = killed(tmp_path, moments=int(os.environ.get("KILLS", "20")), seed=7)
    log = logged(tmp_path)
    assert len(said) > 100
    assert [(row, number) for row, number in said if log.get(row) != number] == []
    assert faults(tmp_path) == []
    with opened(tmp_path) as journal:
        assert write(journal, 1).accepted
        journal.close(NOW)
    assert faults(tmp_path) == []
