"""Processes beside this one, for work that is many small steps and would not use a thread more."""

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from pipeline.progress import Progress, progress, silence


class Inline(Executor):
    """Does the work when it is handed in."""

    counted: Progress | None = None

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
def _pool(processes: int) -> Iterator[Executor]:
    """Processes of one thread each, or 0: then the work is done inline.

    They are forked, as torch's own data loaders are, so that they start in milliseconds; a system
    that cannot fork works inline. Results do not depend on it.
    """
    if not processes or "fork" not in multiprocessing.get_all_start_methods():
        with threadpool_limits(1, user_api="blas"), progress() as counted:
            pool = Inline()  # on one thread: the last digits are those of a process
            pool.counted = counted
            yield pool
        return
    threads, context = torch.get_num_threads(), multiprocessing.get_context("fork")
    was = _one_thread()
    try:
        with Processes(processes, mp_context=context, initializer=_beside) as pool:
            pool.submit(int)  # forks here and now: later a thread of this process could hold a lock
            with progress() as counted:
                pool.counted = counted
                try:
                    yield pool
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
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
