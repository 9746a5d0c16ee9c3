"""Processes beside this one, for work that is many small steps and would not use a second thread."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch


class Inline(Executor):
    """Does the work when it is handed in."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """The result, ready."""
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


def share_out(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Does every job, function(*job), in the processes of `workers` and in this one; whoever is free takes the next.

    Returns:
        what each returned, in the order of the jobs. Between processes travel arrays, not tensors.
    """
    with workers() as pool:
        tasks = [pool.submit(function, *job) for job in jobs]
        # What nobody has begun is done here.
        done = {place: function(*job) for place, (job, task) in enumerate(zip(jobs, tasks, strict=True)) if task.cancel()}
        return [done[place] if place in done else task.result() for place, task in enumerate(tasks)]


@contextmanager
def workers() -> Iterator[Executor]:
    """As many processes as torch has threads beyond the first; meanwhile every process, this one too, computes on one thread.

    They are forked, as torch's own data loaders are, so that they start in milliseconds; where a system cannot fork, or there
    is one thread, the work is done inline. Results do not depend on it.
    """
    threads = torch.get_num_threads()
    if threads == 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield Inline()
        return
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    try:
        with ProcessPoolExecutor(threads - 1, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
