"""Processes beside this one, for work that is many small steps and would not use a thread more.

They are forked here, or they are tasks of Ray: the configuration says which (`parallel.backend`).
Both get copies of what they need, and compute on one thread. What a job is does not depend on who
does it, nor on how many do: the same numbers give the same bytes.

How far they are is told where somebody said what they do: a bar on a terminal, in a log a plain
line each minute.
"""

import multiprocessing
import os
import pickle
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TextIO

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from pipeline.kernels import CPU, KERNELS, chosen_device

MINUTE, MOMENT = 60.0, 1.0  # between two lines of a log, two looks of a bar; seconds
AHEAD = 2  # jobs for each process that `in_turn` hands out before their results are taken
PROCESSES, RAY = "processes", "ray"
BY_RAY = "parallel.backend=ray"
# By its name, as nobody else needs it: no figure depends on who works, so no stage depends on it.
CLUSTER = "pipeline.cluster"
_told: list[str] = []  # what is being done; nobody is told where nobody said
_backend = [PROCESSES, ""]  # who works, and the address of Ray's head


def use_backend(name: str, address: str | None = None) -> None:
    """Chooses for this process who works beside it.

    Args:
        name: `processes` of this machine, or `ray`.
        address: of a running cluster of Ray; None = one is started here, of as many processes as
            torch has threads, and ends with this process.

    Raises:
        BadInput: Ray is not installed.
    """
    if name == RAY:
        import_module(CLUSTER).ray_for(BY_RAY, address)
    _backend[:] = [name, address or ""]


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
                self._bar.total, self._bar.n = self.asked if self._ahead else None, self.done
                self._bar.refresh()
            else:
                seconds = time.monotonic() - self._began
                jobs = f"{self.done} of {self.asked}" if self._ahead else f"{self.done}"
                print(f"{self._what}: {jobs} jobs, {seconds:.0f} s", file=self._out, flush=True)

    @property
    def _ahead(self) -> bool:
        """Whether jobs are asked for ahead; done as they are asked for, nobody knows how many."""
        return self.asked > self.done

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


class Inline(Executor):
    """Does the work when it is handed in."""

    counted: Progress | None = None
    out = 1  # jobs that are worth handing out ahead of their results

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """The result, ready."""
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        if self.counted is not None:
            self.counted.watch(done)
        return done


class Processes(ProcessPoolExecutor):
    """Processes to which all that they need is copied, when it is handed in; so are their results.

    Left to itself the queue would pickle later, in a thread of its own, and torch would move the
    memory of a tensor to where processes share it while this thread computes with it.
    """

    counted: Progress | None = None
    out = 0  # is set where they are made

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """What waits for the result."""
        packed = super().submit(_unpack_and_do, pickle.dumps((function, args, kwargs)))
        unpacked: Future[Any] = Future()

        def unpack(done: "Future[bytes]") -> None:
            if done.cancelled():
                unpacked.cancel()
            elif (error := done.exception()) is not None:
                unpacked.set_exception(error)
            else:
                unpacked.set_result(pickle.loads(done.result()))

        packed.add_done_callback(unpack)
        if self.counted is not None:
            self.counted.watch(unpacked)
        return unpacked


def _unpack_and_do(job: bytes) -> bytes:
    function, args, kwargs = pickle.loads(job)
    return pickle.dumps(function(*args, **kwargs))


