"""Files that are never half-written, and the one error that a person's mistake raises."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class BadInput(Exception):
    """A mistake in a file, a key or the surroundings: one clear line for the reader, exit status 2."""


class FailedCheck(Exception):
    """A result that contradicts what is claimed of it: one clear line, exit status 1, nothing is written."""


def repository_root() -> Path:
    """The folder that holds `params.yaml`; DVC names it in `DVC_ROOT`, also from a temporary clone."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `path` when the block ends well.

    An earlier `path` stays as it is until then, and stays for good when the block raises or the
    process dies.

    Raises:
        BadInput: the disk is full or the place cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    replaced = path.with_name(f".{path.name}.replaced")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
        shutil.rmtree(replaced, ignore_errors=True)
        if path.exists():
            path.rename(replaced)
        unfinished.rename(path)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise BadInput(
            f"{path}: cannot write ({error.strerror or error}); earlier results are untouched"
        ) from error
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes `text` under a temporary name and renames it, so that a reader never sees half of it."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON with a stable layout: the same value is the same bytes."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        BadInput: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; run `dvc repro` to make it") from None
    except ValueError as error:
        raise BadInput(
            f"{path}: not valid JSON ({error}); run `dvc repro` to make it again"
        ) from error


def write_tensors(
    path: Path, tensors: "dict[str, Tensor]", metadata: dict[str, str] | None = None
) -> None:
    """Writes tensors as safetensors.

    Raises:
        OSError: the disk is full or the place cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, metadata
        )
    except SafetensorError as error:  # its own name for what the system said
        raise OSError(f"{path.name}: {error}") from error


def read_tensors(path: Path, advice: str) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """Reads tensors and metadata; nothing is unpickled.

    Raises:
        BadInput: the file is missing, truncated or not safetensors; the message ends with `advice`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadInput(
            f"{path}: cannot be read as tensors ({' '.join(str(error).split())}); {advice}"
        ) from error


def sha256(*paths: Path) -> str:
    """The digest of the given files' bytes, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
