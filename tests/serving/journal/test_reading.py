"""Rows by time, client and kind; and a log that its writer left in the middle of something."""

import os
import shutil

import pytest

from journals import LAB, NOW, WARD, after, answered, faults, logged, made, opened, places
from pipeline.serving.journal import Entry, Kind, Reader, Unavailable, answer_of, facts_of
from pipeline.serving.journal.tables import CHUNK


def test_rows_are_chosen_by_time_client_and_kind(tmp_path):
    with made(tmp_path) as journal:
        for minute, client in enumerate((WARD, LAB, WARD, LAB)):
            now = after(minutes=minute)
            journal.write([answered(minute), answered(10 + minute)], client=client, now=now)
            journal.write([Entry(Kind.LABEL, facts={"number": -minute})], client=client, now=now)

        def numbers(**chosen):
            rows = journal.rows(kinds=[Kind.ANSWERED, Kind.LABEL], **chosen)
            return [facts_of(row)["number"] for row in rows]

        assert numbers() == [0, 10, 0, 1, 11, -1, 2, 12, -2, 3, 13, -3]
        assert numbers(since=after(minutes=1), until=after(minutes=3)) == [1, 11, -1, 2, 12, -2]
        assert numbers(client="lab") == [1, 11, -1, 3, 13, -3]
        assert numbers(client="lab", since=after(minutes=2)) == [3, 13, -3]
        assert numbers(after=next(iter(journal.rows(client="lab"))).sequence) == numbers()[4:]
        assert [facts_of(row)["number"] for row in journal.rows(kinds=[Kind.LABEL])] == [
            0,
            -1,
            -2,
            -3,
        ]
        assert answer_of(next(iter(journal.rows(client="lab")))) == {"diagnosis": 1}


def test_more_rows_than_are_read_at_once_come_whole_and_in_order(tmp_path):
    with made(tmp_path) as journal:
        for first in range(0, 2 * CHUNK, 50):
            journal.write([answered(first + one) for one in range(50)], client=WARD, now=NOW)
    assert list(logged(tmp_path).values()) == list(range(2 * CHUNK))


def test_a_reader_holds_nobody_up(tmp_path):
    with made(tmp_path, patience=0.0) as journal, Reader.open(journal.path) as reader:
        for number in range(CHUNK + 50):
            journal.write([Entry(Kind.NOTE, facts={"number": number})], client=WARD, now=NOW)
            if number == CHUNK + 10:
                rows = reader.rows()
                next(rows)
        assert len(list(rows)) == CHUNK + 50


def hot(folder, other):
    """A copy of a log in the middle of a transaction, as a killed writer leaves it."""
    with opened(folder) as journal:
        connection = journal._connection
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        fill = "INSERT INTO spent VALUES (?, 'ever', ?, 1)"
        connection.executemany(fill, [("x" * 500, str(number)) for number in range(200)])
        for path in (*places(folder), folder / "guard.sqlite-journal"):
            shutil.copy(path, other)
        connection.execute("ROLLBACK")
    assert (other / "guard.sqlite-journal").stat().st_size > 1000
    assert (other / "guard.sqlite").stat().st_size > (folder / "guard.sqlite").stat().st_size


def test_what_a_killed_writer_left_half_written_is_undone(tmp_path):
    whole, left = tmp_path / "whole", tmp_path / "left"
    whole.mkdir()
    left.mkdir()
    with made(whole) as journal:
        journal.write([answered(1)], client=WARD, now=NOW)
    hot(whole, left)
    assert faults(left) == []
    assert logged(left) == logged(whole)
    hot(whole, left)
    with opened(left) as journal:
        assert journal.write([answered(2)], client=WARD, now=NOW).accepted
    assert faults(left) == []


def test_where_nothing_lies_nothing_is_made(tmp_path):
    with pytest.raises(Unavailable, match="unable to open"):
        Reader.open(tmp_path / "none")
    assert os.listdir(tmp_path) == []
