"""Processes beside this one, for work that is many small steps and would not use a second thread."""

import multiprocessing
import operator
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
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
    """Does every job, function(*job), in the processes of `workers` and in this one; whoever is free takes the next.

    With the longest jobs first nobody waits long for the last. After a failure no job is begun.

    Returns:
        what each returned, in the order of the jobs. Between processes travel arrays, not tensors.
    """
    left, results = deque(range(len(jobs))), dict[int, Any]()

    def take() -> Iterator[int]:
        with suppress(IndexError):
            while True:
                yield left.popleft()

    def work(call: Callable[..., Any]) -> None:
        try:
            for place in take():
                results[place] = call(function, *jobs[place])
        except BaseException:
            left.clear()
            raise

    others = _spare_threads()
    # A pool takes more jobs than it can begin, so each of its processes is handed one at a time, by
    # a thread that waits for it.
    with workers() as pool, ThreadPoolExecutor(max(others, 1)) as waiting:
        elsewhere = [
            waiting.submit(work, lambda *job: pool.submit(*job).result()) for _ in range(others)
        ]
        work(operator.call)
        for one in elsewhere:
            one.result()
    return [results[place] for place in range(len(jobs))]


@contextmanager
def workers() -> Iterator[Executor]:
    """As many processes as torch has threads beyond the first; meanwhile every process, this one too, computes on one thread.

    They are forked, as torch's own data loaders are, so that they start in milliseconds; where a
    system cannot fork, or there is one thread, the work is done inline. Results do not depend on
    it.
    """
    threads, others = torch.get_num_threads(), _spare_threads()
    if not others:
        yield Inline()
        return
    context = multiprocessing.get_context("fork")
    was = _one_thread()
    try:
        with ProcessPoolExecutor(others, mp_context=context, initializer=_one_thread) as pool:
            pool.submit(
                int
            )  # forks here and now: later another thread of this process could hold a lock
            yield pool
    finally:
        was.restore_original_limits()  # of torch as well, as they were a moment ago
        torch.set_num_threads(threads)


def _one_thread() -> threadpool_limits:
    """From here on torch and NumPy compute on one thread; two of each, in two processes, hinder one another many times over."""
    torch.set_num_threads(1)
    return threadpool_limits(1, user_api="blas")


def _spare_threads() -> int:
    """How many processes may work beside this one."""
    return torch.get_num_threads() - 1 if "fork" in multiprocessing.get_all_start_methods() else 0
