"""What is done on the machine itself: keys, stop and start, the log. Who owns the folder may.

Starting again needs two administrators here, too, each with a key of their own.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.files import BadInput
from pipeline.private_keys import make_opening_key, opening_key
from pipeline.serving import switch
from pipeline.serving.journal import Reader, Row, verify
from pipeline.serving.keys import Client, Role, Why, issue, recognised, revoke
from pipeline.serving.place import (
    CONSOLE,
    HEADS,
    LOG,
    VERIFIER,
    founded,
    journal_of,
    name_auditors,
)

KEY = "MEDSECURE_KEY"  # in the environment: the token of an administrator


def new_key(folder: Path, client: str, role: Role, days: int, now: datetime) -> str:
    """Issues a key; returns its token, which is shown this once."""
    founded(folder, now)
    made, token = issue(client, role, now=now, expires=now + timedelta(days=days))
    with journal_of(folder) as journal:
        journal.store([made], by=CONSOLE, now=now)
    return token


def revoke_key(folder: Path, name: str, now: datetime) -> None:
    """Takes a key back.

    Raises:
        BadInput: there is none of that id.
    """
    with journal_of(folder) as journal:
        held = journal.key(name)
        if held is None:
            raise BadInput(f"{name!r}: no key has this id; `medsecure key list` shows them")
        journal.store([revoke(held, now=now)], by=CONSOLE, now=now)


def list_keys(folder: Path) -> list[str]:
    """All keys without their secrets, a line each."""
    with journal_of(folder) as journal:
        return [
            f"{one.id}  {one.role:13}  until {one.expires:%Y-%m-%d}"
            f"{'  revoked' if one.revoked else ''}  {one.client}"
            for one in journal.keys()
        ]


def new_auditor(folder: Path, file: Path, now: datetime) -> str:
    """Makes the private key of somebody who may open records; it belongs on another machine."""
    if file.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{file}: lies in the guard's folder; keep it where the guard is not")
    founded(folder, now)
    public = make_opening_key(file).public_key().public_bytes_raw().hex()
    name_auditors(folder, [public])
    return public


def stop(folder: Path, reason: str, now: datetime) -> str:
    """No answer after this, in any worker."""
    with journal_of(folder) as journal:
        return f"{switch.stop(journal, by=CONSOLE, reason=reason, now=now).mode}: {reason}"


def start(folder: Path, reason: str, now: datetime, minutes: int = 60) -> str:
    """Proposes a start, or confirms that of another administrator.

    Raises:
        BadInput: no administrator's key is in the environment.
    """
    with journal_of(folder) as journal:
        who = recognised(os.environ.get(KEY, ""), journal.key, now)
        if isinstance(who, Why):
            raise BadInput(f"{KEY}: {who}; the key of an administrator must stand there")
        return started(journal, who, reason, now, timedelta(minutes=minutes))


def started(journal: "switch.Journal", who: Client, reason: str, now: datetime, within: timedelta) -> str:
    """Confirms what another administrator proposed within a time, or else proposes; a line."""
    proposal = journal.state().proposal
    if proposal and proposal.by != who.name and now - proposal.time <= within:
        state = switch.confirm(journal, by=who, now=now, within=within)
        return f"{state.mode}: proposed by {proposal.by}, confirmed by {who.name}"
    switch.propose(journal, by=who, reason=reason, now=now)
    return f"proposed by {who.name}; another administrator confirms within {within}"


def faults(folder: Path, public: str | None = None, heads: Path | None = None) -> list[str]:
    """What is wrong with the log, a line each; none = it is intact up to its last head."""
    held = public or (folder / VERIFIER).read_text(encoding="utf-8").strip()
    try:
        key = bytes.fromhex(held)
    except ValueError as error:
        raise BadInput(f"{held!r}: no public key of 64 hexadecimal digits") from error
    return [str(one) for one in verify(folder / LOG, [key], heads=heads or folder / HEADS)]


def shown(
    folder: Path,
    since: datetime | None,
    until: datetime | None,
    client: str | None,
    key: Path | None,
) -> "list[tuple[Row, bytes | None]]":
    """Rows in order, with their records where an auditor's private key opens them."""
    opener = opening_key(key) if key else None
    with Reader.open(folder / LOG) as reader:
        return [
            (row, reader.opened(row, opener) if opener and row.sealed else None)
            for row in reader.rows(since=since, until=until, client=client)
        ]
