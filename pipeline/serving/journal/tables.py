"""The SQLite file: its tables, and how several processes share it.

It keeps a rollback journal (TRUNCATE, synchronous=FULL) and no write-ahead log: SQLite before
3.51.3 can damage a file in WAL mode when several processes write and checkpoint at once, which is
what workers do (https://sqlite.org/wal.html#walresetbug). It costs half a millisecond a commit.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pipeline.serving.journal.entries import FIELDS
from pipeline.serving.journal.errors import Damaged, Unavailable

T = TypeVar("T")

APPLICATION, VERSION = 0x6D73_6A6C, 1  # of the file: "msjl"
PAUSE = 0.0005  # seconds between two tries; SQLite's own waits grow to 100 ms
CHUNK = 500  # rows read at once: a reader holds up the writers for no longer

SWITCHING = "kind IN ('stopped', 'refer all', 'started', 'proposed')"  # see entries.Kind
SCHEMA = (
    """CREATE TABLE rows (
    sequence INTEGER PRIMARY KEY, time TEXT NOT NULL, client TEXT NOT NULL, role TEXT NOT NULL,
    key TEXT NOT NULL, endpoint TEXT NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL,
    policy TEXT NOT NULL, answer TEXT NOT NULL, facts TEXT NOT NULL, block TEXT NOT NULL,
    sealed BLOB, previous BLOB NOT NULL, own BLOB NOT NULL)""",
    f"CREATE INDEX switches ON rows (sequence) WHERE {SWITCHING}",
    "CREATE TABLE numbers (id TEXT NOT NULL, row INTEGER PRIMARY KEY)",
    "CREATE INDEX numbered ON numbers (id)",
    """CREATE TABLE heads (
    number INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, own BLOB NOT NULL,
    time TEXT NOT NULL, signature BLOB NOT NULL)""",
    """CREATE TABLE blocks (
    id TEXT NOT NULL, auditor TEXT NOT NULL, day TEXT NOT NULL, wrapped BLOB NOT NULL,
    PRIMARY KEY (id, auditor)) WITHOUT ROWID""",
    """CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY, client TEXT NOT NULL, role TEXT NOT NULL, digest BLOB NOT NULL,
    issued TEXT NOT NULL, expires TEXT NOT NULL, revoked TEXT) WITHOUT ROWID""",
    """CREATE TABLE spent (
    client TEXT NOT NULL, span TEXT NOT NULL, start TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (client, span, start)) WITHOUT ROWID""",
    "CREATE TABLE kept (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # against a slip; whoever may write the file may drop them, and `verify` then says so
    *(
        f"CREATE TRIGGER {table}_{what.lower()} BEFORE {what} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"
        for table in ("rows", "heads")
        for what in ("UPDATE", "DELETE")
    ),
)
ROWS = f"SELECT {', '.join(FIELDS)} FROM rows"
HEADS = "SELECT number, sequence, own, time, signature FROM heads"
INSERT = f"INSERT INTO rows ({', '.join(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))})"


def number(connection: sqlite3.Connection, first: int, names: Sequence[Any]) -> None:
    """Under which names rows are found again, from a sequence number on; None = under none."""
    numbers = [(name, first + place) for place, name in enumerate(names) if name is not None]
    connection.executemany("INSERT INTO numbers VALUES (?, ?)", numbers)


def kept(connection: sqlite3.Connection) -> str | None:
    """What goes on over all rows, as it was kept last; None = nothing yet."""
    found = connection.execute("SELECT value FROM kept WHERE name = 'fold'").fetchone()
    return None if found is None else str(found[0])


def keep(connection: sqlite3.Connection, value: str) -> None:
    """Keeps it, inside the caller's transaction."""
    connection.execute("INSERT OR REPLACE INTO kept VALUES ('fold', ?)", (value,))


def _lenient(text: bytes) -> str:
    """Text as it lies there, also where it is damaged: its hash then says so."""
    return text.decode("utf-8", "surrogateescape")


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Opens the file: `ro`, `rw` or `rwc`, as SQLite calls it.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=0,
        isolation_level=None,  # transactions begin and end where the code says so
        check_same_thread=False,  # the journal has a lock of its own
    )
    connection.text_factory = _lenient
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """What every writing connection is told."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")  # destroyed keys are overwritten
    connection.execute("PRAGMA trusted_schema = OFF")
    ((mode,),) = connection.execute("PRAGMA journal_mode = TRUNCATE").fetchall()
    if mode != "truncate":
        raise sqlite3.OperationalError(f"the journal mode stays {mode}")


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables, inside the caller's transaction."""
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for statement in SCHEMA:
        connection.execute(statement)


def schema_of(connection: sqlite3.Connection) -> frozenset[tuple[Any, ...]]:
    """Everything that the file declares."""
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def wanted_schema() -> frozenset[tuple[Any, ...]]:
    """What a log declares."""
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        create(fresh)
        return schema_of(fresh)
    finally:
        fresh.close()


def check_file(connection: sqlite3.Connection, path: Path) -> None:
    """Refuses a file that is no log of this version.

    Raises:
        Damaged: a line that says what it is.
        sqlite3.Error: it cannot be read.
    """
    ((application,),) = connection.execute("PRAGMA application_id").fetchall()
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if (application, version) != (APPLICATION, VERSION):
        raise Damaged(f"{path}: no log of this version of the guard")
    if schema_of(connection) != wanted_schema():
        raise Damaged(f"{path}: its tables are not those of a log: somebody changed them")


def busy(error: sqlite3.Error) -> bool:
    """Whether another process has the file just now."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def patiently(run: Callable[[], T], patience: float) -> T:
    """Runs what may find the file busy, again and again, for so many seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            return run()
        except sqlite3.OperationalError as error:
            if not busy(error) or time.monotonic() >= until:
                raise
            time.sleep(PAUSE)


@contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Inside, all queries see the file as it was at the first of them, whoever writes meanwhile.

    Without it each query sees the file as it then is, and two of them may not fit together.
    """
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # SQLite itself ends it where the disk fails
            connection.execute("ROLLBACK")


@contextmanager
def clear(path: Path) -> Iterator[None]:
    """Says what SQLite or the system says of the file in one line.

    Raises:
        Unavailable: it cannot be read or written.
        Damaged: it is no database, or a broken one.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        broken = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        raise (Damaged if broken else Unavailable)(f"{path}: {error}") from None
    except UnicodeDecodeError:  # in a name of the schema, or in what SQLite says of it
        raise Damaged(f"{path}: database disk image is malformed") from None
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror or error}") from None


def read_only(path: Path, patience: float) -> sqlite3.Connection:
    """Opens the file for reading.

    What a dead writer left half-written is undone first, as at every opening for writing.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = connect(path, "ro")
    try:
        patiently(lambda: connection.execute("SELECT count(*) FROM sqlite_master"), patience)
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        recovering = connect(path, "rw")
        with suppress(sqlite3.Error):
            patiently(lambda: recovering.execute("SELECT count(*) FROM sqlite_master"), patience)
        recovering.close()
        connection = connect(path, "ro")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def identity(path: Path) -> tuple[int, int]:
    """Which file it is, whatever its name."""
    found = os.stat(path)
    return found.st_dev, found.st_ino
