"""A sweep on one worker of Ray and on two: what a second one is worth.

    python -m benchmarks ray

The same smoke jobs of Pima, which differ in their seed, in a folder of their own each time. Workers
are warmed up first: each does a job of another seed, which imports everything. From then on it is
wall time from handing in to the last answer: training, attacks, tables, page and MLflow's SQLite,
into which one worker writes at a time. Starting Ray and warming up are told apart.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.table import table
from pipeline.files import repository_root
from pipeline.params import configured_jobs
from pipeline.sweep.engines import Engine
from pipeline.sweep.jobs import plan_jobs
from pipeline.sweep.on_ray import OnRay
from pipeline.sweep.work import Done, Task
from pipeline.tracking.store import open_store

JOBS, WORKERS = 20, (2, 1)
OVERRIDES = ["experiment=smoke", "threads=1", "defense=baseline"]
WARM_UP = 1000  # seeds from here on


def measure_ray(jobs: int = JOBS) -> list[dict[str, Any]]:
    """Seconds of a sweep for each number of workers.

    Raises:
        BadInput: Ray is not installed.
    """
    entries = []
    for workers in WORKERS:
        entries.append(_measured(workers, jobs))
        print(ray_table(entries), file=sys.stderr, flush=True)
    alone = next(one for one in entries if one["workers"] == 1)
    return [one | {"speed_up": round(alone["seconds"] / one["seconds"], 2)} for one in entries]


def ray_table(entries: list[dict[str, Any]]) -> str:
    """The entries, for people."""
    head = ["workers", "jobs", "seconds", "a job", "start", "warm-up", "speed-up"]
    lines = [
        [
            str(one["workers"]),
            str(one["jobs"]),
            f"{one['seconds']:.1f}",
            f"{one['seconds'] * one['workers'] / one['jobs']:.1f}",
            f"{one['start_s']:.1f}",
            f"{one['warm_up_s']:.1f}",
            f"{one.get('speed_up', float('nan')):.2f}",
        ]
        for one in entries
    ]
    return table(head, lines, 0)


def _measured(workers: int, jobs: int) -> dict[str, Any]:
    ours = repository_root()
    with TemporaryDirectory() as place:
        for name in ("conf", "data"):
            (Path(place) / name).symlink_to((ours / name).resolve())
        was = {name: os.environ.pop(name, None) for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI")}
        os.environ["DVC_ROOT"] = place
        try:
            warm, timed = (_tasks(first, count) for first, count in ((WARM_UP, workers), (0, jobs)))
            load, began = os.getloadavg()[0], time.perf_counter()
            engine = OnRay({"ray": {"init": {"num_cpus": workers}, "remote": {}}}, threads=1)
            started = time.perf_counter()
            try:
                _done(engine, warm)
                warmed = time.perf_counter()
                _done(engine, timed)
                ended = time.perf_counter()
            finally:
                engine.close()
        finally:
            os.environ.pop("DVC_ROOT")
            os.environ.update({name: value for name, value in was.items() if value is not None})
    return {
        "workers": workers,
        "jobs": jobs,
        "seconds": ended - warmed,
        "start_s": started - began,
        "warm_up_s": warmed - started,
        "processors": os.cpu_count(),
        "load_before": load,
    }


def _tasks(first: int, count: int) -> list[Task]:
    seeds = [f"seed={seed}" for seed in range(first, first + count)]
    asked = configured_jobs([*OVERRIDES, f"seed={','.join(one[5:] for one in seeds)}"])
    open_store(asked[0][1])
    planned = plan_jobs(asked)
    return [Task(at, job.defense, job.cfg, job.overrides, "") for at, job in enumerate(planned)]


def _done(engine: Engine, tasks: list[Task]) -> None:
    engine.hand_in(tasks)
    for _ in tasks:
        _, outcome = engine.take()
        if not isinstance(outcome, Done) or outcome.done_before:
            raise RuntimeError(f"nothing to measure: {outcome}")
