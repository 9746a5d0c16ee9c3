"""Whether the guard answers: read off the last rows that switched it, never kept elsewhere."""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Any

from pipeline.serving.journal.entries import SWITCHES, Kind, Row, moment
from pipeline.serving.journal.errors import Damaged
from pipeline.serving.journal.tables import ROWS, SWITCHING


@unique
class Mode(StrEnum):
    """What the guard does with a request."""

    SERVING = "serving"
    REFER_ALL = "refer all"
    STOPPED = "stopped"


OF_KIND = {Kind.STARTED: Mode.SERVING, Kind.REFER_ALL: Mode.REFER_ALL, Kind.STOPPED: Mode.STOPPED}
STRICTNESS = tuple(Mode)  # the later, the less leaves
OF_MODE = {mode: kind for kind, mode in OF_KIND.items()}


@dataclass(frozen=True)
class Proposal:
    """What an administrator proposed, and nobody has confirmed or overtaken yet.

    Attributes:
        row: its sequence number.
        by: the client's name.
        to: the mode that is proposed.
        reason: in the administrator's words.
        time: when.
    """

    row: int
    by: str
    to: Mode
    reason: str
    time: datetime


@dataclass(frozen=True)
class State:
    """What the guard does now.

    Attributes:
        mode: serving, refer all or stopped.
        since: when that began; None = from the start.
        by: the client's name that switched it last.
        reason: in that client's words.
        proposal: to answer again; None = there is none.
    """

    mode: Mode
    since: datetime | None = None
    by: str = ""
    reason: str = ""
    proposal: Proposal | None = None


def after(state: State, row: Row) -> State:
    """The state after one more row that switches or proposes.

    Raises:
        Damaged: the row is not as the log writes it.
    """
    try:
        facts: Any = json.loads(row.facts)
        reason, time = str(facts["reason"]), moment(row.time)
        if row.kind == Kind.PROPOSED:
            proposal = Proposal(row.sequence, row.client, Mode(facts["to"]), reason, time)
            return State(state.mode, state.since, state.by, state.reason, proposal)
        return State(OF_KIND[Kind(row.kind)], time, row.client, reason)
    except (ValueError, KeyError, TypeError):
        raise Damaged(f"row {row.sequence}: does not say what is switched") from None


def state_of(connection: sqlite3.Connection) -> State:
    """The state after all rows.

    Raises:
        Damaged: a row that matters is not as it was written.
        sqlite3.Error: it cannot be read.
    """
    kinds = ", ".join(f"'{kind}'" for kind in SWITCHES)
    last = connection.execute(
        f"{ROWS} WHERE {SWITCHING} AND kind IN ({kinds}) ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    found = [Row(*last)] if last else []
    proposed = connection.execute(
        f"{ROWS} WHERE {SWITCHING} AND kind = 'proposed' AND sequence > ? "
        "ORDER BY sequence DESC LIMIT 1",
        (found[0].sequence if found else 0,),
    ).fetchone()
    found += [Row(*proposed)] if proposed else []
    state = State(Mode.SERVING)
    for row in found:
        if row.hashed != row.own:
            raise Damaged(f"row {row.sequence}: changed since it was written")
        state = after(state, row)
    return state
