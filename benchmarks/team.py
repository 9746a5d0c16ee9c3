"""Many processes log the jobs of one sweep at once, and some of them are killed.

    python -m benchmarks team

Eight processes claim 1 000 jobs by their keys and log each as one run, with as many metrics,
parameters and tags as an audit has, to MLflow's server on PostgreSQL; then 200 to a SQLite file.
Some are killed at moments of chance, and others take their place. What is there is counted in the
database itself.
"""

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import deque
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.servers import team, why_absent
from benchmarks.table import table
from pipeline.files import BadInput

WRITERS, JOBS, OF_A_FILE, KILLED = 8, 1000, 200, 12
METRICS, PARAMS, TAGS = 30, 12, 8  # of a run, as an audit logs them
EXPERIMENT = "medsecure-made-up"
WORKER = "from benchmarks.team import log_jobs; log_jobs()"
COUNTED = {
    "finished": "select count(*) from runs {w} and r.status = 'FINISHED'",
    "jobs_finished": "select count(distinct t.value) from runs {w} and r.status = 'FINISHED'",
    "metrics_of_finished": "select count(*) from metrics m join runs {w} and r.status = 'FINISHED'",
    "sum_of_first_metric": "select sum(m.value) from metrics m join runs {w} and "
    "r.status = 'FINISHED' and m.key = 'm00'",
    "params_of_finished": "select count(*) from params m join runs {w} and r.status = 'FINISHED'",
    "marked_killed": "select count(*) from runs {w} and r.status = 'KILLED'",
    "left_running": "select count(*) from runs {w} and r.status = 'RUNNING'",
}
RUNS = "runs r on m.run_uuid = r.run_uuid"
KEYED = "join tags t on t.run_uuid = r.run_uuid and t.key = 'run_key' where 1 = 1"


