"""A million patients: attack, examine and evaluate of a made-up cohort, each in its process.

    python -m benchmarks.million                   every size, with experiment=million
    python -m benchmarks.million 10000 30000       these
    python -m benchmarks.million 100000 -t 2       by two processes
    python -m benchmarks.million --show            measure nothing

Wall and processor seconds, and the peak resident memory that the kernel counted for a stage and for
the largest process that it waited for. Each stage is kept in `benchmarks/million.json` as soon as
it is measured.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.size import exponent, laid_out
from benchmarks.stages import commands
from benchmarks.table import table
from pipeline.files import BadInput, read_json, write_json

KEPT = Path(__file__).with_name("million.json")
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
EXPERIMENT = "million"
STAGES = ("prepare", "train_baseline", "attack", "adv_train", "examine@adv_train", "evaluate")
BLOCKED = ("attack", "examine@adv_train")  # what two processes share
FIRST = 10_000  # from here on the time of a record must not grow
LIMIT_MIB = 8 * 1024


def measure(copy: Path, stage: str, command: list[str]) -> dict[str, float]:
    """One stage in a process of its own.

    Raises:
        BadInput: it failed.
    """
    log = copy / f"{stage}.log"
    surroundings = os.environ | {
        "DVC_ROOT": str(copy),
        "MLFLOW_TRACKING_URI": f"sqlite:///{copy / 'mlflow.db'}",
    }
    surroundings.pop("PYTHONPATH", None)
    with log.open("w") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=copy,
            env=surroundings,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text().strip().splitlines() or ["no output"]
        raise BadInput(f"benchmarks: stage {stage} failed: {said[-1]}")
    return {
        "wall_s": round(wall, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)),
    }


def lines_of(entries: list[dict[str, Any]], threads: int = 1) -> list[list[str]]:
    """A head and a line a stage and unit: each size, exponents of all sizes and of the last two."""
    own = [one for one in entries if one["threads"] == threads]
    sizes = sorted({one["records"] for one in own})
    lines = [["stage", "unit", *map(str, sizes), "exponent", "of the last two"]]
    for key, unit in (("cpu_s", "CPU s"), ("peak_mib", "MiB")):
        for stage in STAGES:
            cost = {one["records"]: one[key] for one in own if one["stage"] == stage}
            if len(cost) < 2:
                continue
            spans = (sorted(cost), sorted(cost)[-2:])
            powers = [f"{exponent(some, [cost[size] for size in some]):.2f}" for some in spans]
            cells = [f"{cost[size]:.0f}" if size in cost else "" for size in sizes]
            lines.append([stage, unit, *cells, *powers])
    totals = {
        size: [one["cpu_s"] for one in own if one["records"] == size and one["stage"] in STAGES]
        for size in sizes
    }
    each = [f"{1000 * sum(totals[size]) / size:.2f}" for size in sizes]
    lines.append(["all", "CPU ms a record", *each, "", ""])
    return lines


def main(arguments: list[str]) -> None:
    """Measures what is asked for, keeps it, and shows all."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.million",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("records", nargs="*", type=int, help="sizes; default: all")
    parser.add_argument("-t", "--threads", type=int, default=1)
    parser.add_argument("-s", "--stage", action="append", help="these stages; default: all")
    parser.add_argument("-f", "--folder", type=Path, help="of one size; default: a new one")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    given = parser.parse_args(arguments)
    entries: list[dict[str, Any]] = read_json(KEPT) if KEPT.exists() else []
    for records in () if given.show else given.records or SIZES:
        with laid_out(given.folder, records, EXPERIMENT, given.threads, True) as copy:
            for stage, command in commands(copy).items():
                if stage not in (given.stage or STAGES):
                    continue
                print(f"{records}: {stage} ...", file=sys.stderr, flush=True)
                key = {"records": records, "threads": given.threads, "stage": stage}
                entry = key | measure(copy, stage, command)
                print(entry, file=sys.stderr, flush=True)
                entries = read_json(KEPT) if KEPT.exists() else []
                entries = [one for one in entries if not key.items() <= one.items()] + [entry]
                write_json(KEPT, entries)
    head, *lines = lines_of(entries)
    print(table(head, lines, left=2))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
