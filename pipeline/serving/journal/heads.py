"""Signed heads: how long the log was, and what its last row was, at a time.

Rows alone prove nothing against who may write the file: they could all be made anew. A head is
signed with a key that lies elsewhere, and is appended to a file that may lie elsewhere, too.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.serving.journal.errors import Damaged, Unavailable

SIGNED = b"medsecure journal head, version 1\n"  # in front of what is signed: nothing else is
LAST = 4096  # bytes at the end of a file of heads, in which its last line lies whole


@dataclass(frozen=True)
class Head:
    """The log at a time.

    Attributes:
        number: 1, 2, 3, ...
        sequence: of its last row.
        own: the hash of that row, 32 bytes.
        time: as `stamp` writes it.
        signature: Ed25519, 64 bytes.
    """

    number: int
    sequence: int
    own: bytes
    time: str
    signature: bytes = b""

    @property
    def values(self) -> tuple[Any, ...]:
        """The fields in order, as they are stored."""
        return self.number, self.sequence, self.own, self.time, self.signature

    def _signed(self, journal: bytes) -> bytes:
        told = [journal.hex(), self.number, self.sequence, self.own.hex(), self.time]
        return SIGNED + json.dumps(told, separators=(",", ":")).encode()

    def signed(self, journal: bytes, key: Ed25519PrivateKey) -> "Head":
        """With its signature; `journal` is the hash of the first row, 32 bytes."""
        signature = key.sign(self._signed(journal))
        return Head(self.number, self.sequence, self.own, self.time, signature)

    def holds(self, journal: bytes, keys: Iterable[Ed25519PublicKey]) -> bool:
        """Whether one of the keys signed it for this log."""
        for key in keys:
            try:
                key.verify(self.signature, self._signed(journal))
                return True
            except (InvalidSignature, TypeError, AttributeError):
                continue
        return False

    @property
    def line(self) -> str:
        """As it stands in a file of heads: JSON in a line."""
        told = [self.number, self.sequence, self.own.hex(), self.time, self.signature.hex()]
        return json.dumps(told) + "\n"


def read_heads(path: Path) -> list[Head]:
    """The heads of a file, in its order; a last line without an end was not finished.

    Raises:
        Unavailable: it cannot be read.
        Damaged: a line is no head.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{path}: heads cannot be read ({error.strerror})") from None
    return [_read(line, path, f"line {place}") for place, line in enumerate(_whole(text), start=1)]


def _whole(text: bytes) -> list[bytes]:
    return text.split(b"\n")[:-1]


def _read(line: bytes, path: Path, place: str) -> Head:
    try:
        number, sequence, own, time, signature = json.loads(line)
        return Head(int(number), int(sequence), bytes.fromhex(own), time, bytes.fromhex(signature))
    except (ValueError, TypeError):
        raise Damaged(f"{path}: {place} is no head") from None


def append_heads(path: Path, later: Callable[[int], Sequence[Head]]) -> None:
    """Appends the heads that a file lacks; of several writers one at a time.

    An unfinished last line, of a writer that died, is taken off first.

    Args:
        path: the file; it is made, readable by its owner alone.
        later: the heads after the one of a number.

    Raises:
        Unavailable: it cannot be written.
        Damaged: its last line is no head.
    """
    import fcntl

    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            start = max(0, size - LAST)
            text = os.pread(handle, LAST, start)
            end = start + text.rfind(b"\n") + 1
            lines = _whole(text)
            last = _read(lines[-1], path, "the last line").number if lines else 0
            new = "".join(head.line for head in later(last)).encode()
            if not new:
                return
            if end < size:
                os.ftruncate(handle, end)
            if os.pwrite(handle, new, end) < len(new):
                raise Unavailable(f"{path}: heads cannot be written (disk full)")
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise Unavailable(f"{path}: heads cannot be written ({error.strerror})") from None
