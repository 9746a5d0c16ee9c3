"""Runs one stage as `python -m <module> [argument ...]` does, and writes where its time went.

python stage_driver.py <report.json> <module> [argument ...]     in a copy of the repository
"""

import builtins
import functools
import json
import runpy
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

START_UP, OTHER = "start_up", "other"
# Module, function, what its time counts as: wrapped as soon as the module is there, before anybody
# takes the function from it. None is imported for this: a stage is timed with its own imports.
WATCHED = (
    ("pipeline.defenses.trained", "train", "training"),
    ("pipeline.defenses.trained", "train_reported", "training"),
    ("pipeline.stages._examining", "examine", "attack"),
    ("pipeline.parallel", "share_out", "attack"),  # what this process does of it, and its waiting
    ("pipeline.risks.results", "draw_up_all", "statistics"),
    ("pipeline.report.write", "write_evaluation", "report"),
    ("pipeline.tracking.store", "open_store", "logging"),
    ("pipeline.tracking.runs", "log_evaluations", "logging"),
)


class Clock:
    """Every moment counts for one phase alone, so that the phases add up to the whole.

    A phase counts as a whole: shadow models that an attack trains are part of the attack. Imports
    alone count as start-up wherever they happen: heavy ones are put off until they are needed.
    """

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.phases, self.since = [OTHER], time.perf_counter()

    def _settle(self) -> None:
        now = time.perf_counter()
        self.spent[self.phases[-1]] += now - self.since
        self.since = now

    def within(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time counted as `phase`."""

        @functools.wraps(function)  # other processes look the function up by its name
        def timed(*args: Any, **kwargs: Any) -> Any:
            beside = threading.current_thread() is not threading.main_thread()
            if beside or (phase != START_UP and len(self.phases) > 1):
                return function(*args, **kwargs)
            self._settle()
            self.phases.append(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self._settle()
                self.phases.pop()

        return timed

    def report(self) -> dict[str, float]:
        """Seconds of each phase so far."""
        self._settle()
        return dict(self.spent)


def watch(clock: Clock) -> None:
    """From here on imports are timed, and so are the watched functions of what is imported."""
    load, waiting = clock.within(START_UP, builtins.__import__), set(WATCHED)

    def imported(*args: Any, **kwargs: Any) -> Any:
        result = load(*args, **kwargs)
        for one in tuple(waiting):
            name, function, phase = one
            module = sys.modules.get(name)
            if hasattr(module, function):  # not before the module has defined it
                waiting.discard(one)
                setattr(module, function, clock.within(phase, getattr(module, function)))
        return result

    builtins.__import__ = imported


def main(report: Path, module: str, arguments: list[str]) -> None:
    """Runs the stage and writes the seconds of each phase, also when the stage fails."""
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [module, *arguments]
    clock = Clock()
    watch(clock)
    try:
        # The stage is __main__ for others, too: the processes that it shares its work with look its
        # functions up there.
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        report.write_text(json.dumps(clock.report()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