class Tasks(Executor):
    """Tasks of Ray, to which all that they need is copied; so are their results.

    A task whose worker or node dies is done again by another one.
    """

    counted: Progress | None = None

    def __init__(self, processes: int, address: str) -> None:
        """Joins the cluster, or starts one of so many processes, whichever others run beside.

        Raises:
            BadInput: it does not start, or there is none.
        """
        cluster = import_module(CLUSTER)
        ray = cluster.ray_for(BY_RAY, address)
        if not ray.is_initialized():
            variables = KERNELS | {"PYTHONPATH": os.pathsep.join(sys.path)}
            init = {"runtime_env": {"env_vars": variables}}
            cluster.connected(BY_RAY, address, init, {"num_cpus": processes})
        self._ray, self._waiting = ray, set[Any]()
        self.out = AHEAD * int(ray.cluster_resources().get("CPU", processes))
        self._task = ray.remote(num_cpus=1, max_retries=3)(_unpack_and_try)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """What waits for the result."""
        job, unpacked = self._task.remote(pickle.dumps((function, args, kwargs))), Future[Any]()
        self._waiting.add(job)

        def unpack(done: "Future[bytes]") -> None:
            self._waiting.discard(job)
            if (error := done.exception()) is not None:
                unpacked.set_exception(error)
                return
            result, failure = pickle.loads(done.result())
            if failure is None:
                unpacked.set_result(result)
            else:
                unpacked.set_exception(failure)

        job.future().add_done_callback(unpack)
        if self.counted is not None:
            self.counted.watch(unpacked)
        return unpacked

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes back what has not begun, where that is asked for; the cluster stays."""
        if cancel_futures:
            for job in list(self._waiting):
                self._ray.cancel(job)


def _unpack_and_try(job: bytes) -> bytes:
    """For Ray, which would wrap an error in one of its own: the result, or the error."""
    _beside()
    function, args, kwargs = pickle.loads(job)
    try:
        return pickle.dumps((function(*args, **kwargs), None))
    except Exception as error:
        return pickle.dumps((None, error))


Pool = Inline | Processes | Tasks


def share_out(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Does every job, function(*job), in as many processes as torch has threads.

    Whoever is free takes the next job: with the longest first nobody waits long for the last. After
    a failure no further job is begun.

    Returns:
        what each returned, in the order of the jobs.
    """
    processes = min(torch.get_num_threads(), len(jobs))
    with _pool(processes if processes > 1 else 0) as pool:
        waiting = [pool.submit(function, *job) for job in jobs]
        try:
            return [one.result() for one in waiting]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def in_turn(function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """What each job, function(*job), returned, in their order, in as many processes as `share_out`.

    Jobs are made as they are handed out, and few are out at once: so of much work that is cut into
    blocks only a few blocks are held here, whatever the cohort is.
    """
    processes = torch.get_num_threads()
    waiting: deque[Future[Any]] = deque()
    with _pool(processes if processes > 1 else 0) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(function, *job))
                if len(waiting) >= pool.out:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def workers(*, beside: bool = True) -> Iterator[Executor]:
    """As many processes as torch has threads, less one where the caller works `beside` them.

    Every process, this one too, computes on one thread as long as they are there. After a failure
    of the caller no further job is begun.
    """
    processes = torch.get_num_threads() - beside
    with _pool(processes if beside or processes > 1 else 0) as pool:
        yield pool


@contextmanager
def _pool(processes: int) -> Iterator[Pool]:
    """Processes of one thread each, or 0: then the work is done inline.

    Of Ray where that was chosen. Otherwise they are forked, as torch's own data loaders are, so
    that they start in milliseconds; a system that cannot fork works inline, and so does a GPU,
    which a forked process cannot use. Results do not depend on it.
    """
    by_ray = _backend[0] == RAY
    able = (processes and "fork" in multiprocessing.get_all_start_methods()) or by_ray
    if not able or chosen_device() != CPU:
        with threadpool_limits(1, user_api="blas"), progress() as counted:
            inline = Inline()  # on one thread: the last digits are those of a process
            inline.counted = counted
            yield inline
        return
    context = multiprocessing.get_context("fork")
    pool: Tasks | Processes
    with one_thread():
        if by_ray:
            pool = Tasks(max(1, processes), _backend[1])
        else:
            pool = Processes(processes, mp_context=context, initializer=_beside)
            pool.out = AHEAD * processes
        with pool:
            pool.submit(int)  # forks here and now: later a thread of this process could hold a lock
            with progress() as counted:
                pool.counted = counted
                try:
                    yield pool
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes on one thread, as every process beside this one does: bits then do not depend on it.

    Sums of more threads end in other digits.
    """
    threads, was = torch.get_num_threads(), _one_thread()
    try:
        yield
    finally:
        was.restore_original_limits()  # of torch as well, as they were a moment ago
        torch.set_num_threads(threads)


def _beside() -> None:
    """A process of a pool computes on one thread, and tells nobody of its progress."""
    silence()
    _one_thread()


def _one_thread() -> threadpool_limits:
    """From here on torch and NumPy compute on one thread.

    Two threads of each, in two processes, hinder one another many times over.
    """
    torch.set_num_threads(1)
    return threadpool_limits(1, user_api="blas")
