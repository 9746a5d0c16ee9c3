"""The file of a private key, which only its owner may read: PEM without a password, mode 0600.

Whoever signs (Ed25519) or opens what is sealed (X25519) has one; here it is made, read and refused.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.files import BadInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

K = TypeVar("K", "Ed25519PrivateKey", "X25519PrivateKey")

FOR_OWNER = 0o600
SECRET_BYTES = 32


def signing_key(path: Path, *, name: str | None = None) -> "Ed25519PrivateKey":
    """The Ed25519 key of a file.

    Args:
        path: the file.
        name: how a message calls it; None = its path.

    Raises:
        BadInput: it is missing, may be read by others, or is no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    held = _read(path, name or str(path))
    if not isinstance(held, Ed25519PrivateKey):
        raise BadInput(f"{name or path}: no Ed25519 key")
    return held


def opening_key(path: Path, *, name: str | None = None) -> "X25519PrivateKey":
    """The X25519 key of a file; arguments and errors as of `signing_key`."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    held = _read(path, name or str(path))
    if not isinstance(held, X25519PrivateKey):
        raise BadInput(f"{name or path}: no X25519 key")
    return held


def make_signing_key(path: Path, *, name: str | None = None) -> "Ed25519PrivateKey":
    """A new Ed25519 key in a new file.

    Raises:
        BadInput: the file exists, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return _made(path, name or str(path), Ed25519PrivateKey.generate)


def make_opening_key(path: Path, *, name: str | None = None) -> "X25519PrivateKey":
    """A new X25519 key in a new file; errors as of `make_signing_key`."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return _made(path, name or str(path), X25519PrivateKey.generate)


def shared_secret(path: Path, *, make: bool = False) -> bytes:
    """32 random bytes of a file, as 64 hexadecimal digits.

    Args:
        path: the file.
        make: write a new one; refused where there is one.

    Raises:
        BadInput: it is missing, exists, may be read by others, or holds something else.
    """
    if make:
        secret = os.urandom(SECRET_BYTES)
        _write(path, str(path), secret.hex().encode())
        return secret
    try:
        secret = bytes.fromhex(_owned(path, str(path)).decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise BadInput(f"{path}: holds no secret of {2 * SECRET_BYTES} hexadecimal digits")
    return secret


def _made(path: Path, name: str, generate: Callable[[], K]) -> K:
    from cryptography.hazmat.primitives import serialization

    made = generate()
    text = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, name, text)
    return made


def _read(path: Path, name: str) -> object:
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_private_key(_owned(path, name), password=None)
    except (ValueError, TypeError):
        raise BadInput(f"{name}: no private key in PEM without a password") from None


def _write(path: Path, name: str, text: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(path, flags, FOR_OWNER), "wb") as file:
            file.write(text)
    except OSError as error:
        raise BadInput(f"{name}: cannot be read or written ({error.strerror})") from error


def _owned(path: Path, name: str) -> bytes:
    """The bytes of a file that only its owner may read."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise BadInput(f"{name}: others may read this private key; chmod 600 it")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{name}: cannot be read or written ({error.strerror})") from error
