"""Files that are never half-written, and the one error that a person's mistake raises."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import uuid4

if TYPE_CHECKING:
    from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")

MARKS = ("dvc.yaml", "params.yaml")  # of the repository's root
PROJECT = ".medsecure"  # of a project's: which package runs its stages
NOT_APPLICABLE = "not_applicable.json"  # risk -> what could not be asked -> why
NOT_FOR_IMAGES, FOR_IMAGES_ALONE = "not for images", "for images alone"
BY_EXPERIMENT = "asked for by an experiment of its own"
NOT_TRAINED_AGAIN = "the model is deployed as it is, and not trained again"
FOR_NETWORKS_ALONE = "for networks alone, and `model` names another kind"
FOR_TREES_ALONE = "for trees alone: model=forest, extra_trees or boosting"
NOT_FOR_COUNTS = "the headline threat counts measurements, along which no gradient leads"
UNFINISHED, REPLACED = ".unfinished", ".replaced"  # ends of hidden names, which `.dvcignore` knows


class BadInput(Exception):
    """A mistake in a file, a key or the surroundings: one clear line, exit status 2."""


class NotApplicable(Exception):
    """What cannot be asked of a model or of its records: one clause that says why; no error."""


class UnfitModel(BadInput):
    """A recipe that is not made for the configured network: one line that names a network it is."""


class FailedCheck(Exception):
    """A result that contradicts what is claimed of it: one clear line, exit status 1."""


def unheard(command: Callable[P, T]) -> Callable[P, T]:
    """A command that ends without a word when nobody reads on, as under `| head`; status 141."""

    @wraps(command)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            done = command(*args, **kwargs)
            sys.stdout.flush()
            return done
        except BrokenPipeError:
            # Python flushes once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(128 + signal.SIGPIPE) from None

    return quiet


def repository_root() -> Path:
    """The folder that holds `dvc.yaml` and `params.yaml`: this one, or the nearest above it.

    A stage is started there, also in a temporary clone of DVC's; `DVC_ROOT` then names the folder
    that was cloned. A project may lie below that.
    """
    here = Path.cwd().resolve()
    marked = (
        place for place in (here, *here.parents) if any((place / name).is_file() for name in MARKS)
    )
    root = next(marked, here)
    if "DVC_ROOT" not in os.environ:
        return root
    whole = Path(os.environ["DVC_ROOT"]).resolve()
    if not (root / PROJECT).is_file():
        return whole
    clone = next((place for place in (root, *root.parents) if (place / ".dvc").is_dir()), root)
    return whole / root.relative_to(clone)


def git(*arguments: str) -> str:
    """What git says of the repository; nothing where there is none, or no git."""
    try:
        asked = subprocess.run(
            ["git", *arguments], cwd=repository_root(), capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return asked.stdout.strip()


def in_project() -> bool:
    """Whether this is a project, run by the installed package, and no checkout."""
    return (repository_root() / PROJECT).is_file()


def writes_params() -> str:
    """What writes `params.yaml` from `conf/`: a checkout has `make`, a project the command."""
    return "`medsecure run`" if in_project() else "`make params`"


def in_repository(name: str) -> Path:
    """A place in the repository, as it is reached from here: whoever reads it can open it."""
    return Path(os.path.relpath(repository_root() / name))


@contextmanager
def folder(path: Path, keep: bool = False) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `path` when the block ends well.

    An earlier `path` stays as it is until then, and stays for good when the block raises or the
    process dies. Several processes
    may write the same `path` at once: each has a folder of its own, and the last one to finish
    stays.

    Args:
        path: where the folder is to lie.
        keep: the first one to finish stays; for results that are the same whoever makes them.

    Raises:
        BadInput: the disk is full or the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(path, Path.mkdir) as own:
            yield own
            _take_place(own, path, keep)
    except OSError as error:
        raise BadInput(
            f"{path}: cannot write ({error.strerror or error}); earlier results are untouched"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes `text` under a name of its own and renames it: a reader never sees half of it.

    Of several writers at once the last one stays.
    """
    with _unfinished(path, Path.touch) as own:
        own.write_text(text, encoding="utf-8")
        own.replace(path)


@contextmanager
def _unfinished(path: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    """Yields a new file or folder beside `path` that no other writer has; at the end it goes.

    It is locked for as long as its writer lives, so that the next writer can tell what a dead one
    left.
    """
    import fcntl

    _clear(path.parent)
    while True:
        own = path.with_name(f".{path.name}.{uuid4().hex[:12]}{UNFINISHED}")
        create(own)
        with suppress(
            FileNotFoundError
        ):  # before it was locked somebody took it for a dead writer's: once more
            lock = os.open(own, os.O_RDONLY)
            with suppress(
                OSError
            ):  # a file system without locks: there nothing is ever taken for a dead writer's
                fcntl.flock(lock, fcntl.LOCK_EX)
            if own.exists():
                break
            os.close(lock)
    try:
        yield own
    finally:
        _remove(own)
        os.close(lock)


def _take_place(own: Path, path: Path, keep: bool) -> None:
    """Renames a folder to `path`; an earlier one there is moved aside, then removed."""
    replaced = own.with_name(own.name.removesuffix(UNFINISHED) + REPLACED)
    try:
        while True:
            try:
                own.rename(path)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if keep:
                return
            _remove(replaced)
            with suppress(FileNotFoundError):  # another writer was quicker
                path.rename(replaced)
    finally:
        _settle(replaced, path)


def _settle(replaced: Path, path: Path) -> None:
    """An earlier folder that was moved aside goes, or comes back where nothing took its place."""
    if path.exists():
        _remove(replaced)
    else:
        with suppress(OSError):
            replaced.rename(path)


def _clear(place: Path) -> None:
    """Removes what dead writers left in a folder."""
    import fcntl

    for left in place.glob(f".*{UNFINISHED}"):
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its writer lives
                _remove(left)
            finally:
                os.close(lock)
    for left in place.glob(f".*{REPLACED}"):
        stem = left.name.removesuffix(REPLACED)
        if not left.with_name(stem + UNFINISHED).exists():
            _settle(left, left.with_name(stem[1:].rpartition(".")[0] or stem[1:]))


def _remove(left: Path) -> None:
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)


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
