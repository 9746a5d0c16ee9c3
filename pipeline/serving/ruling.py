"""What administrators and auditors do with an open log: keys, start, rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pipeline.files import BadInput
from pipeline.serving import switch
from pipeline.serving.journal import Journal, Row
from pipeline.serving.journal.entries import FIELDS
from pipeline.serving.keys import Client, Key, Role, issue, revoke


def issued(
    journal: Journal, client: str, role: Role, *, days: int, by: Client, now: datetime
) -> tuple[Key, str]:
    """A new key, stored, and its token, which is shown this once.

    Raises:
        BadInput: a name, a role or a number of days that cannot be.
    """
    if days < 1:
        raise BadInput(f"{days} days: a key is valid for one at least")
    made, token = issue(client, role, now=now, expires=now + timedelta(days=days))
    journal.store([made], by=by, now=now)
    return made, token


def revoked(journal: Journal, name: str, *, by: Client, now: datetime) -> Key:
    """A key that is not valid from now on.

    Raises:
        BadInput: none has this id.
    """
    held = journal.key(name)
    if held is None:
        raise BadInput(f"{name!r}: no key has this id")
    taken = revoke(held, now=now)
    journal.store([taken], by=by, now=now)
    return taken


def told(key: Key) -> dict[str, Any]:
    """A key without its secret."""
    return {
        "id": key.id,
        "client": key.client,
        "role": str(key.role),
        "expires": key.expires.isoformat(),
        "revoked": key.revoked.isoformat() if key.revoked else None,
    }


def started(journal: Journal, *, by: Client, reason: str, now: datetime, within: timedelta) -> str:
    """Confirms what another administrator proposed within a time, or else proposes; a line.

    Raises:
        NotAllowed: no administrator, no reason, or nothing is stopped.
    """
    proposal = journal.state().proposal
    if proposal and proposal.by != by.name and now - proposal.time <= within:
        state = switch.confirm(journal, by=by, now=now, within=within)
        return f"{state.mode}: proposed by {proposal.by}, confirmed by {by.name}"
    switch.propose(journal, by=by, reason=reason, now=now)
    return f"proposed by {by.name}; another administrator confirms within {within}"


def plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as JSON; bytes are hexadecimal digits."""
    return [
        {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in zip(FIELDS, row.values, strict=True)
        }
        for row in rows
    ]
