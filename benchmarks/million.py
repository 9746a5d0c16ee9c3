"""A million patients: attack, examine and evaluate of a made-up cohort, each in its process.

    python -m benchmarks.million                   every size, with experiment=million
    python -m benchmarks.million 10000 30000       these
    python -m benchmarks.million 100000 -t 2       by two processes
    python -m benchmarks.million 100000 -t 2 -b ray -f FOLDER -s attack   by two tasks of Ray
    python -m benchmarks.million 300000 --split    what of `attack` two processes can share
    python -m benchmarks.million --show            measure nothing

Wall and processor seconds, and the peak resident memory that the kernel counted for a stage and for
the largest process that it waited for. Each stage is kept in `benchmarks/million.json` as soon as
it is measured.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.size import exponent, laid_out
from benchmarks.stages import commands, spent_by
from benchmarks.table import table
from pipeline.files import BadInput, read_json, write_json, write_text
from pipeline.parallel import PROCESSES, RAY

SPLIT = Path(__file__).with_name("million_split.json")
KEPT = Path(__file__).with_name("million.json")
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
EXPERIMENT = "million"
STAGES = ("prepare", "train_baseline", "attack", "adv_train", "examine@adv_train", "evaluate")
ATTACK = "attack"
# Runs a stage, and says at its end what it computed, and how much of it in blocks.
DRIVER = """
import json, resource, runpy, sys, time
from pathlib import Path
import pipeline.stages
from pipeline.risks.evasion.measure import blocks
told, (module, *sys.argv[1:]) = Path(sys.argv[1]), sys.argv[2:]
spent, examined = [0.0], blocks._examine_block
def timed(*job):
    begin = time.process_time()
    found = examined(*job)
    spent[0] += time.process_time() - begin
    return found
begin = time.perf_counter()
if "1" == sys.argv.pop():
    blocks._examine_block = timed
runpy.run_module(module, run_name="__main__")
usage = resource.getrusage(resource.RUSAGE_SELF)
own = usage.ru_utime + usage.ru_stime
wall = time.perf_counter() - begin
told.write_text(json.dumps(dict(own=own, blocks=spent[0], wall=wall)))
"""


def measure(copy: Path, stage: str, command: list[str]) -> dict[str, float]:
    """One stage in a process of its own.

    Raises:
        BadInput: it failed.
    """
    spent = spent_by(copy, stage, ["-m", *command])
    return {
        "wall_s": round(spent.wall_s, 1),
        "cpu_s": round(spent.cpu_s, 1),
        "peak_mib": round(spent.peak_mib),
    }


def split(records: int, folder: Path | None) -> dict[str, float]:
    """What Amdahl's law says of two processes, by the parts of one, and what two did.

    Returns:
        processor seconds of `attack` by one process, `blocks_s` of them in blocks, `alone_s` not;
        `predicted`: how much faster two are by that; `alone_of_two_s`: what the process that hands
        blocks out computed; `found`, by `wall_1_s, wall_2_s`: on the machine as it was, whoever
        else computed.
    """
    told = {}
    for threads in (1, 2):
        with laid_out(folder, records, EXPERIMENT, 1, True) as copy:
            asked_of(copy, threads, PROCESSES)
            for stage, command in commands(copy).items():
                if stage in STAGES[:2] and not (copy / "artifacts" / stage).is_dir():
                    measure(copy, stage, command)
            script, out = copy / "driver.py", copy / "split.json"
            script.write_text(DRIVER)
            module, *rest = commands(copy)[ATTACK]
            place = {"DVC_ROOT": str(copy), "PYTHONPATH": str(copy)}
            call = [sys.executable, str(script), str(out), module, *rest, str(threads)]
            subprocess.run(call, cwd=copy, env=os.environ | place, check=True)
            told[threads] = read_json(out)
    one, two = told[1], told[2]
    alone = one["own"] - one["blocks"]
    numbers = {
        "records": records,
        "cpu_s": one["own"],
        "blocks_s": one["blocks"],
        "alone_s": alone,
        "predicted": one["own"] / (alone + one["blocks"] / 2),
        "alone_of_two_s": two["own"],
        "wall_1_s": one["wall"],
        "wall_2_s": two["wall"],
        "found": one["wall"] / two["wall"],
    }
    return {name: round(value, 2) for name, value in numbers.items()}


def asked_of(copy: Path, threads: int, backend: str) -> None:
    """So many processes, or tasks of Ray, from now on."""
    params = copy / "params.yaml"
    text = re.sub(r"(?m)^threads: \d+", f"threads: {threads}", params.read_text(encoding="utf-8"))
    write_text(params, re.sub(r"(?m)^  backend: \w+", f"  backend: {backend}", text))


def lines_of(entries: list[dict[str, Any]]) -> list[list[str]]:
    """A head and a line a stage and unit: each size, exponents of all sizes and of the last two.

    Of one process.
    """
    own = [one for one in entries if one["threads"] == 1]
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
    whole = of_a_record(own)
    each = [f"{whole[size]:.2f}" if size in whole else "" for size in sizes]
    lines.append(["all", "CPU ms a record", *each, "", ""])
    return lines


def walls_of(entries: list[dict[str, Any]]) -> list[list[str]]:
    """A head and a line a stage: wall seconds of the largest cohort, by who worked on it."""
    most = max(one["records"] for one in entries)
    wall = {
        (one["stage"], (one["threads"], one["backend"])): one["wall_s"]
        for one in entries
        if one["records"] == most
    }
    ways = sorted({way for _, way in wall})
    lines = [["stage", *(f"{count} {backend}" for count, backend in ways)]]
    for stage in STAGES:
        own = [wall.get((stage, way)) for way in ways]
        lines.append([stage, *("" if one is None else f"{one:.0f}" for one in own)])
    return lines


def page_of(lines: list[list[str]]) -> str:
    """A head and lines for docs/scale.md."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def of_a_record(entries: list[dict[str, Any]]) -> dict[int, float]:
    """By size, processor milliseconds of all stages for one record; of sizes that are complete."""
    found = {}
    for size in sorted({one["records"] for one in entries}):
        spent = {one["stage"]: one["cpu_s"] for one in entries if one["records"] == size}
        if spent.keys() >= set(STAGES):
            found[size] = 1000 * sum(spent[stage] for stage in STAGES) / size
    return found


