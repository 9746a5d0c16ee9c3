"""How far long work is: a bar on a terminal, a plain line each minute in a log, else nothing."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

MINUTE, MOMENT = 60.0, 1.0  # between two lines of a log, two looks of a bar; seconds
_told: list[str] = []  # what is being done; nobody is told where nobody said


class _Bar(tqdm):  # type: ignore[type-arg]
    """A bar without a thread of its own: processes are forked beside it."""

    monitor_interval = 0


class Progress:
    """Counts jobs as they are asked for and done, and tells of it now and then.

    Attributes:
        asked: jobs so far.
        done: of them.
    """

    def __init__(self, what: str, out: TextIO, every: float) -> None:
        """Tells nobody before `every` seconds are over."""
        self.asked = self.done = 0
        self._what, self._out = what, out
        self._bar: _Bar | None = None
        self._began = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._tell, args=(every,), daemon=True)
        self._thread.start()

    def watch(self, job: "Future[Any]") -> None:
        """One more job; it is done when its future is."""
        with self._lock:
            self.asked += 1
        job.add_done_callback(self._did)

    def _did(self, _: "Future[Any]") -> None:
        with self._lock:
            self.done += 1

    def _tell(self, every: float) -> None:
        while not self._over.wait(every):
            if self._out.isatty():
                if self._bar is None:
                    self._bar = _Bar(desc=self._what, unit="job", file=self._out, leave=False)
                self._bar.total, self._bar.n = self.asked, self.done
                self._bar.refresh()
            else:
                seconds = time.monotonic() - self._began
                said = f"{self._what}: {self.done} of {self.asked} jobs, {seconds:.0f} s"
                print(said, file=self._out, flush=True)

    def close(self) -> None:
        """Nothing is told any more."""
        self._over.set()
        self._thread.join()
        if self._bar is not None:
            self._bar.close()


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Whatever is shared out meanwhile is told of under this name, by this process alone."""
    _told.append(what)
    try:
        yield
    finally:
        _told.clear()


def silence() -> None:
    """For a process beside the one that tells."""
    _told.clear()


@contextmanager
def progress(out: TextIO | None = None, every: float | None = None) -> Iterator[Progress | None]:
    """Who counts the jobs of a pool.

    Args:
        out: where to; None = standard error.
        every: seconds between two looks; None = a moment on a terminal, a minute in a log.

    Yields:
        None where nobody said what is being done, or somebody is already told of it.
    """
    if not _told:
        yield None
        return
    what, where = _told.pop(), out or sys.stderr
    counted = Progress(what, where, every or (MOMENT if where.isatty() else MINUTE))
    try:
        yield counted
    finally:
        counted.close()
        _told.append(what)
