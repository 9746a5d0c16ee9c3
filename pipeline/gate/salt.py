"""The salt of a project: what makes a digest of a record useless to whoever does not hold it."""

import os
import secrets
from pathlib import Path

from pipeline.files import BadInput

VARIABLE = "MEDSECURE_SALT"
PLACE = ".medsecure_secret"  # a folder that ignores itself
LEAST = 32  # letters


def salt_of(root: Path) -> bytes:
    """The salt that the environment gives, or that of the project, which is made once.

    Raises:
        BadInput: it is short enough to be guessed, or cannot be read or written.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        given = _own(root / PLACE)
    if len(given) < LEAST:
        raise BadInput(f"{VARIABLE}: at least {LEAST} letters, drawn by chance, not {len(given)}")
    return given.encode()


def _own(place: Path) -> str:
    file = place / "salt"
    try:
        place.mkdir(exist_ok=True)
        (place / ".gitignore").write_text("*\n", encoding="utf-8")
        try:
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return file.read_text(encoding="utf-8").strip()
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(secrets.token_hex(LEAST) + "\n")
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror or error}") from error
