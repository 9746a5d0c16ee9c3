"""Processes beside this one, for work that is many small steps and would not use a thread more."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from threadpoolctl import threadpool_limits


class Inline(Executor):
    """Does the work when it is handed in."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """The result, ready."""
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


def share_out(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Does every job, function(*job), in as many processes as torch has threads.

    Whoever is free takes the next job: with the longest first nobody waits long for the last. After
    a failure no further job is begun.

    Returns:
        what each returned, in the order of the jobs. Between processes travel arrays, not tensors.
    """
    with _pool(min(torch.get_num_threads(), len(jobs))) as pool:
        waiting = [pool.submit(function, *job) for job in jobs]
        try:
            return [one.result() for one in waiting]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def workers(*, beside: bool = True) -> Iterator[Executor]:
    """As many processes as torch has threads, less one where the caller works `beside` them.

    Every process, this one too, computes on one thread as long as they are there. Results that they
    return are arrays, not tensors. After a failure of the caller no further job is begun.
    """
    with _pool(torch.get_num_threads() - beside, beside=beside) as pool:
        yield pool


@contextmanager
def _pool(processes: int, *, beside: bool = False) -> Iterator[Executor]:
    """Processes of one thread each, or none at all: then the work is done inline.

    They are forked, as torch's own data loaders are, so that they start in milliseconds; a system
    that cannot fork works inline. Results do not depend on it.
    """
    alone = processes < (1 if beside else 2)
    if alone or "fork" not in multiprocessing.get_all_start_methods():
        with threadpool_limits(1, user_api="blas"):  # the last digits are those of a process
            yield Inline()
        return
    threads, context = torch.get_num_threads(), multiprocessing.get_context("fork")
    was = _one_thread()
    try:
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_one_thread) as pool:
            pool.submit(int)  # forks here and now: later a thread of this process could hold a lock
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        was.restore_original_limits()  # of torch as well, as they were a moment ago
        torch.set_num_threads(threads)


def _one_thread() -> threadpool_limits:
    """From here on torch and NumPy compute on one thread.

    Two threads of each, in two processes, hinder one another many times over.
    """
    torch.set_num_threads(1)
    return threadpool_limits(1, user_api="blas")