def measure_team() -> list[dict[str, Any]]:
    """An entry per store: what was logged, and what is in the database.

    Raises:
        BadInput: a server is not installed here.
    """
    if lacks := why_absent():
        raise BadInput(f"team: {lacks}")
    found = []
    with team() as it, TemporaryDirectory() as root:
        told = {**it.store.env, "MLFLOW_TRACKING_URI": it.tracking}
        seconds, killed = race(Path(root), told, JOBS, KILLED)
        rows = counted(lambda question: it.database.ask(question)[0][0])
        notes = (
            "select count(*) from runs where lifecycle_stage = 'active' and name not like 'job%'"
        )
        rows["claims_left"] = it.database.ask(notes)[0][0]
        found.append(entry("MLflow's server on PostgreSQL", JOBS, killed, seconds, rows))
    with TemporaryDirectory() as root:
        file = Path(root) / "mlflow.db"
        told = {"MLFLOW_TRACKING_URI": f"sqlite:///{file}"}
        seconds, killed = race(Path(root), told, OF_A_FILE, KILLED // 4)
        with closing(sqlite3.connect(file)) as database:
            rows = counted(lambda question: database.execute(question).fetchone()[0])
        found.append(entry("a SQLite file", OF_A_FILE, killed, seconds, rows))
    return found


def race(root: Path, told: dict[str, str], jobs: int, kills: int) -> tuple[float, int]:
    """Has writers log all jobs, kills one now and then, and waits; seconds, and how many died."""
    (root / "done").mkdir()
    env = {**os.environ, **told, "DVC_ROOT": str(root), "MLFLOW_DISABLE_TELEMETRY": "true"}
    env |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
    chance = random.Random(0)
    numbers = iter(range(10_000))

    def start() -> subprocess.Popen:
        command = [sys.executable, "-c", WORKER, str(jobs), str(next(numbers))]
        return subprocess.Popen(command, env=env, cwd=Path(__file__).parents[1])

    began = time.perf_counter()
    writers, killed = [start() for _ in range(WRITERS)], 0
    while not any((root / "done").iterdir()):
        time.sleep(0.1)
    for at in range(kills):  # spread over the first half of the work
        wanted = jobs * (at + 1) // (2 * kills)
        while len(os.listdir(root / "done")) < wanted:
            time.sleep(0.02)
        time.sleep(chance.random() * 0.3)
        one = writers.pop(chance.randrange(len(writers)))
        one.kill()
        killed += one.wait() < 0
        writers.append(start())
    ends = [writer.wait() for writer in writers]
    if any(ends):
        raise RuntimeError(f"writers ended with {ends}")
    return time.perf_counter() - began, killed


def log_jobs() -> None:
    """One writer: does every job that no other one does or did."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    from pipeline.sweep.claims import attempt, boards, pause
    from pipeline.tracking.store import (
        end_unfinished,
        find_finished,
        made_once,
        one_writer,
        quiet,
        tracking_uri,
    )

    quiet()
    jobs, number, root = int(sys.argv[1]), int(sys.argv[2]), Path(os.environ["DVC_ROOT"])
    with one_writer():
        import mlflow

        mlflow.set_tracking_uri(tracking_uri())
        client = MlflowClient()
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = (
            known.experiment_id
            if known
            else made_once(
                lambda: client.create_experiment(EXPERIMENT),
                lambda: client.get_experiment_by_name(EXPERIMENT).experiment_id,
            )
        )
    first = number * jobs // WRITERS % jobs
    waiting, busy = deque([*range(first, jobs), *range(first)]), 0
    while waiting:
        job = waiting.popleft()
        key, done = hashlib.sha256(str(job).encode()).hexdigest(), root / "done" / str(job)
        if done.exists():
            continue
        claim = attempt(key, boards())
        if claim is None:
            waiting.append(job)
            busy += 1
            if busy >= len(waiting):
                pause()
                busy = 0
            continue
        busy = 0
        with claim, one_writer():
            if not find_finished(experiment, key):
                end_unfinished(experiment, key)
                made = client.create_run(experiment, run_name=f"job {job}", tags={"run_key": key})
                client.log_batch(
                    made.info.run_id,
                    [Metric(f"m{at:02d}", job + at / 100, 0, 0) for at in range(METRICS)],
                    [Param(f"p{at:02d}", str(job)) for at in range(PARAMS)],
                    [RunTag(f"t{at:02d}", str(job)) for at in range(TAGS)],
                )
                client.set_terminated(made.info.run_id)
            done.touch()


def counted(ask) -> dict[str, Any]:
    """What the database holds of the jobs."""
    return {
        name: ask(
            question.replace("join runs {w}", f"join {RUNS} {KEYED}").replace(
                "runs {w}", f"runs r {KEYED}"
            )
        )
        for name, question in COUNTED.items()
    }


def entry(
    store: str, jobs: int, killed: int, seconds: float, rows: dict[str, Any]
) -> dict[str, Any]:
    """What is committed of one store."""
    return {
        "store": store,
        "writers": WRITERS,
        "jobs": jobs,
        "killed_writers": killed,
        **rows,
        "lost": jobs - rows["jobs_finished"],
        "doubled": rows["finished"] - rows["jobs_finished"],
        "metrics_lost": METRICS * jobs - rows["metrics_of_finished"],
        "sum_is_right": rows["sum_of_first_metric"] == jobs * (jobs - 1) / 2,
        "seconds": round(seconds, 1),
        "runs_per_s": round(jobs / seconds, 1),
        "cores": len(os.sched_getaffinity(0)),
        "mlflow": version("mlflow"),
    }


def team_table(entries: list[dict[str, Any]]) -> str:
    """Lost, doubled, left: the figures that must be zero, beside how quick it was."""
    shown = ("store", "jobs", "killed_writers", "lost", "doubled", "marked_killed", "left_running")
    return table(
        [*shown, "runs_per_s"],
        [[json_text(one[key]) for key in (*shown, "runs_per_s")] for one in entries],
        left=1,
    )


def json_text(value: Any) -> str:
    """A value as a cell."""
    return value if isinstance(value, str) else json.dumps(value)
