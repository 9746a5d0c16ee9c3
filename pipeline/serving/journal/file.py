"""The log's file as one process holds it open: connection, transactions, the file of heads."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.files import BadInput
from pipeline.serving.journal import tables
from pipeline.serving.journal.entries import stamp
from pipeline.serving.journal.errors import Damaged, Unavailable
from pipeline.serving.journal.heads import Head, append_heads, read_heads
from pipeline.serving.journal.reading import Opened
from pipeline.serving.journal.tail import NO_ROW, Tail


class File(Opened):
    """Open for writing in one process, by any of its threads."""

    def __init__(
        self,
        path: Path,
        *,
        signer: Ed25519PrivateKey | None,
        heads: Path | None,
        every: int,
        patience: float,
    ) -> None:
        """Opens nothing yet; arguments as of `Journal.open`."""
        if every < 1:
            raise BadInput(f"every {every}: a head comes after one row at least")
        self.path, self._signer, self._heads = path, signer, heads
        self._every, self._patience = every, patience
        self._lock, self._process = threading.RLock(), os.getpid()
        self._seen = NO_ROW  # the last row that this process knows of
        self._behind = False  # the file of heads lacks one
        self._waited = False  # for another process, the last time
        self._identity = (0, 0)
        self._connection: sqlite3.Connection | None = None

    # ---- opening and closing ----

    def _connect(self) -> sqlite3.Connection:
        self._identity = tables.identity(self.path)
        if not os.access(self.path, os.W_OK):
            raise Unavailable(f"{self.path}: is read-only")
        connection = tables.connect(self.path, "rw")
        self._connection = connection
        tables.patiently(lambda: tables.prepare(connection), self._patience)
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _check_heads(self) -> None:
        """Holds the rows against the last head of the table, and of the file."""
        connection = self._usable()
        # The file first: others may write meanwhile, and it never runs ahead of the rows.
        lying = read_heads(self._heads) if self._heads is not None else []
        with tables.one_moment(connection):
            tail = Tail.of(connection)
            last = tail.head
            if lying and (last is None or lying[-1].number > last.number):
                raise Damaged(f"{self.path}: ends before the last head of {self._heads}")
            for head in [*lying[-1:], *([last] if last else [])]:
                tail.holds(head.sequence, head.own)
        number = lying[-1].number if lying else 0
        self._behind = self._heads is not None and number < (last.number if last else 0)
        self._seen = tail.row

    def close(self, now: datetime | None = None) -> None:
        """Signs a last head, where a time is given, and closes.

        Raises:
            Unavailable: the head cannot be written; it is closed all the same.
        """
        with self._lock:
            try:
                if now is not None and self._connection is not None:
                    self.checkpoint(now)
            finally:
                if self._process == os.getpid():
                    self._disconnect()
                self._connection = None

    # ---- one transaction ----

    def _usable(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            raise Unavailable(f"{self.path}: was opened in another process; open it in this one")
        if self._connection is None:
            raise Unavailable(f"{self.path}: is closed")
        if tables.identity(self.path) != self._identity:
            raise Damaged(f"{self.path}: another file lies there than was opened")
        return self._connection

    @contextmanager
    def _transaction(self, now: datetime, first: bool = False) -> Iterator[Tail]:
        """All or nothing: what was appended stands on the disk when the block has ended well.

        Args:
            now: the time of a head, should one be due.
            first: the log is being made.
        """
        with self._lock, tables.clear(self.path):
            connection = self._usable()
            if self._behind:
                self._publish(connection)
            self._begin(connection)
            try:
                tail = Tail(connection) if first else Tail.of(connection)
                if self._seen.sequence:
                    tail.holds(self._seen.sequence, self._seen.own)
                yield tail
                if self._signer is not None and tail.due(self._every):
                    tail.sign(self._signer, stamp(now))
                tables.patiently(lambda: connection.execute("COMMIT"), self._patience)
            except BaseException:
                self._undo(connection)
                raise
            self._seen = tail.row
            if tail.signed and self._heads is not None:
                self._behind = True
                try:
                    self._publish(connection)
                except Unavailable as error:
                    raise Unavailable(f"{error}; the rows are written") from None

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begins; where others wait as well, they look twice before this process writes again."""
        if self._waited:
            time.sleep(2 * tables.PAUSE)
        before = time.monotonic()
        tables.patiently(lambda: connection.execute("BEGIN IMMEDIATE"), self._patience)
        self._waited = time.monotonic() - before > tables.PAUSE

    def _undo(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:  # a new connection undoes it, or says that it cannot
            self._disconnect()
            with suppress(sqlite3.Error, OSError, Unavailable):
                self._connect()

    def _publish(self, connection: sqlite3.Connection) -> None:
        assert self._heads is not None

        def later(number: int) -> list[Head]:
            query = f"{tables.HEADS} WHERE number > ? ORDER BY number"
            found = tables.patiently(
                lambda: connection.execute(query, (number,)).fetchall(), self._patience
            )
            return [Head(*one) for one in found]

        append_heads(self._heads, later)
        self._behind = False

    def checkpoint(self, now: datetime) -> None:
        """Signs a head of all rows, unless the last head is one, or this process has no key.

        Raises:
            Unavailable: it cannot be written.
        """
        with self._transaction(now) as tail:
            tail.urgent = True

    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, tables.clear(self.path):
            connection = self._usable()
            return tables.patiently(
                lambda: connection.execute(query, values).fetchall(), self._patience
            )
