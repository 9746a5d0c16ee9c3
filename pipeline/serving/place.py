"""The folder of a guard: what lies where, and how its log is opened."""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pipeline.config.serving import ServingConfig
from pipeline.files import BadInput, write_json, write_text
from pipeline.serving.journal import Auditors, Entry, Hashes, Journal, Kind
from pipeline.serving.keys import Client, Role
from pipeline.serving.private_keys import make_signing_key, shared_secret, signing_key
from pipeline.serving.served import Served

LOG, HEADS, SIGNER, VERIFIER = "log.sqlite", "heads.jsonl", "signer.key", "signer.pub"
AUDITORS, HASHING = "auditors.json", "hashing.key"
CONSOLE = Client("console", Role.GUARD)  # whoever owns the folder, on the machine itself


def founded(folder: Path, now: datetime) -> list[str]:
    """Makes what a guard's folder lacks: its log and the key that signs it; what it did, in lines.

    Neither git nor anybody else on the machine sees the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.chmod(folder, 0o700)
    if not (folder / ".gitignore").exists():
        write_text(folder / ".gitignore", "*\n")
    if (folder / LOG).exists():
        return []
    if (folder / SIGNER).exists():
        raise BadInput(f"{folder / LOG}: missing, but its signing key is there: it was taken away")
    signer = make_signing_key(folder / SIGNER)
    write_text(folder / VERIFIER, signer.public_key().public_bytes_raw().hex() + "\n")
    try:
        Journal.create(folder / LOG, now=now, by=CONSOLE, signer=signer, heads=folder / HEADS)
    except BaseException:
        for name in (SIGNER, VERIFIER):  # of a log that there is not
            (folder / name).unlink(missing_ok=True)
        raise
    return [f"{folder / LOG}: a new log; {folder / SIGNER} signs it"]


def journal_of(folder: Path, policy: ServingConfig | None = None) -> Journal:
    """The log, open for writing.

    Args:
        folder: of the guard.
        policy: what is kept of records; None = no records are written.

    Raises:
        BadInput: there is none, or records should be sealed and no auditor is named.
    """
    if not (folder / LOG).exists():
        raise BadInput(f"{folder / LOG}: not found; `medsecure serve` makes it")
    settings = {} if policy is None else {"every": policy.journal.head_every}
    return Journal.open(
        folder / LOG,
        seal=None if policy is None else sealing(folder, policy),
        signer=signing_key(folder / SIGNER),
        heads=folder / HEADS,
        **settings,
    )


def note_served(folder: Path, served: Served, digest: str, now: datetime) -> None:
    """A row on what is served from now on, and by what right."""
    facts = {
        "served": served.version,
        "audit_sha256": served.audit_sha256,
        "gate_sha256": served.gate_sha256,
        "r": served.policy.r,
        "threat": served.threat_name,
    }
    entry = Entry(Kind.NOTE, model=served.release_sha256, policy=digest, facts=facts)
    with journal_of(folder) as journal:
        journal.write([entry], client=CONSOLE, now=now)


def sealing(folder: Path, policy: ServingConfig) -> Auditors | Hashes:
    """How records are kept, by the policy.

    Raises:
        BadInput: they should be sealed, and no auditor is named.
    """
    if policy.journal.records == "hashes":
        key = folder / HASHING
        return Hashes(shared_secret(key, make=not key.exists()))
    if named := auditors(folder):
        return Auditors.of(named)
    raise BadInput(
        f"{folder / AUDITORS}: names nobody who may open records; `medsecure key auditor FILE` "
        "makes a key pair, or serving.journal.records=hashes keeps none"
    )


def auditors(folder: Path) -> list[str]:
    """The public keys of those who may open records, 64 hexadecimal digits each."""
    path = folder / AUDITORS
    try:
        said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON") from error
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        raise BadInput(f"{path}: expected a list of public keys")
    return said


def name_auditors(folder: Path, publics: Sequence[str]) -> None:
    """Adds people who may open records from the next start on; earlier ones stay sealed to them."""
    known = auditors(folder)
    write_json(folder / AUDITORS, [*known, *(one for one in publics if one not in known)])
