"""What is done on the machine itself: keys, stop and start, the log. Who owns the folder may.

Starting again needs two administrators here, too, each with a key of their own.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.files import BadInput
from pipeline.serving import switch
from pipeline.serving.journal import Reader, Row, verify
from pipeline.serving.keys import Role, Why, recognised
from pipeline.serving.place import CONSOLE, HEADS, LOG, VERIFIER, founded, journal_of, name_auditors
from pipeline.serving.private_keys import make_opening_key, opening_key
from pipeline.serving.ruling import issued, revoked, started
from pipeline.serving.served import Served

KEY = "MEDSECURE_KEY"  # in the environment: the token of an administrator


def new_key(folder: Path, client: str, role: Role, days: int, now: datetime) -> str:
    """Issues a key; its token, which is shown this once."""
    founded(folder, now)
    with journal_of(folder) as journal:
        return issued(journal, client, role, days=days, by=CONSOLE, now=now)[1]


def revoke_key(folder: Path, name: str, now: datetime) -> None:
    """Takes a key back.

    Raises:
        BadInput: none has this id.
    """
    with journal_of(folder) as journal:
        revoked(journal, name, by=CONSOLE, now=now)


def list_keys(folder: Path) -> list[str]:
    """All keys without their secrets, a line each."""
    with journal_of(folder) as journal:
        return [
            f"{one.id}  {one.role:13}  until {one.expires:%Y-%m-%d}"
            f"{'  revoked' if one.revoked else ''}  {one.client}"
            for one in journal.every_key()
        ]


def new_auditor(folder: Path, file: Path, now: datetime) -> str:
    """Makes the private key of somebody who may open records; it belongs on another machine.

    Returns:
        the public half.

    Raises:
        BadInput: the file is there already, or lies where the guard could read it.
    """
    if file.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{file}: lies in the guard's folder; keep it where the guard is not")
    founded(folder, now)
    public = make_opening_key(file).public_key().public_bytes_raw().hex()
    name_auditors(folder, [public])
    return public


def stop(folder: Path, reason: str, now: datetime) -> str:
    """No answer after this, in any worker."""
    with journal_of(folder) as journal:
        state = switch.stop(journal, by=CONSOLE, reason=reason, now=now)
        return f"{state.mode}: {state.reason}"


def start(folder: Path, reason: str, now: datetime) -> str:
    """Proposes a start, or confirms that of another administrator.

    Raises:
        BadInput: no administrator's key is in the environment.
    """
    within = timedelta(minutes=Served.load(folder).policy.second_minutes)
    with journal_of(folder) as journal:
        who = recognised(os.environ.get(KEY, ""), journal.key, now)
        if isinstance(who, Why):
            raise BadInput(f"{KEY}: {who}; the key of an administrator must stand there")
        return started(journal, by=who, reason=reason, now=now, within=within)


def faults(folder: Path, public: str | None = None, heads: Path | None = None) -> list[str]:
    """What is wrong with the log, a line each; none = it is intact up to its last head.

    Args:
        folder: of the guard.
        public: the key that signs heads, as whoever checks has kept it; None = the folder's own.
        heads: as they were kept elsewhere; None = the folder's own.
    """
    held = public or (folder / VERIFIER).read_text(encoding="utf-8").strip()
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(held))
    except ValueError as error:
        raise BadInput(f"{held!r}: no public key of 64 hexadecimal digits") from error
    return [str(one) for one in verify(folder / LOG, [key], heads=heads or folder / HEADS)]


def rows_of(
    folder: Path,
    since: datetime | None,
    until: datetime | None,
    client: str | None,
    key: Path | None,
) -> Iterator[tuple[Row, bytes | None]]:
    """Rows in order, with their records where an auditor's private key opens them.

    Raises:
        BadInput: the key opens none of the records; those whose data key was destroyed are left
            closed.
    """
    opener = opening_key(key) if key else None
    opened, why = 0, None
    with Reader.open(folder / LOG) as reader:
        for row in reader.rows(since=since, until=until, client=client):
            record = None
            if opener is not None and row.sealed is not None:
                try:
                    record, opened = reader.opened(row, opener), opened + 1
                except BadInput as error:
                    why = error
            yield row, record
    if why is not None and not opened:
        raise why
