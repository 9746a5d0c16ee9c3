"""What runs the jobs of a sweep: this process, workers of Ray, or processes of submitit.

Each engine does one job at a time on a worker, and tells of one end at a time. None of them
decides what a job says.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from pipeline.files import BadInput
from pipeline.project.launchers import HERE, RAY, Launcher
from pipeline.sweep.claims import pause
from pipeline.sweep.jobs import Job
from pipeline.sweep.work import Fault, Outcome, Task

RETRIES = 3  # of a job whose worker died
Work = Callable[[Task], Outcome]


class Engine(Protocol):
    """Takes tasks and gives outcomes.

    Attributes:
        at_once: how many tasks it can use before it has given an outcome.
    """

    at_once: int

    def hand_in(self, tasks: Sequence[Task]) -> None:
        """Has these done, too."""

    def take(self) -> tuple[Task, Outcome]:
        """The next that ends, of those handed in; waits for it."""

    def close(self) -> None:
        """What still runs is stopped."""


class Here:
    """This process, one job after the other."""

    at_once = 1

    def __init__(self, do: Work) -> None:
        """With whatever does a task."""
        self._do = do
        self._waiting: deque[Task] = deque()

    def hand_in(self, tasks: Sequence[Task]) -> None:
        """See `Engine`."""
        self._waiting.extend(tasks)

    def take(self) -> tuple[Task, Outcome]:
        """See `Engine`."""
        task = self._waiting.popleft()
        return task, self._do(task)

    def close(self) -> None:
        """See `Engine`."""


@contextmanager
def engine_of(launcher: Launcher, do: Work, threads: int) -> Iterator[Engine]:
    """What the launcher names.

    Args:
        launcher: of the command line.
        do: does a task in this process.
        threads: of the job that computes on most.

    Raises:
        BadInput: its package is not installed, or refuses a setting.
    """
    engine: Engine
    if launcher.kind == HERE:
        engine = Here(do)
    elif launcher.kind == RAY:
        from pipeline.sweep.on_ray import OnRay

        engine = OnRay(launcher.settings, threads)
    else:
        from pipeline.sweep.on_submitit import OnSubmitit

        engine = OnSubmitit(launcher, threads)
    try:
        yield engine
    finally:
        engine.close()


def in_turn(
    jobs: Sequence[Job],
    engine: Engine,
    begin: Callable[[int], Task],
    retried: Callable[[int, str], None],
) -> Iterator[tuple[int, Outcome]]:
    """Has every job done once; who is compared with another waits until that one is over.

    A job whose worker died is handed in again, a few times; one that a worker of another command is
    at, after the others.

    Args:
        jobs: those without a defense before whoever is compared with them.
        engine: what does them.
        begin: makes the task of the job at a place.
        retried: is told of such a job, and why.

    Yields:
        the places of jobs, in the order in which they end, and how they ended.
    """
    waiting, lost, busy = list(range(len(jobs))), Counter[int](), 0
    running: set[int] = set()
    over: set[str] = set()
    while waiting or running:
        ready = [at for at in waiting if jobs[at].control in (jobs[at].key, *over)]
        tasks = []
        for at in ready[: max(engine.at_once - len(running), 0)]:
            waiting.remove(at)
            try:
                tasks.append(begin(at))
            except BadInput as error:
                over.add(jobs[at].key)
                yield at, Fault(str(error), "mistake")
            else:
                running.add(at)
        if tasks:
            engine.hand_in(tasks)
        if not running:
            continue
        task, outcome = engine.take()
        running.remove(task.at)
        if isinstance(outcome, Fault) and outcome.kind == "lost" and lost[task.at] < RETRIES:
            lost[task.at] += 1
            retried(task.at, outcome.said)
            waiting.insert(0, task.at)
            continue
        if isinstance(outcome, Fault) and outcome.kind == "busy":
            waiting.append(task.at)
            busy += 1
            if busy > len(ready):
                pause()
                busy = 0
            continue
        busy = 0
        over.add(jobs[task.at].key)
        yield task.at, outcome
