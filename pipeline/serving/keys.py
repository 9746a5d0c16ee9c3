"""API keys: shown once, stored as digests, recognised in constant time.

A token is `msk_<id>_<secret>`: 64 random bits that name the key, 256 that prove it. Pure functions;
the time is an argument, and where keys lie is the journal's affair (`Journal.store`, `.key`).
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum, unique

from pipeline.files import BadInput

PREFIX = "msk"
ID_BYTES, SECRET_BYTES = 8, 32
TOKEN = re.compile(
    rf"{PREFIX}_([0-9a-f]{{{2 * ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})", re.ASCII
)
NOBODY = bytes(32)  # a digest of which nobody knows a secret
NAME = r"^[\w.@-](?:[\w .@-]{0,62}[\w.@-])?$"  # of a client: letters, digits, blanks, _ . @ -


@unique
class Role(StrEnum):
    """What a client is; what each may do is the policy's affair, and none may do all."""

    CLINICIAN = "clinician"
    RESEARCHER = "researcher"
    MONITOR = "monitor"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"
    GUARD = "guard"  # the service itself: no key is issued for it


@unique
class Why(StrEnum):
    """Why nobody is recognised. For the operator alone: a caller hears the same of all of them."""

    MALFORMED = "no token of the guard"
    UNKNOWN = "an unknown key"
    WRONG = "a wrong secret"
    EXPIRED = "an expired key"
    REVOKED = "a revoked key"


@dataclass(frozen=True)
class Client:
    """Who asks.

    Attributes:
        name: of the client; budgets are the name's, so a new key brings no new budget.
        role: what it is.
        key: the id of the key by which it was recognised; empty = by none, as on the host itself.
    """

    name: str
    role: Role
    key: str = ""


GUARD = Client("guard", Role.GUARD)


@dataclass(frozen=True)
class Key:
    """A key as it is stored.

    Attributes:
        id: 16 hexadecimal digits, no secret.
        client: the name of who holds it.
        role: of who holds it.
        digest: the SHA-256 of the secret, 32 bytes. The secret is 256 random bits, so that a slow
            hash would add nothing.
        issued: from when on it exists.
        expires: it is valid before this time.
        revoked: it is valid before this time, too; None = not revoked.
    """

    id: str
    client: str
    role: Role
    digest: bytes
    issued: datetime
    expires: datetime
    revoked: datetime | None = None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(bytes.fromhex(secret)).digest()


def issue(client: str, role: Role, *, now: datetime, expires: datetime) -> tuple[Key, str]:
    """A new key, and its token, which is not stored and cannot be shown again.

    Args:
        client: a name, as `NAME` has it.
        role: any but the guard's own.
        now: with a zone.
        expires: after now.

    Raises:
        BadInput: a name, a role or a time that cannot be.
    """
    if not re.fullmatch(NAME, client):
        raise BadInput(
            f"client {client!r}: a name has 1 to 64 letters, digits or any of _ . @ -, and blanks "
            "between"
        )
    if role is Role.GUARD or client == GUARD.name:
        raise BadInput("the guard itself has no key")
    _check(now, expires)
    name, secret = secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
    return Key(name, client, role, _digest(secret), now, expires), f"{PREFIX}_{name}_{secret}"


def _check(now: datetime, later: datetime) -> None:
    if now.tzinfo is None or later.tzinfo is None:
        raise BadInput("a key's times need a zone, as in 2027-01-31T00:00:00+00:00")
    if later <= now:
        raise BadInput(f"{later.isoformat()}: a key ends after {now.isoformat()}, not before")


def rotate(
    old: Key, *, now: datetime, expires: datetime, overlap: datetime
) -> tuple[Key, Key, str]:
    """A new key for the same client and role; the old one is valid with it until a date.

    Args:
        old: a key that is valid now.
        now: with a zone.
        expires: of the new key.
        overlap: from when on the old one is not valid; never later than it would be anyway.

    Returns:
        the old key as it is to be stored; the new one; the token of the new one.

    Raises:
        BadInput: the old one is not valid any more, or a time cannot be.
    """
    if lapsed(old, now) is not None:
        raise BadInput(f"key {old.id}: is not valid any more; issue a new one")
    _check(now, overlap)
    new, token = issue(old.client, old.role, now=now, expires=expires)
    return replace(old, expires=min(old.expires, overlap)), new, token


def revoke(key: Key, *, now: datetime) -> Key:
    """The key as it is to be stored: not valid from now on; an earlier revocation stays."""
    earlier = key.revoked is not None and key.revoked <= now
    return key if earlier else replace(key, revoked=now)


def lapsed(key: Key, now: datetime) -> Why | None:
    """Why a key is not valid at a time; None = it is."""
    if key.revoked is not None and key.revoked <= now:
        return Why.REVOKED
    return Why.EXPIRED if key.expires <= now else None


def recognised(token: str, find: Callable[[str], Key | None], now: datetime) -> Client | Why:
    """Who holds a token.

    What is compared takes the same time for every secret and whether or not the key is known.
    A key that has lapsed is told from a wrong secret only to who knows its secret.

    Args:
        token: as it was sent.
        find: the stored key of an id.
        now: with a zone.
    """
    match = TOKEN.fullmatch(token)
    key = find(match[1]) if match else None
    secret = match[2] if match else "00" * SECRET_BYTES
    right = hmac.compare_digest(_digest(secret), key.digest if key else NOBODY)
    if match is None:
        return Why.MALFORMED
    if key is None:
        return Why.UNKNOWN
    if not right:
        return Why.WRONG
    why = lapsed(key, now)
    return Client(key.client, key.role, key.id) if why is None else why
