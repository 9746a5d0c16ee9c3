"""API keys and data keys in the log's file: each change of them is a row, too.

So a key that somebody slipped into a table, or took out of it, is found by `verify`.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pipeline.serving.journal.entries import Entry, Kind, moment, stamp
from pipeline.serving.journal.sealing import Block, digest_of
from pipeline.serving.journal.tail import Tail
from pipeline.serving.keys import GUARD, Client, Key, Role

KEYS = "SELECT id, client, role, digest, issued, expires, revoked FROM keys"


def stored(key: Key) -> tuple[Any, ...]:
    """A key as it lies in its table."""
    revoked = None if key.revoked is None else stamp(key.revoked)
    times = stamp(key.issued), stamp(key.expires), revoked
    return key.id, key.client, key.role.value, key.digest, *times


def read(row: tuple[Any, ...]) -> Key:
    """A key of its table."""
    name, client, role, digest, issued, expires, revoked = row
    over = None if revoked is None else moment(revoked)
    return Key(name, client, Role(role), digest, moment(issued), moment(expires), over)


def told(row: tuple[Any, ...]) -> dict[str, Any]:
    """A key of its table as facts of a row; the digest of 256 random bits is no secret."""
    name, client, role, digest, issued, expires, revoked = row
    return {
        "id": name,
        "client": client,
        "role": role,
        "digest": digest.hex() if isinstance(digest, bytes) else None,
        "issued": issued,
        "expires": expires,
        "revoked": revoked,
    }


def store(tail: Tail, keys: Sequence[Key], by: Client, now: datetime) -> None:
    """Writes keys as they are from now on.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    for key in keys:
        row = stored(key)
        tail.connection.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        tail.append([Entry(Kind.KEY, facts=told(row))], by, now)


def add_block(tail: Tail, block: Block, now: datetime) -> None:
    """Writes the wrapped data key, unless it lies there.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    lies = tail.connection.execute("SELECT 1 FROM blocks WHERE id = ? LIMIT 1", (block.id,))
    if lies.fetchone():
        return
    tail.connection.executemany(
        "INSERT INTO blocks VALUES (?, ?, ?, ?)",
        [(block.id, name, block.day, wrapped) for name, wrapped in block.wrapped.items()],
    )
    facts = {
        "id": block.id,
        "day": block.day,
        "auditors": sorted(block.wrapped),
        "digest": digest_of(block.wrapped),
    }
    tail.append([Entry(Kind.BLOCK, facts=facts)], GUARD, now)


def destroy(tail: Tail, before: str, by: Client, now: datetime) -> int:
    """Deletes the wrapped data keys of the days before one; how many data keys.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    found = tail.connection.execute("SELECT DISTINCT id FROM blocks WHERE day < ?", (before,))
    gone = sorted(name for (name,) in found.fetchall())
    if gone:
        tail.connection.execute("DELETE FROM blocks WHERE day < ?", (before,))
        tail.append([Entry(Kind.EXPIRED, facts={"blocks": gone, "before": before})], by, now)
    return len(gone)


def wrapped_keys(connection: sqlite3.Connection) -> dict[str, dict[str, bytes]]:
    """Id of a data key -> auditor -> wrapped key.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    blocks: dict[str, dict[str, bytes]] = {}
    for name, auditor, wrapped in connection.execute("SELECT id, auditor, wrapped FROM blocks"):
        blocks.setdefault(name, {})[auditor] = wrapped
    return blocks
