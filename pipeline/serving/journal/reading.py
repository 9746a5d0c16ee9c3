"""Reading the log: rows in order, and records for who may open them. Nothing is written."""

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pipeline.files import BadInput
from pipeline.serving.journal.budgets import MINUTE, TOLD
from pipeline.serving.journal.entries import Kind, Row, stamp
from pipeline.serving.journal.errors import Damaged
from pipeline.serving.journal.heads import Head
from pipeline.serving.journal.keyring import KEYS, wrapped_keys
from pipeline.serving.journal.sealing import HASHES, Hashes, opened
from pipeline.serving.journal.states import State, state_of
from pipeline.serving.journal.tables import (
    CHUNK,
    HEADS,
    ROWS,
    check_file,
    clear,
    one_moment,
    patiently,
    read_only,
)

PATIENCE = 2.0  # seconds that a busy file is waited for

Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


def rows(
    fetch: Fetch,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    client: str | None = None,
    kinds: Sequence[Kind] | None = None,
    after: int = 0,
) -> Iterator[Row]:
    """Rows in the order in which they were written; a few hundred are read at once.

    Args:
        fetch: runs a query.
        since: this time or later; with a zone.
        until: before this time; with a zone.
        client: whose, by name.
        kinds: of these alone.
        after: only those with larger sequence numbers.
    """
    first = None if since is None else stamp(since)
    end = None if until is None else stamp(until)
    wanted = None if kinds is None else {kind.value for kind in kinds}
    query = f"{ROWS} WHERE sequence > ? ORDER BY sequence LIMIT {CHUNK}"
    while found := fetch(query, [after]):
        for row in (Row(*one) for one in found):
            if (
                (first is None or row.time >= first)
                and (end is None or row.time < end)
                and (client is None or row.client == client)
                and (wanted is None or row.kind in wanted)
            ):
                yield row
        after = found[-1][0]


@dataclass(frozen=True)
class Snapshot:
    """What stands beside the rows, all of one moment.

    Attributes:
        last: the number of the last row; 0 = there is none.
        heads: of the table, in order.
        spent: (client, span, start) -> count, of days and lifetimes.
        keys: id -> an API key as it is stored.
        blocks: id of a data key -> auditor -> wrapped key.
        state: what the guard does; None = it cannot be read off the rows.
    """

    last: int
    heads: list[Head]
    spent: dict[tuple[str, str, str], int]
    keys: dict[str, tuple[Any, ...]]
    blocks: dict[str, dict[str, bytes]]
    state: State | None


def _snapshot(connection: sqlite3.Connection) -> Snapshot:
    with one_moment(connection):
        ((last,),) = connection.execute("SELECT coalesce(max(sequence), 0) FROM rows").fetchall()
        state = None
        with suppress(Damaged):
            state = state_of(connection)
        return Snapshot(
            last,
            [Head(*one) for one in connection.execute(f"{HEADS} ORDER BY number")],
            {
                (client, span, start): count
                for client, span, start, count in connection.execute("SELECT * FROM spent")
                if span not in (MINUTE, TOLD)
            },
            {one[0]: one for one in connection.execute(KEYS)},
            wrapped_keys(connection),
            state,
        )


def state_now(connection: sqlite3.Connection) -> State:
    """As `state_of`, outside a transaction of the caller's."""
    with one_moment(connection):
        return state_of(connection)


class Opened(ABC):
    """A log that is open, whether for reading alone or for writing, too."""

    @abstractmethod
    def close(self) -> None:
        """Closes it."""

    @abstractmethod
    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query finds.

        Raises:
            Unavailable: it cannot be read.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def rows(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        client: str | None = None,
        kinds: Sequence[Kind] | None = None,
        after: int = 0,
    ) -> Iterator[Row]:
        """As the function `rows`."""
        return rows(self._fetch, since=since, until=until, client=client, kinds=kinds, after=after)


class Reader(Opened):
    """A log, open for reading beside those that write it."""

    def __init__(self, path: Path, connection: sqlite3.Connection, patience: float) -> None:
        """Use `open`."""
        self.path, self._connection, self._patience = path, connection, patience

    @classmethod
    def open(cls, path: Path, *, patience: float = PATIENCE) -> Self:
        """Opens it; it must exist, and may lie on a read-only disk.

        Raises:
            Unavailable: it cannot be read.
            Damaged: it is no log.
        """
        with clear(path):
            connection = read_only(path, patience)
            try:
                patiently(lambda: check_file(connection, path), patience)
            except BaseException:
                connection.close()
                raise
        return cls(path, connection, patience)

    def close(self) -> None:
        """Closes it."""
        self._connection.close()

    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with clear(self.path):
            return patiently(
                lambda: self._connection.execute(query, values).fetchall(), self._patience
            )

    def heads(self) -> list[Head]:
        """The signed heads of the table, in order; their signatures are not checked here."""
        return [Head(*one) for one in self._fetch(f"{HEADS} ORDER BY number")]

    def snapshot(self) -> Snapshot:
        """What stands beside the rows."""
        with clear(self.path):
            return patiently(lambda: _snapshot(self._connection), self._patience)

    def state(self) -> State:
        """What the guard does now.

        Raises:
            Damaged: a row that matters is not as it was written.
        """
        with clear(self.path):
            return patiently(lambda: state_now(self._connection), self._patience)

    def opened(self, row: Row, key: X25519PrivateKey) -> bytes:
        """The record of a row.

        Args:
            row: of this log.
            key: the private key of an auditor.

        Raises:
            BadInput: there is no record, its data key was destroyed, or it is not for that key.
        """
        if row.sealed is None:
            raise BadInput(f"row {row.sequence}: holds no record")
        if row.block == HASHES:
            raise BadInput(f"row {row.sequence}: holds a hash of the record; it cannot be replayed")
        wrapped = dict(self._fetch("SELECT auditor, wrapped FROM blocks WHERE id = ?", [row.block]))
        if not wrapped:
            raise BadInput(f"row {row.sequence}: its data key was destroyed, its record is gone")
        try:
            return opened(row.sealed, row.block, wrapped, key)
        except BadInput as error:
            raise BadInput(f"row {row.sequence}: {error}") from None


def same_record(row: Row, record: bytes, hashes: Hashes) -> bool:
    """Whether a row that holds a hash is of this very record."""
    return row.block == HASHES and row.sealed is not None and hashes.matches(row.sealed, record)


def facts_of(row: Row) -> Any:
    """The facts of a row, as they were given."""
    return json.loads(row.facts)


def answer_of(row: Row) -> Any:
    """The answer of a row, as the client was given it; None = none."""
    return json.loads(row.answer)
