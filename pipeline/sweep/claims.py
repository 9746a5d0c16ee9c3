"""Who does a job: each is claimed by its key, so that no two workers do the same one at a time.

What this promises, of all workers that look at the same boards:

- At most one of them holds a key.
- Who died holds nothing. On its own machine that is known at once, as its lock went with it; on
  another one as soon as its note has not been renewed for `DEAD` seconds of the watch of whoever
  looks. No two clocks are ever compared.
- Who slept for longer than that may have lost its claim: `Claim.held` says so, to be asked before
  anything is published.
- A claim says nothing of results. A job is finished when its folder has its name
  (`pipeline.files.folder`) and its run in MLflow its end, and both come last: what a killed worker
  left never counts.

Not promised: that a job which failed is not tried again by the next worker, nor anything where a
process claims from two threads.

A worker puts a note on every board, then looks for notes of others: who sees none holds the key.
For two to hold it each must have looked before the other had put its note, and have put its own
before it looked. Who sees another takes its note back.
"""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Protocol
from uuid import uuid4

from pipeline.files import BadInput, repository_root

CLAIMS = ".claims"  # below sweeps/
RENEWED, DEAD = 20.0, 180.0  # seconds: between two renewals, until who renews nothing is dead
MOMENT = 0.5  # seconds between two looks at what another worker does, about


class Board(Protocol):
    """Where workers see each other's notes."""

    def others(self, key: str, own: str = "") -> bool:
        """Whether a living worker has a note of this key there, beside `own`."""

    def put(self, key: str) -> str:
        """Puts a note there; returns its name."""

    def renew(self, note: str) -> None:
        """Shows that whoever put the note is alive."""

    def stands(self, note: str) -> bool:
        """Whether the note is still there: nobody took its worker for dead."""

    def drop(self, note: str) -> None:
        """Takes the note back."""


