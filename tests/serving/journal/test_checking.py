"""Every planted fault is found, and the first row of it named; an intact log has none."""

import itertools
import json
import random
import shutil
import sqlite3
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from journals import (
    LAB,
    NOW,
    OPERATOR,
    SIGNER,
    TRUSTED,
    WARD,
    after,
    answered,
    faults,
    made,
    opened,
    places,
)
from pipeline.serving.journal import Limits, Reader, verify
from pipeline.serving.journal.entries import FIELDS, Row
from pipeline.serving.journal.heads import Head, read_heads
from pipeline.serving.journal.tables import HEADS, INSERT, ROWS, SCHEMA
from pipeline.serving.keys import Client, Role, issue
from pipeline.serving.switch import confirm, propose, stop

ANNA, BERT = Client("anna", Role.ADMINISTRATOR), Client("bert", Role.ADMINISTRATOR)
TRIGGERS = [statement for statement in SCHEMA if statement.startswith("CREATE TRIGGER")]
FORGER = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A small log with everything in it: rows of all sorts, heads, keys, data keys, counts."""
    folder = tmp_path_factory.mktemp("pristine")
    with made(folder, every=4) as journal:
        key, _ = issue("ward", Role.CLINICIAN, now=NOW, expires=after(days=9))
        journal.store([key], by=OPERATOR, now=NOW)
        for number in range(5):
            journal.write([answered(number)], client=WARD, now=NOW)
        journal.write([answered(9)] * 2, client=LAB, limits=Limits(None, 0, None), now=NOW)
        stop(journal, by=ANNA, reason="odd", now=NOW)
        propose(journal, by=ANNA, reason="looked at", now=NOW)
        confirm(journal, by=BERT, now=NOW)
        journal.expire(days=0, by=OPERATOR, now=after(days=1))
        journal.write([answered(6), answered(7)], client=LAB, now=after(days=1))
        journal.close(after(days=1))
    assert faults(folder) == []
    return folder


@pytest.fixture
def log(pristine, tmp_path):
    """A copy of it that may be damaged."""
    for path in places(pristine):
        shutil.copy(path, tmp_path)
    return tmp_path


def damaged(folder, *statements):
    """Runs (SQL, values) on a log as somebody who may write the file; the triggers stay as ever."""
    connection = sqlite3.connect(places(folder)[0], isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    for name in ("rows_update", "rows_delete", "heads_update", "heads_delete"):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("BEGIN")
    for statement, *values in statements:
        connection.execute(statement, values)
    connection.execute("COMMIT")
    for statement in TRIGGERS:
        connection.execute(statement)
    connection.close()


def read(folder, statement=f"{ROWS} ORDER BY sequence"):
    connection = sqlite3.connect(places(folder)[0])
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def rows_of(folder):
    return [Row(*one) for one in read(folder)]


def checked(folder, *statements):
    """What is found of the damage; it is undone after."""
    before = places(folder)[0].read_bytes()
    damaged(folder, *statements)
    found = faults(folder)
    places(folder)[0].write_bytes(before)
    return found


def written_anew(rows):
    """The chain of these rows as a forger makes it, who knows how but has no key."""
    done, previous = [], bytes(32)
    for number, row in enumerate(rows, start=1):
        done.append(replace(row, sequence=number, previous=previous).chained())
        previous = done[-1].own
    return done


def exchanged(rows):
    """SQL that puts these rows in the place of all."""
    return [("DELETE FROM rows",), *((INSERT, *row.values) for row in rows)]


# ---- rows ----


def other_values(value):
    """Values near one: each byte or digit of it changed, shortened, of another type, gone."""
    if isinstance(value, int):
        return []
    if value is None:
        return [b"", "x"]
    flipped = (
        value[:place]
        + (bytes([value[place] ^ 1]) if isinstance(value, bytes) else "~")
        + value[place + 1 :]
        for place in range(len(value))
    )
    swapped = value.hex() if isinstance(value, bytes) else value.encode()
    return [*flipped, value[:-1], value + value[:1], swapped]


@pytest.mark.parametrize("sequence", [1, 2, 4, 10, 12, 16])
def test_every_change_of_every_value_of_a_row_is_found(log, sequence):
    """Each byte alone; the file is written once, and the reader is asked of each row."""
    from pipeline.serving.journal.checking import _chain

    rows = rows_of(log)

    class Instead:
        def __init__(self, changed):
            self.changed = changed

        def rows(self, after):
            return iter(self.changed)

    assert all(not wrong for _, wrong in _chain(Instead(rows), len(rows)))
    place, tried = sequence - 1, 0
    for name in FIELDS[1:]:
        for value in other_values(getattr(rows[place], name)):
            if value == getattr(rows[place], name):
                continue
            changed = [*rows[:place], replace(rows[place], **{name: value}), *rows[place + 1 :]]
            found = [str(one) for _, wrong in _chain(Instead(changed), len(rows)) for one in wrong]
            assert found[0] == f"row {sequence}: changed since it was written", (name, value)
            tried += 1
    assert tried > 150


def test_a_changed_value_in_the_file_is_found(log):
    for name in FIELDS[1:]:
        value = b"x" if name in ("sealed", "previous", "own") else "x"
        found = checked(log, (f"UPDATE rows SET {name} = ? WHERE sequence = 6", value))
        assert found[0] == "row 6: changed since it was written", name


def test_every_missing_row_is_found(log):
    rows = rows_of(log)
    for row in rows:
        found = checked(log, ("DELETE FROM rows WHERE sequence = ?", row.sequence))
        first = found[0]
        if row.sequence < len(rows):
            assert first == f"row {row.sequence}: missing"
        else:
            assert first.startswith(f"row {row.sequence}: cut off: head")
    found = checked(log, ("DELETE FROM rows WHERE sequence BETWEEN 5 AND 7",))
    assert found[0] == "row 5: missing to 7"


def test_every_two_exchanged_rows_are_found(log):
    rows = rows_of(log)
    for one, two in itertools.combinations(range(len(rows)), 2):
        if (one + two) % 3:  # a third of the pairs is enough
            continue
        changed = list(rows)
        changed[one] = replace(rows[two], sequence=rows[one].sequence)
        changed[two] = replace(rows[one], sequence=rows[two].sequence)
        found = checked(log, *exchanged(changed))
        assert found[0] == f"row {one + 1}: changed since it was written"


@pytest.mark.parametrize("place", [1, 5, 15])
def test_a_row_that_was_slipped_in_is_found(log, place):
    rows = rows_of(log)
    doubled = [*rows[: place + 1], *rows[place:]]
    as_is = [replace(row, sequence=number) for number, row in enumerate(doubled, start=1)]
    assert checked(log, *exchanged(as_is))[0] == f"row {place + 2}: changed since it was written"
    alone = replace(rows[place], sequence=place + 2, previous=rows[place].own).chained()
    later = [replace(row, sequence=row.sequence + 1) for row in rows[place + 1 :]]
    found = checked(log, *exchanged([*rows[: place + 1], alone, *later]))
    if later:
        assert found[0] == f"row {place + 3}: changed since it was written"
    else:  # nothing chains to it, and no head is of it: but nobody counted it
        assert found == [
            "client 'lab': 2 counted (day 2026-03-02), 3 in the rows",
            "client 'lab': 2 counted (ever), 3 in the rows",
        ]


def test_rows_with_numbers_that_no_log_has_are_found(log):
    row = replace(rows_of(log)[4], sequence=-5, previous=bytes(32)).chained()
    assert checked(log, (INSERT, *row.values))[0] == "row -5: no row of a log has this number"


def test_a_chain_that_was_made_anew_is_found_by_its_heads(log):
    rows = rows_of(log)
    heads = [head.sequence for head in read_heads(places(log)[1])]
    for place in range(2, len(rows)):
        changed = list(rows)
        changed[place] = replace(rows[place], client="other", policy="other")
        found = checked(log, *exchanged(written_anew(changed)))
        head = min(sequence for sequence in heads if sequence > place)
        good = max(sequence for sequence in heads if sequence <= place)
        assert found[0].startswith(f"row {good + 1}: up to row {head} these are not the rows"), (
            place
        )


def test_a_row_that_was_made_anew_alone_is_found(log):
    rows = rows_of(log)
    for place in range(len(rows) - 1):
        anew = replace(rows[place], policy="other").chained()
        found = checked(log, *exchanged([*rows[:place], anew, *rows[place + 1 :]]))
        assert found[0] == (
            f"row {place + 1}: written anew, or row {place + 2} was: that one does not follow it"
        )


def test_another_log_in_its_place_is_found(log, tmp_path):
    rows = rows_of(log)
    facts = json.dumps({"random": "0" * 32})
    found = checked(log, *exchanged(written_anew([replace(rows[0], facts=facts), *rows[1:]])))
    assert any("head 1: not signed for this log" in line for line in found)


# ---- the end ----


def test_every_cut_before_the_last_head_is_found(log):
    rows = rows_of(log)
    kept = read(log, HEADS)
    for last in range(1, len(rows)):
        heads = [head for head in kept if head[1] <= last]  # whoever cuts takes the heads along
        found = checked(
            log,
            ("DELETE FROM rows WHERE sequence > ?", last),
            ("DELETE FROM heads WHERE sequence > ?", last),
        )
        assert found[0].startswith(f"row {last + 1}: cut off: head of the file {len(heads) + 1}")


def test_what_is_cut_off_after_the_last_head_is_not_found(tmp_path):
    """The limit of it: said in docs/journal.md."""
    with made(tmp_path, every=1000) as journal:
        journal.write([answered(1)], client=WARD, now=NOW)
        journal.checkpoint(NOW)
        journal.write([answered(2)], client=LAB, now=NOW)
    damaged(
        tmp_path,
        ("DELETE FROM rows WHERE sequence > 3",),
        ("DELETE FROM spent WHERE client = 'lab'",),
    )
    assert faults(tmp_path) == []


def test_a_cut_that_takes_all_heads_along_is_found_only_by_the_file(log):
    rows = rows_of(log)
    damaged(
        log, ("DELETE FROM rows WHERE sequence > 9",), ("DELETE FROM heads WHERE sequence > 9",)
    )
    assert len(rows) > 9
    assert not any("head" in line for line in faults(log, heads=None))
    assert any("head of the file" in line for line in faults(log))


# ---- heads ----


def test_heads_that_were_forged_changed_or_taken_away_are_found(log):
    kept = [Head(*one) for one in read(log, HEADS)]
    first = rows_of(log)[0].own
    one = kept[2]
    forged = replace(one, time="2026").signed(first, FORGER)
    elsewhere = one.signed(b"\x01" * 32, SIGNER)
    for other in (forged, elsewhere, replace(one, sequence=one.sequence - 1)):
        found = checked(
            log,
            ("DELETE FROM heads WHERE number = 3",),
            ("INSERT INTO heads VALUES (?, ?, ?, ?, ?)", *other.values),
        )
        assert "head 3: not signed for this log by a key that is trusted" in found
        assert "head 3 of the file: the log has no such head" in found
    assert "the log lacks head 3" in checked(log, ("DELETE FROM heads WHERE number = 3",))
    for name in ("number", "sequence", "own", "time", "signature"):
        value = b"x" if name in ("own", "signature") else "77"
        assert checked(log, (f"UPDATE heads SET {name} = ? WHERE number = 2", value)), name
    gone = checked(log, ("DELETE FROM heads",))
    assert "head 1 of the file: the log has no such head" in gone


def test_a_wrong_key_is_found(log):
    wrong = [str(one) for one in verify(places(log)[0], [FORGER.public_key()])]
    heads = len(read(log, HEADS))
    expected = [
        f"head {number}: not signed for this log by a key that is trusted"
        for number in range(1, heads + 1)
    ]
    assert wrong == expected
    assert verify(places(log)[0], [FORGER.public_key(), *TRUSTED]) == []


def test_a_damaged_file_of_heads_is_found(log):
    path = places(log)[1]
    lines = path.read_text().splitlines(keepends=True)
    for place in range(len(lines)):
        path.write_text("".join(lines[:place] + lines[place + 1 :]))
        last = place == len(lines) - 1
        wanted = [] if last else [f"the file of heads lacks head {place + 1}"]
        assert faults(log) == wanted  # a service that died before it wrote there lacks its last
    path.write_text("".join(lines).replace("2026", "2027", 1))
    assert any("head of the file 1: not signed" in line for line in faults(log))
    path.write_text("".join(lines) + "nonsense\n")
    assert faults(log) == [f"{path}: line {len(lines) + 1} is no head"]
    path.unlink()
    assert faults(log) == [f"{path}: heads cannot be read (No such file or directory)"]


def test_without_any_head_it_is_said_that_nothing_is_proved(tmp_path):
    with made(tmp_path, signer=None):
        pass
    damaged(tmp_path, ("DELETE FROM heads",))
    assert faults(tmp_path, heads=None) == [
        "no head is signed: all rows may have been written anew"
    ]


# ---- what stands beside the rows ----


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("UPDATE spent SET count = 1 WHERE client = 'ward' AND span = 'ever'", "'ward': 1 counted"),
        ("DELETE FROM spent WHERE client = 'ward' AND span = 'day'", "'ward': 0 counted (day"),
        ("INSERT INTO spent VALUES ('x', 'ever', '', 3)", "'x': 3 counted (ever), 0 in the rows"),
        ("UPDATE keys SET role = 'administrator'", "is another than its row says"),
        ("UPDATE keys SET expires = '2099'", "is another than its row says"),
        ("UPDATE keys SET digest = x'00'", "is another than its row says"),
        ("DELETE FROM keys", "is gone, and no row says so"),
        (
            "INSERT INTO keys SELECT 'ff', client, 'administrator', digest, issued, expires, "
            "revoked FROM keys",
            "API key ff: no row says where it is from",
        ),
        ("DELETE FROM blocks", "is gone, and no row says so"),
        ("UPDATE blocks SET wrapped = x'00'", "is another than its row says"),
        ("INSERT INTO blocks VALUES ('ff', 'a', 'b', x'00')", "data key ff: no row says where"),
    ],
)
def test_what_was_changed_beside_the_rows_is_found(log, planted, said):
    found = checked(log, (planted,))
    assert any(said in line for line in found), found


@pytest.mark.parametrize(
    "planted",
    [
        "DROP TRIGGER rows_update",
        "CREATE TRIGGER away AFTER INSERT ON rows BEGIN DELETE FROM spent; END",
        "CREATE VIEW more AS SELECT * FROM rows",
        "DROP INDEX switches",
        "PRAGMA user_version = 2",
    ],
)
def test_other_tables_than_those_of_a_log_are_found(log, planted):
    connection = sqlite3.connect(places(log)[0], isolation_level=None)
    connection.execute(planted)
    connection.close()
    (found,) = faults(log)
    assert "somebody changed them" in found or "no log of this version" in found


def test_a_stop_that_an_index_hides_is_found(log):
    """The service reads the switch by an index: here it was made anew without the stops."""
    with opened(log) as journal:
        stop(journal, by=ANNA, reason="odd", now=after(days=1))
    (index,) = (statement for statement in SCHEMA if "INDEX switches" in statement)
    connection = sqlite3.connect(places(log)[0], isolation_level=None)
    connection.execute("DROP INDEX switches")
    connection.execute(index.replace("'stopped', ", ""))
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'switches'", [index])
    connection.close()
    assert faults(log) == ["the switch: another state is read off its rows than they say in order"]


def signed_anew(folder, rows):
    """Rows as somebody writes them who holds file and key: the chain and the heads are right."""
    rows = written_anew(rows)
    head = Head(1, len(rows), rows[-1].own, "now").signed(rows[0].own, SIGNER)
    damaged(
        folder,
        *exchanged(rows),
        ("DELETE FROM heads",),
        ("INSERT INTO heads VALUES (?, ?, ?, ?, ?)", *head.values),
    )
    return faults(folder, heads=None)


def test_what_the_service_never_writes_is_found_though_the_chain_holds(log):
    rows = rows_of(log)
    assert signed_anew(log, rows) == []
    kinds = [row.kind for row in rows]
    stopped, started = kinds.index("stopped"), kinds.index("started")
    answer = rows[kinds.index("answered")]
    late = [*rows[: stopped + 1], answer, *rows[stopped + 1 :]]
    assert f"row {stopped + 2}: answered while the guard was at `stopped`" in signed_anew(log, late)
    for change in ({"client": "anna"}, {"role": "clinician"}, {"facts": '{"reason":"x"}'}):
        alone = [*rows[:started], replace(rows[started], **change), *rows[started + 1 :]]
        said = f"row {started + 1}: started again without two administrators"
        assert said in signed_anew(log, alone), change
    block = [replace(row, block="ff" * 16) for row in rows if row.kind != "created"]
    assert any(
        "under a data key that no row" in line for line in signed_anew(log, rows[:1] + block)
    )
    twice = [rows[0], rows[0], *rows[1:]]
    assert any("of the kind `created`" in line for line in signed_anew(log, twice))


# ---- the file ----


def test_many_faults_are_some_lines_and_how_many_more(tmp_path):
    with made(tmp_path, every=1000) as journal:
        journal.write([answered(number) for number in range(50)], client=WARD, now=NOW)
        journal.checkpoint(NOW)
    found = checked(tmp_path, ("UPDATE rows SET policy = 'x' WHERE kind = 'answered'",))
    assert found[0] == "row 3: changed since it was written"
    assert "and 30 more such lines" in found


def test_a_log_that_is_written_meanwhile_has_no_fault(tmp_path):
    with made(tmp_path, every=3) as journal, Reader.open(journal.path) as reader:
        journal.write([answered(number) for number in range(9)], client=WARD, now=NOW)
        from pipeline.serving.journal.checking import _verified

        taken = reader.snapshot

        def snapshot():
            beside = taken()
            journal.write([answered(number) for number in range(9)], client=WARD, now=NOW)
            return beside

        reader.snapshot = snapshot
        assert _verified(reader, TRUSTED, places(tmp_path)[1]) == []


def contents(folder):
    """All that a reader sees of a log; None = nothing."""
    try:
        with Reader.open(places(folder)[0]) as reader:
            return list(reader.rows(after=-(2**63))), reader.snapshot()
    except Exception:
        return None


@pytest.mark.slow
def test_every_damaged_byte_of_the_file_is_found_or_changes_nothing(log):
    """Random bytes of the whole file, the parts that SQLite keeps for itself included."""
    path = places(log)[0]
    whole, draw = path.read_bytes(), random.Random(5)
    before, found = contents(log), 0
    for place in draw.sample(range(len(whole)), 800):
        other = whole[place] ^ (1 << draw.randrange(8))
        path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
        if faults(log):
            found += 1
        else:
            assert contents(log) == before, place
    assert found > 100


@pytest.mark.slow
def test_every_cut_of_the_file_is_found(log):
    path = places(log)[0]
    whole = path.read_bytes()
    for size in range(0, len(whole), 509):
        path.write_bytes(whole[:size])
        assert faults(log), size
