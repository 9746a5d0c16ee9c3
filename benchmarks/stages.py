"""Where the time of a cold pipeline goes: each stage in a process of its own.

The stages run in a fresh copy of the repository.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

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
        time; `start_up` is the interpreter and all imports), and `peak_memory_mib`.
    """
    runs: dict[str, list[dict[str, float]]] = {}
    for number in range(passes):
        with fresh_copy(root) as copy:
            for stage, command in commands(copy).items():
                doing = f"stages, pass {number + 1} of {passes}: {stage} ..."
                print(doing, file=sys.stderr, flush=True)
                runs.setdefault(stage, []).append(run_stage(copy, stage, command))
    return [
        {
            "stage": stage,
            **{key: round(median(run[key] for run in measured), 3) for key in measured[0]},
            "repeats": passes,
        }
        for stage, measured in runs.items()
    ]


def commands(root: Path) -> dict[str, list[str]]:
    """Module and arguments of every stage of `dvc.yaml`, named and expanded as DVC does.

    In the order of the file, which lists each stage after those that it reads.
    """
    stages, values = (
        yaml.safe_load((root / name).read_text(encoding="utf-8"))
        for name in ("dvc.yaml", "params.yaml")
    )
    return {
        name: shlex.split(command)[2:]  # without `python -m`
        for stage, entry in stages["stages"].items()
        for name, command in _expanded(stage, entry, values)
    }


def _expanded(
    stage: str, entry: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Name and command of a stage; of a `foreach` once for each of its items."""
    if "foreach" not in entry:
        yield stage, entry["cmd"]
        return
    for item in values[entry["foreach"].strip("${}")]:
        yield f"{stage}@{item}", entry["do"]["cmd"].replace("${item}", item)


@contextmanager
def fresh_copy(root: Path) -> Iterator[Path]:
    """A copy of what the stages need, without results, compiled code or a tracking store.

    Raises:
        BadInput: the records are not there.
    """
    with TemporaryDirectory() as place:
        copy_into(Path(place), root)
        yield Path(place)


def copy_into(copy: Path, root: Path) -> None:
    """Copies what the stages need.

    Raises:
        BadInput: the records are not there.
    """
    if not (root / "data").is_dir():
        raise BadInput("benchmarks: data: not found; `dvc pull data.dvc` fetches it")
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, copy / name)


class Spent(NamedTuple):
    """What a process cost.

    Attributes:
        wall_s: by the clock.
        cpu_s: of all its processors, and of those processes that it waited for.
        peak_mib: the most memory that it, or one of them, held.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def spent_by(
    copy: Path, stage: str, command: Sequence[str], beside: Callable[[int], Any] | None = None
) -> Spent:
    """One stage of a copy in a process of its own: `python` and its arguments.

    Args:
        copy: of the repository.
        stage: its name.
        command: what follows the interpreter.
        beside: makes what looks at the process while it runs, by `start` and `stop`.

    Raises:
        BadInput: it failed.
    """
    log = copy / f"{stage}.log"
    surroundings = os.environ | {
        "DVC_ROOT": str(copy),
        "MLFLOW_TRACKING_URI": f"sqlite:///{copy / 'mlflow.db'}",
    }
    surroundings.pop("PYTHONPATH", None)  # the copy is measured, not the tree it was taken from
    with log.open("w") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=copy,
            env=surroundings,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        looking = beside(process.pid) if beside is not None else None
        if looking is not None:
            looking.start()
        # The usage of this one child, not the maximum over all of them.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        if looking is not None:
            looking.stop()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text().strip().splitlines() or ["no output"]
        raise BadInput(f"benchmarks: stage {stage} failed: {said[-1]}")
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Spent(wall, usage.ru_utime + usage.ru_stime, kibibytes / 1024)


def run_stage(copy: Path, stage: str, command: list[str]) -> dict[str, float]:
    """One stage in a process of its own; `command` is its module and arguments.

    Raises:
        BadInput: it failed.
    """
    report, driver = copy / f"{stage}.json", Path(__file__).with_name("stage_driver.py")
    whole = spent_by(copy, stage, [str(driver), str(report), *command])
    spent = json.loads(report.read_text())
    # The interpreter itself, before and after.
    spent["start_up"] = spent.get("start_up", 0.0) + whole.wall_s - sum(spent.values())
    return {
        "wall_s": whole.wall_s,
        **{f"{phase}_s": spent.get(phase, 0.0) for phase in PHASES},
        "peak_memory_mib": whole.peak_mib,
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
