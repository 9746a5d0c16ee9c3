"""Records are sealed for auditors: the service that writes them cannot open them again.

A data key lives for one day in one process (AES-256-GCM, a random nonce a record). It is wrapped
for each auditor: X25519 with a key of its own that is thrown away, HKDF-SHA256, AES-256-GCM. When
the wrapped keys of a day are deleted, nobody opens its records any more, and the chain still holds.

Or records are not kept at all: a keyed hash says later whether a given record was the one.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.files import BadInput

HASHES = "hashes"  # in the place of a block's id
WRAPPING = b"medsecure journal data key, version 1\n"
NONCE, SALT, PUBLIC = 12, 16, 32  # bytes
NO_NONCE = bytes(NONCE)  # a wrapping key is used once
SHOWN = 16  # digits of an auditor's public key that name them


@dataclass(frozen=True)
class Block:
    """A data key.

    Attributes:
        id: 32 hexadecimal digits.
        day: the UTC day on which it is used, as in 2026-11-28.
        key: 32 bytes; in memory alone.
        wrapped: the first digits of each auditor's public key -> the wrapped key.
    """

    id: str
    day: str
    key: bytes
    wrapped: Mapping[str, bytes]

    def seal(self, record: bytes) -> bytes:
        """A nonce, and the encrypted record."""
        nonce = os.urandom(NONCE)
        return nonce + AESGCM(self.key).encrypt(nonce, record, self.id.encode())


@dataclass(frozen=True)
class Auditors:
    """Who may open records.

    Attributes:
        publics: their X25519 public keys, 32 bytes each, at least one.
    """

    publics: tuple[bytes, ...]

    @classmethod
    def of(cls, digits: Sequence[str]) -> Self:
        """Of public keys as 64 hexadecimal digits each.

        Raises:
            BadInput: there is none, or one is none.
        """
        try:
            publics = tuple(bytes.fromhex(one) for one in digits)
        except ValueError:
            publics = ()
        if not publics or any(len(one) != PUBLIC for one in publics):
            raise BadInput("auditors: name at least one public key of 64 hexadecimal digits")
        return cls(publics)

    def block(self, day: str) -> Block:
        """A new data key for a day."""
        name, key = os.urandom(16).hex(), os.urandom(32)
        wrapped = {one.hex()[:SHOWN]: _wrap(key, one, name) for one in self.publics}
        return Block(name, day, key, wrapped)


@dataclass(frozen=True)
class Hashes:
    """No record is kept, only a keyed hash of it.

    Attributes:
        key: 32 secret bytes, in a file outside the log. A hash without a secret would be none: who
            knows the ranges of a record tries them all.
    """

    key: bytes

    def seal(self, record: bytes) -> bytes:
        """A random salt, and HMAC-SHA256 of salt and record: equal records look different."""
        salt = os.urandom(SALT)
        return salt + self._hashed(salt, record)

    def matches(self, sealed: bytes, record: bytes) -> bool:
        """Whether that was the record."""
        return hmac.compare_digest(sealed[SALT:], self._hashed(sealed[:SALT], record))

    def _hashed(self, salt: bytes, record: bytes) -> bytes:
        return hmac.new(self.key, salt + record, hashlib.sha256).digest()


def _wrapping_key(shared: bytes, once: bytes, public: bytes) -> AESGCM:
    info = WRAPPING + once + public
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(shared))


def _wrap(key: bytes, public: bytes, block: str) -> bytes:
    """A public key that is used once, and the data key under what it shares with the auditor's."""
    private = X25519PrivateKey.generate()
    once = private.public_key().public_bytes_raw()
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # a point of small order: everybody would know what is shared
        raise BadInput(f"auditors: {public.hex()} is no public key of a person") from None
    return once + _wrapping_key(shared, once, public).encrypt(NO_NONCE, key, block.encode())


def opened(sealed: bytes, block: str, wrapped: Mapping[str, bytes], key: X25519PrivateKey) -> bytes:
    """The record.

    Args:
        sealed: what `Block.seal` gave.
        block: the id of its data key.
        wrapped: that data key, wrapped for each auditor.
        key: of one of them.

    Raises:
        BadInput: it was sealed for others, or it is not as it was sealed.
    """
    public = key.public_key().public_bytes_raw()
    one = wrapped.get(public.hex()[:SHOWN])
    if one is None:
        raise BadInput(f"sealed for others: {', '.join(wrapped)}; not for {public.hex()[:SHOWN]}")
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(one[:PUBLIC]))
        aead = _wrapping_key(shared, one[:PUBLIC], public)
        data_key = aead.decrypt(NO_NONCE, one[PUBLIC:], block.encode())
        return AESGCM(data_key).decrypt(sealed[:NONCE], sealed[NONCE:], block.encode())
    except (InvalidTag, ValueError):
        raise BadInput("not as it was sealed, or not with that key") from None


def digest_of(wrapped: Mapping[str, bytes]) -> str:
    """One digest of a wrapped data key, which stands in the row that made it."""
    parts = b"".join(
        name.encode() + hashlib.sha256(wrapped[name]).digest() for name in sorted(wrapped)
    )
    return hashlib.sha256(parts).hexdigest()
