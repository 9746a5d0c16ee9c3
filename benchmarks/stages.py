"""Where the time of a cold pipeline goes: each stage in its own process, in a fresh copy of the repository."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks.table import table
from pipeline.files import BadInput

COPIED = ("pipeline", "conf", "data", "params.yaml", "dvc.yaml")
PHASES = ("start_up", "training", "attack", "statistics", "report", "logging", "other")
PASSES = 3


def measure_stages(root: Path, passes: int = PASSES) -> list[dict[str, Any]]:
    """Runs the whole pipeline `passes` times, cold; medians per stage.

    Returns:
        one entry per stage: `wall_s`, the seconds of each phase (they add up to about the wall
            time; `start_up` is the
        interpreter and all imports), and `peak_memory_mib`.
    """
    runs: dict[str, list[dict[str, float]]] = {}
    for number in range(passes):
        with fresh_copy(root) as copy:
            for stage in yaml.safe_load((copy / "dvc.yaml").read_text(encoding="utf-8"))["stages"]:
                print(
                    f"stages, pass {number + 1} of {passes}: {stage} ...",
                    file=sys.stderr,
                    flush=True,
                )
                runs.setdefault(stage, []).append(run_stage(copy, stage))
    return [
        {
            "stage": stage,
            **{key: round(median(run[key] for run in measured), 3) for key in measured[0]},
            "repeats": passes,
        }
        for stage, measured in runs.items()
    ]


@contextmanager
def fresh_copy(root: Path) -> Iterator[Path]:
    """A copy of what the stages need, without results, compiled code or a tracking store."""
    with TemporaryDirectory() as place:
        copy = Path(place)
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(
                    root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(root / name, copy / name)
        yield copy


def run_stage(copy: Path, stage: str) -> dict[str, float]:
    """One stage in a process of its own.

    Raises:
        BadInput: it failed.
    """
    report = copy / f"{stage}.json"
    command = [sys.executable, str(Path(__file__).with_name("stage_driver.py")), stage, str(report)]
    surroundings = os.environ | {
        "DVC_ROOT": str(copy),
        "MLFLOW_TRACKING_URI": f"sqlite:///{copy / 'mlflow.db'}",
    }
    surroundings.pop(
        "PYTHONPATH", None
    )  # the copy is measured, not the tree that it was taken from
    log = copy / f"{stage}.log"
    with log.open("w") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=copy, env=surroundings, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(
            process.pid, 0
        )  # the usage of this one child, not the maximum over all of them
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BadInput(
            f"benchmarks: stage {stage} failed: {(log.read_text().strip().splitlines() or ['no output'])[-1]}"
        )
    spent = json.loads(report.read_text())
    spent["start_up"] += wall - sum(spent.values())  # the interpreter itself, before and after
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return {
        "wall_s": wall,
        **{f"{phase}_s": spent.get(phase, 0.0) for phase in PHASES},
        "peak_memory_mib": kibibytes / 1024,
    }


def stage_table(stages: list[dict[str, Any]]) -> str:
    """One line per stage, seconds, and their sum."""
    keys = ["wall_s", *(f"{phase}_s" for phase in PHASES)]
    lines = [
        [s["stage"], *(f"{s[key]:.2f}" for key in keys), f"{s['peak_memory_mib']:.0f}"]
        for s in stages
    ]
    total = [
        "all",
        *(f"{sum(s[key] for s in stages):.2f}" for key in keys),
        f"{max(s['peak_memory_mib'] for s in stages):.0f}",
    ]
    return table(
        ["stage, seconds", *(key.removesuffix("_s").replace("_", "-") for key in keys), "MiB"],
        [*lines, total],
        left=1,
    )