class FolderBoard:
    """Notes as files, each locked for as long as its worker lives.

    Workers of one machine know each other's death by the locks. Of those of another machine a lock
    that cannot be had is a sign of life, and one that can be had is none of death: file systems
    that are shared may keep locks to each machine.
    """

    def __init__(self, place: Path, dead: float = DEAD) -> None:
        """A board for whoever sees the folder.

        Args:
            place: the folder; made where there is none.
            dead: seconds after which a note of another machine that is not renewed is a dead one's.
        """
        self.place, self.dead = place, dead
        self._seen: dict[Path, tuple[int, float]] = {}

    def others(self, key: str, own: str = "") -> bool:
        """Whether a living worker has a note of this key there, beside `own`."""
        place = self.place / key[:32]
        try:
            notes = [str(place / name) for name in os.listdir(place)]
        except (FileNotFoundError, NotADirectoryError):
            return False
        return any(self._alive(Path(note)) for note in notes if note != own)

    def put(self, key: str) -> str:
        """Puts a note there; returns its name.

        Raises:
            BadInput: the place cannot be written.
        """
        import fcntl

        while True:
            note = self.place / key[:32] / f"{uuid4().hex[:12]}@{machine()}"
            try:
                note.parent.mkdir(parents=True, exist_ok=True)
                lock = os.open(note, os.O_CREAT | os.O_EXCL | os.O_RDWR)
            except FileNotFoundError:  # the last one to leave removed the folder: once more
                continue
            except FileExistsError as error:  # it went as it was looked at: likewise
                if note.parent.exists() and not note.parent.is_dir():
                    raise BadInput(f"{note.parent}: is no folder") from error
                continue
            except OSError as error:
                raise BadInput(f"{note}: cannot write ({error.strerror or error})") from error
            with suppress(OSError):  # a file system without locks: renewals alone show life
                fcntl.flock(lock, fcntl.LOCK_EX)
            if note.exists():
                _locks[str(note)] = lock
                return str(note)
            os.close(lock)  # before it was locked somebody took it for a dead one's: once more

    def renew(self, note: str) -> None:
        """Shows that whoever put the note is alive."""
        os.utime(note)

    def stands(self, note: str) -> bool:
        """Whether the note is still there."""
        return Path(note).exists()

    def drop(self, note: str) -> None:
        """Takes the note back."""
        Path(note).unlink(missing_ok=True)
        os.close(_locks.pop(note))
        with suppress(OSError):  # others have notes there
            Path(note).parent.rmdir()

    def _alive(self, note: Path) -> bool:
        """Whether the worker of a note lives; a dead one's note goes."""
        import fcntl

        try:
            lock = os.open(note, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if note.name.endswith(f"@{machine()}"):
                    note.unlink(missing_ok=True)
                    return False
                return self._renewed(note, os.fstat(lock).st_mtime_ns)
            return True
        finally:
            os.close(lock)

    def _renewed(self, note: Path, at: int) -> bool:
        """Whether a note of another machine changed within `dead` seconds of being watched."""
        known, since = self._seen.get(note, (None, 0.0))
        now = time.monotonic()
        if at != known:
            self._seen[note] = (at, now)
            return True
        if now - since < self.dead:
            return True
        note.unlink(missing_ok=True)
        return False


class Claim:
    """A key that this process holds, until `release`, the end of a `with`, or its death."""

    def __init__(self, key: str, notes: Sequence[tuple[Board, str]], inner: bool = False) -> None:
        """Made by `attempt`; an `inner` one is of a key that the process holds already."""
        self.key = key
        self._notes, self._inner = notes, inner

    def held(self) -> bool:
        """Whether it is still ours: nobody took this process for dead."""
        return all(board.stands(note) for board, note in self._notes)

    def release(self) -> None:
        """Others may have it; an inner claim leaves that to the outer one."""
        if not self._inner and _held.pop(self.key, None) is self:
            _withdraw(self._notes)

    def renew(self) -> None:
        """Shows on every board that this process is alive."""
        for board, note in self._notes:
            with suppress(Exception):  # a server that is away for a moment; `held` says if too long
                board.renew(note)

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def attempt(key: str, boards: Sequence[Board] = ()) -> Claim | None:
    """Claims a key where no other worker holds it; waits for nobody.

    Args:
        key: of the job, `pipeline.sweep.keys.run_key`.
        boards: those that are looked at beside `here()`, after it.

    Returns:
        the claim, to be released; None: another worker holds it, or claims it at this moment. Of a
        key that this process holds already it is a claim inside that one.

    Raises:
        BadInput: the folder of claims cannot be written.
    """
    if key in _held and _held[key].held():
        return Claim(key, _held[key]._notes, inner=True)
    notes: list[tuple[Board, str]] = []
    try:
        for board in (here(), *boards):
            if board.others(key):
                break
            notes.append((board, board.put(key)))
            if board.others(key, notes[-1][1]):
                break
        else:
            _held[key] = claim = Claim(key, notes)
            _keep_renewing()
            return claim
    except BaseException:
        _withdraw(notes)
        raise
    _withdraw(notes)
    return None


def wait_for(key: str, boards: Sequence[Board] = ()) -> Claim:
    """Claims a key as `attempt`, as soon as no other worker holds it."""
    while (claim := attempt(key, boards)) is None:
        pause()
    return claim


def boards() -> tuple[Board, ...]:
    """Those beside `here()` of whoever logs a job: the tracking server, where there is one."""
    from pipeline.tracking.store import shared, tracking_uri

    if not shared():
        return ()
    own = f"{machine()} {here().place.resolve()}"
    return (_server(hashlib.sha256(own.encode()).hexdigest()[:32], tracking_uri()),)


def pause() -> None:
    """Waits a moment, never the same, so that two who met do not meet again."""
    time.sleep(MOMENT * (0.5 + os.urandom(1)[0] / 255))


def here() -> FolderBoard:
    """The board of whoever sees `sweeps/` of this repository."""
    return _board(repository_root() / "sweeps" / CLAIMS)


@lru_cache
def machine() -> str:
    """This machine since it was started: its name, and what tells it from others of that name."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text(encoding="ascii")[:8] if boot.exists() else "0"
    return f"{socket.gethostname().replace('/', '_')}-{started}"


@lru_cache
def _server(place: str, _uri: str) -> Board:
    from pipeline.tracking.board import ServerBoard

    return ServerBoard(place, DEAD)


_board = lru_cache(FolderBoard)
_held: dict[str, Claim] = {}
_locks: dict[str, int] = {}  # note -> what holds its lock
_renewing: list[threading.Thread] = []


def _withdraw(notes: Sequence[tuple[Board, str]]) -> None:
    for board, note in reversed(notes):
        board.drop(note)


def _keep_renewing() -> None:
    if not _renewing:
        _renewing.append(threading.Thread(target=_renew, daemon=True))
        _renewing[0].start()


def _renew() -> None:
    while True:
        time.sleep(RENEWED)
        for claim in list(_held.values()):
            claim.renew()


def _forget() -> None:
    """A forked process holds nothing; its copies of the locks would outlive the worker."""
    _held.clear()
    _renewing.clear()
    while _locks:
        os.close(_locks.popitem()[1])


os.register_at_fork(after_in_child=_forget)
