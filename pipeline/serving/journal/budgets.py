"""What a client may ask, and what it has asked: counted in the transaction that writes the rows."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique

from pipeline.serving.journal.entries import ASKED, SPENDS, Entry

EVER, DAY, MINUTE, TOLD = "ever", "day", "minute", "told"  # spans; `told` = a refusal has its row
DAY_DIGITS, MINUTE_DIGITS = len("2026-11-28"), len("2026-11-28T04:47")  # of a stamp


@unique
class Outcome(StrEnum):
    """What becomes of a request."""

    WRITTEN = "written"
    REFERRED = "everything is referred to a person"
    STOPPED = "stopped"
    OVER_MINUTE = "more than a minute allows"
    OVER_DAY = "more than a day allows"
    OVER_EVER = "more than is allowed at all"


@dataclass(frozen=True)
class Limits:
    """How many records a client may ask about; None = any number.

    Attributes:
        per_minute: in a minute of the clock, records that were refused included.
        per_day: answered or referred in a day of UTC.
        ever: answered or referred at all.
    """

    per_minute: int | None
    per_day: int | None
    ever: int | None


def _count(connection: sqlite3.Connection, client: str, span: str, start: str) -> int:
    found = connection.execute(
        "SELECT count FROM spent WHERE client = ? AND span = ? AND start = ?", (client, span, start)
    ).fetchone()
    return found[0] if found else 0


def _add(connection: sqlite3.Connection, client: str, span: str, start: str, count: int) -> None:
    connection.execute(
        "INSERT INTO spent VALUES (?, ?, ?, ?) "
        "ON CONFLICT (client, span, start) DO UPDATE SET count = count + excluded.count",
        (client, span, start, count),
    )


def asked_and_spent(entries: Iterable[Entry]) -> tuple[int, int]:
    """How many records are asked about, and how many of them tell something of the model."""
    kinds = [entry.kind for entry in entries]
    return sum(kind in ASKED for kind in kinds), sum(kind in SPENDS for kind in kinds)


def over(
    connection: sqlite3.Connection,
    client: str,
    limits: Limits,
    asked: int,
    spent: int,
    stamped: str,
) -> tuple[Outcome, str] | None:
    """Which limit so many more records would pass, and a line on it; None = none."""
    day, minute = stamped[:DAY_DIGITS], stamped[:MINUTE_DIGITS]
    for outcome, span, start, limit, more in (
        (Outcome.OVER_EVER, EVER, "", limits.ever, spent),
        (Outcome.OVER_DAY, DAY, day, limits.per_day, spent),
        (Outcome.OVER_MINUTE, MINUTE, minute, limits.per_minute, asked),
    ):
        if limit is not None and more:
            before = _count(connection, client, span, start)
            if before + more > limit:
                return outcome, f"{outcome}: {more} more after {before} of {limit}"
    return None


def spend(
    connection: sqlite3.Connection, client: str, asked: int, spent: int, stamped: str
) -> None:
    """Counts them, for the life of the client, the day and the minute."""
    day, minute = stamped[:DAY_DIGITS], stamped[:MINUTE_DIGITS]
    if spent:
        _add(connection, client, EVER, "", spent)
        _add(connection, client, DAY, day, spent)
    if asked:
        _add(connection, client, MINUTE, minute, asked)
        # minutes of other days are over, whichever worker's clock is a little behind
        connection.execute(
            "DELETE FROM spent WHERE client = ? AND span IN (?, ?) AND start < ?",
            (client, MINUTE, TOLD, day),
        )


def first_told(connection: sqlite3.Connection, client: str, outcome: str, stamped: str) -> bool:
    """Whether a refusal is the first of its kind for a client in this minute, and so has a row."""
    start = f"{stamped[:MINUTE_DIGITS]} {outcome}"
    if _count(connection, client, TOLD, start):
        return False
    _add(connection, client, TOLD, start, 1)
    return True
