"""Runs one stage as `python -m pipeline.stages.<name>` does, and writes where its time went.

python stage_driver.py <stage> <report.json>     in a copy of the repository
"""

import builtins
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
# Module, function, what its time counts as. Wrapped before the stage imports them.
WATCHED = (
    ("pipeline.tracking.store", "open_store", "logging"),
    ("pipeline.stages._training", "train", "training"),
    ("pipeline.risks.evasion.measure.examination", "audit", "attack"),
    ("pipeline.risks.membership.measure.shadows", "leakage", "attack"),
    (
        "pipeline.parallel",
        "share_out",
        "attack",
    ),  # what this process does of it, and what it waits for
    ("pipeline.risks.evasion.tables", "compare", "statistics"),
    ("pipeline.risks.evasion.tables", "evaluate_audits", "statistics"),
    ("pipeline.report", "write_evaluation", "report"),
    ("pipeline.tracking.runs", "log_evaluations", "logging"),
)


class Clock:
    """Every moment counts for the innermost phase alone, so that the phases add up to the whole."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.phases, self.since = [OTHER], time.perf_counter()

    def _settle(self) -> None:
        now = time.perf_counter()
        self.spent[self.phases[-1]] += now - self.since
        self.since = now

    def within(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time counted as `phase`."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
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


def main(stage: str, report: Path) -> None:
    """Imports count as start-up wherever they happen: heavy ones are put off until they are needed."""
    sys.path.insert(0, str(Path.cwd()))
    clock = Clock()
    builtins.__import__ = clock.within(START_UP, builtins.__import__)
    for module_name, function, phase in WATCHED:
        module = __import__(module_name, fromlist=["_"])
        setattr(module, function, clock.within(phase, getattr(module, function)))
    try:
        # The stage is __main__ for others, too: the processes that it shares its work with look its
        # functions up there.
        runpy.run_module(f"pipeline.stages.{stage}", run_name="__main__", alter_sys=True)
    finally:
        report.write_text(json.dumps(clock.report()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