def main(arguments: list[str]) -> None:
    """Measures what is asked for, keeps it, and shows all."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.million",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("records", nargs="*", type=int, help="sizes; default: all")
    parser.add_argument("-t", "--threads", type=int, default=1)
    parser.add_argument("-b", "--backend", choices=(PROCESSES, RAY), default=PROCESSES)
    parser.add_argument("-s", "--stage", action="append", help="these stages; default: all")
    parser.add_argument("-f", "--folder", type=Path, help="of one size; default: a new one")
    parser.add_argument("--split", action="store_true", help="parts of `attack` alone")
    parser.add_argument("--page", action="store_true", help="for docs/scale.md")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    given = parser.parse_args(arguments)
    if given.split:
        for records in given.records or SIZES[-2:-1]:
            entry = split(records, given.folder)
            parts = read_json(SPLIT) if SPLIT.exists() else []
            write_json(SPLIT, [one for one in parts if one["records"] != records] + [entry])
            print(entry)
        return
    entries: list[dict[str, Any]] = read_json(KEPT) if KEPT.exists() else []
    for records in () if given.show else given.records or SIZES:
        with laid_out(given.folder, records, EXPERIMENT, given.threads, True) as copy:
            asked_of(copy, given.threads, given.backend)
            for stage, command in commands(copy).items():
                if stage not in (given.stage or STAGES):
                    continue
                print(f"{records}: {stage} ...", file=sys.stderr, flush=True)
                key = {"records": records, "threads": given.threads, "backend": given.backend}
                key["stage"] = stage
                entry = key | measure(copy, stage, command)
                print(entry, file=sys.stderr, flush=True)
                entries = read_json(KEPT) if KEPT.exists() else []
                entries = [one for one in entries if not key.items() <= one.items()] + [entry]
                write_json(KEPT, entries)
    for lines, left in ((lines_of(entries), 2), (walls_of(entries), 1)):
        print(page_of(lines) if given.page else table(lines[0], lines[1:], left=left), end="\n\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
