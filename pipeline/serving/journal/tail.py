"""The end of the log inside one transaction: what is appended chains to it."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.serving.journal.entries import START, Entry, Row, canonical, stamp
from pipeline.serving.journal.errors import Damaged
from pipeline.serving.journal.heads import Head
from pipeline.serving.journal.sealing import HASHES, Auditors, Block, Hashes
from pipeline.serving.journal.tables import HEADS, INSERT, ROWS
from pipeline.serving.keys import Client


class Tail:
    """The last row and the last head, as they are and as they become.

    Attributes:
        connection: in a transaction of the caller's.
        row: the last row; that of a log without rows has the number 0.
        head: the last head; None = there is none.
        urgent: a head is signed at the end, however few rows were written.
        signed: a head was.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Of a log without rows; `of` reads one that has some."""
        self.connection = connection
        self.row = NO_ROW
        self.head: Head | None = None
        self.urgent = self.signed = False

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> Self:
        """Reads the last row and the last head.

        Raises:
            Damaged: there is no row, the last one was changed, or the head is of a later one.
            sqlite3.Error: it cannot be read.
        """
        tail = cls(connection)
        last = connection.execute(f"{ROWS} ORDER BY sequence DESC LIMIT 1").fetchone()
        if last is None:
            raise Damaged("the log has no rows")
        tail.row = Row(*last)
        if tail.row.hashed != tail.row.own:
            raise Damaged(f"row {tail.row.sequence}: changed since it was written")
        head = connection.execute(f"{HEADS} ORDER BY number DESC LIMIT 1").fetchone()
        if head is not None:
            tail.head = Head(*head)
            if tail.head.sequence > tail.row.sequence:
                raise Damaged(
                    f"the log ends with row {tail.row.sequence}, and head {tail.head.number} was "
                    f"signed after row {tail.head.sequence}"
                )
        return tail

    def holds(self, sequence: int, own: bytes) -> None:
        """Refuses a log in which a row is another than it was.

        Raises:
            Damaged: it is missing, or has another hash.
        """
        found = self.connection.execute(
            "SELECT own FROM rows WHERE sequence = ?", (sequence,)
        ).fetchone()
        if found is None or found[0] != own:
            raise Damaged(f"row {sequence}: is missing, or another than it was")

    def append(
        self,
        entries: Sequence[Entry],
        client: Client,
        now: datetime,
        seal: Auditors | Block | Hashes | None = None,
    ) -> range:
        """Adds a row an entry.

        Args:
            entries: what happened.
            client: whose doing it was.
            now: with a zone.
            seal: for records; None = they are not kept.

        Returns:
            their sequence numbers.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        first = self.row.sequence + 1
        for entry in entries:
            self.row = self._next(entry, client, now, seal)
            self.connection.execute(INSERT, self.row.values)
        return range(first, self.row.sequence + 1)

    def _next(
        self, entry: Entry, client: Client, now: datetime, seal: Auditors | Block | Hashes | None
    ) -> Row:
        block, sealed = "", None
        if entry.record is not None and isinstance(seal, Block | Hashes):
            block = seal.id if isinstance(seal, Block) else HASHES
            sealed = seal.seal(entry.record)
        return Row(
            sequence=self.row.sequence + 1,
            time=stamp(now),
            client=client.name,
            role=client.role.value,
            key=client.key,
            endpoint=entry.endpoint,
            kind=entry.kind.value,
            model=entry.model,
            policy=entry.policy,
            answer=canonical(entry.answer).decode(),
            facts=canonical(entry.facts or {}).decode(),
            block=block,
            sealed=sealed,
            previous=self.row.own,
        ).chained()

    def due(self, every: int) -> bool:
        """Whether a head is to be signed: so many rows since the last one, or an urgent one."""
        since = self.row.sequence - (self.head.sequence if self.head else 0)
        return since >= every or (self.urgent and since > 0)

    def sign(self, key: Ed25519PrivateKey, time: str) -> None:
        """Adds a head of the last row.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        ((first,),) = self.connection.execute("SELECT own FROM rows WHERE sequence = 1").fetchall()
        number = self.head.number + 1 if self.head else 1
        head = Head(number, self.row.sequence, self.row.own, time).signed(first, key)
        self.connection.execute("INSERT INTO heads VALUES (?, ?, ?, ?, ?)", head.values)
        self.head, self.signed = head, True


NO_ROW = Row(0, "", "", "", "", "", "", "", "", "", "", "", None, b"", own=START)
