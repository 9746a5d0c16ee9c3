"""Long work in pieces: each result as soon as it is there, so that it can be kept."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Any, TypeVar

import torch

from pipeline.parallel import workers

Job = TypeVar("Job", bound=tuple[Any, ...])


def as_done(function: Callable[..., Any], jobs: Iterable[Job]) -> Iterator[tuple[Job, Any]]:
    """Does every job, function(*job), in as many processes as torch has threads.

    Returns:
        each job and what it returned, in the order in which they end; no more jobs are begun than
        there are processes, so that whoever stops this loses little.
    """
    todo = iter(jobs)
    at_once = torch.get_num_threads()
    with workers(beside=False) as pool:
        waiting: dict[Future[Any], Job] = {}
        while True:
            for job in islice(todo, at_once - len(waiting)):
                waiting[pool.submit(function, *job)] = job
            if not waiting:
                return
            for one in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(one), one.result()
