"""What a row says, and the bytes of it that its hash covers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum, unique
from typing import Any, Self

from pipeline.files import BadInput

HASHED = b"medsecure journal row, version 1\n"  # in front of what is hashed: nothing else is
START = bytes(32)  # the hash before the first row


@unique
class Kind(StrEnum):
    """What happened."""

    CREATED = "created"  # the log itself: its first row
    ANSWERED = "answered"  # a record was given an answer
    REFERRED = "referred"  # a record was left to a person
    REFUSED = "refused"  # a request was not served: budget, stop, inadmissible
    STOPPED = "stopped"  # from here on nothing is answered
    REFER_ALL = "refer all"  # from here on everything is left to a person
    PROPOSED = "proposed"  # an administrator would start again
    STARTED = "started"  # another one did
    ALARM = "alarm"
    LABEL = "label"  # a confirmed diagnosis
    KEY = "key"  # an API key was issued, changed or revoked
    BLOCK = "block"  # a data key was made and wrapped for auditors
    EXPIRED = "expired"  # data keys were destroyed
    READ = "read"  # somebody opened records through the service
    NOTE = "note"  # anything else that a person wants to stand here


SPENDS = frozenset({Kind.ANSWERED, Kind.REFERRED})  # of a budget: both tell something of the model
ASKED = SPENDS | {Kind.REFUSED}  # what a client asked; the rate of a minute counts them
SWITCHES = (Kind.STOPPED, Kind.REFER_ALL, Kind.STARTED)


def canonical(value: Any) -> bytes:
    """JSON of one spelling: the same value is the same bytes, and floats come back bit for bit.

    Raises:
        BadInput: it holds a NaN, an infinity or what JSON does not know; a missing measurement is
            `null`.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BadInput(f"the log holds JSON alone: {error}") from None


def stamp(now: datetime) -> str:
    """A time as it stands in the log: UTC, with microseconds, of one length, so it sorts.

    Raises:
        BadInput: it has no zone.
    """
    if now.tzinfo is None:
        raise BadInput("a time in the log needs a zone, as in datetime.now(UTC)")
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(stamped: str) -> datetime:
    """What `stamp` wrote."""
    return datetime.strptime(stamped, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """What is to be written.

    Attributes:
        kind: what happened.
        endpoint: through which one; empty = through none.
        model: the digest of the model that answered; empty = none was asked.
        policy: the digest of the policy in force.
        answer: as the client is given it, JSON; None = no answer was given.
        facts: what a replay and an auditor need: certificate, reason, seeds; JSON, in the clear,
            so nothing of a record belongs here.
        record: what was asked, bytes; it is sealed for auditors and never lies in the clear.
    """

    kind: Kind
    endpoint: str = ""
    model: str = ""
    policy: str = ""
    answer: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] | None = None
    record: bytes | None = None

    def without_answer(self, reason: str) -> "Entry":
        """The same, left to a person: the answer is gone, the reason stands among the facts."""
        facts = {**(self.facts or {}), "withheld": reason}
        return replace(self, kind=Kind.REFERRED, answer=None, facts=facts)


@dataclass(frozen=True)
class Row:
    """What stands in the log.

    Attributes:
        sequence: 1, 2, 3, ...
        time: when, as `stamp` writes it.
        client: whose doing it was.
        role: what that client is.
        key: the id of its API key; empty = none.
        endpoint: as of `Entry`.
        kind: a value of `Kind`.
        model: as of `Entry`.
        policy: likewise.
        answer: canonical JSON; `null` = none.
        facts: canonical JSON.
        block: the id of the data key under which the record is sealed; `hashes` = it is a hash.
        sealed: the sealed record; None = there was none, or none is kept.
        previous: the hash of the row before, 32 bytes.
        own: the hash of this row, 32 bytes.
    """

    sequence: int
    time: str
    client: str
    role: str
    key: str
    endpoint: str
    kind: str
    model: str
    policy: str
    answer: str
    facts: str
    block: str
    sealed: bytes | None
    previous: bytes
    own: bytes = b""

    @property
    def values(self) -> tuple[Any, ...]:
        """The fields in order, as they are stored."""
        return tuple(getattr(self, name) for name in FIELDS)

    @property
    def hashed(self) -> bytes:
        """SHA-256 over every field but `own`; of the sealed record the sealed bytes.

        So the chain holds when data keys are destroyed. Values of a type that the log never writes
        have other bytes, and so another hash.
        """
        told = json.dumps(self.values[:-1], separators=(",", ":"), default=_told)
        return hashlib.sha256(HASHED + told.encode()).digest()

    def chained(self) -> Self:
        """With its own hash."""
        return replace(self, own=self.hashed)


FIELDS = tuple(Row.__dataclass_fields__)


def _told(value: Any) -> Any:
    return {"bytes": value.hex()} if isinstance(value, bytes) else {"other": repr(value)}
