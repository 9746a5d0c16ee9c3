"""What more records cost: every stage on made-up cohorts of several sizes, each in its process.

    python -m benchmarks.size                      every size, with experiment=large
    python -m benchmarks.size 768 5000             these
    python -m benchmarks.size 768 -e smoke         with another preset of conf/experiment
    python -m benchmarks.size 768 -s attack        up to this stage, in the order of dvc.yaml
    python -m benchmarks.size 768 -x               with `examine` of every defense
    python -m benchmarks.size 70000 -f FOLDER      what stands there of an earlier run is kept

Processor seconds, and the most memory that a stage and its helpers held together. Each stage is
kept in `benchmarks/size.json` as soon as it is measured.
"""

import argparse
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isnan, log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.stages import commands, copy_into, fresh_copy, spent_by
from benchmarks.table import table
from pipeline.files import BadInput, read_json, repository_root, write_json, write_text
from pipeline.project.composition import compose
from pipeline.statistics import Array

KEPT = Path(__file__).with_name("size.json")
SIZES, FEATURES = (768, 5_000, 20_000, 70_000), 12
LIMIT = 1.1  # of the exponents of seconds and of memory
THREADS = 1  # whose processor seconds are the work that there is, whoever else computes
MISSING, ILL = 0.05, 0.35  # shares of the values, and of the patients
INTERVAL = 0.5  # seconds between two looks at the memory
NAME = "made_up"


def made_up(rows: int) -> pd.DataFrame:
    """Twelve measurements on a clinic's grid, each with a little of the outcome, some missing."""
    draw = np.random.default_rng(rows)
    ill = draw.random(rows) < ILL
    common = draw.standard_normal((rows, 1))
    signal = np.linspace(0.2, 1.2, FEATURES) * ill[:, None]
    values = np.round(
        100 + 10 * (0.8 * draw.standard_normal((rows, FEATURES)) + 0.6 * common + signal)
    )
    values = np.clip(values, 40, 160)
    values[draw.random(values.shape) < MISSING] = np.nan
    frame = pd.DataFrame(values, columns=[f"m{number}" for number in range(FEATURES)])
    return frame.assign(outcome=ill.astype(int))


def install(copy: Path, rows: int, experiment: str, threads: int, examined: bool) -> None:
    """Puts a cohort, its description and `params.yaml` into a copy of the repository.

    Only the undefended models are attacked, unless defenses are to be `examined`.
    """
    place = copy / "data" / "local" / f"{NAME}.csv"
    place.parent.mkdir(parents=True, exist_ok=True)
    made_up(rows).to_csv(place, index=False)
    known = yaml.safe_load((copy / "conf" / "data" / "pima.yaml").read_text(encoding="utf-8"))
    feature = next(one for one in known["features"].values() if one["kind"] == "real") | {
        "unit": "unit",
        "lower": 40,
        "upper": 160,
        "step": 1.0,
        "mutable": True,
        "private": False,
        "center": 100.0,
        "scale": 10.0,
        "error": 3.0,
        "error_source": "made up",
        "source": "made up",
    }
    features = {f"m{number}": feature for number in range(FEATURES)}
    features["m0"] = feature | {"mutable": False}
    features["m11"] = features["m10"] = feature | {"private": True}
    described = known | {
        "name": NAME,
        "title": "Made-up patients",
        "file": f"data/local/{NAME}.csv",
        "target": "outcome",
        "auroc_ceiling": None,
        "bands": {},
        "features": features,
    }
    write_text(copy / "conf" / "data" / f"{NAME}.yaml", yaml.safe_dump(described, sort_keys=False))
    chosen = [f"data={NAME}", f"experiment={experiment}", f"threads={threads}"]
    chosen += [] if examined else ["examine=[]"]
    write_text(copy / "params.yaml", compose(chosen, copy / "conf"))


def measure(copy: Path, stage: str, command: list[str]) -> dict[str, float]:
    """One stage in a process of its own.

    Returns:
        cpu_s of it and of its helpers, and peak_mib: the most that they held at once,
        shared pages counted once.

    Raises:
        BadInput: it failed.
    """
    looking: list[_Memory] = []

    def beside(root: int) -> _Memory:
        looking.append(_Memory(root))
        return looking[0]

    spent = spent_by(copy, stage, ["-m", *command], beside)
    return {
        "cpu_s": round(spent.cpu_s, 2),
        "peak_mib": round(max(spent.peak_mib, looking[0].most / 1024)),
    }


class _Memory(threading.Thread):
    """Looks again and again at what a process and all that it started hold together, in KiB."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.most, self.over = root, 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(INTERVAL):
            self.most = max(self.most, sum(map(_proportional, _family(self.root))))

    def stop(self) -> None:
        self.over.set()
        self.join()


def _family(root: int) -> list[int]:
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{root}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # gone, or no such system
        return [root]
    return [root, *(member for child in children for member in _family(child))]


def _proportional(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def laid_out(folder: Path | None, *cohort: Any) -> Iterator[Path]:
    """A copy of the repository with such a cohort: a new one, or that of an earlier run."""
    if folder is None:
        with fresh_copy(repository_root()) as copy:
            install(copy, *cohort)
            yield copy
        return
    if not (folder / "params.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        copy_into(folder, repository_root())
        install(folder, *cohort)
    yield folder


def measure_size(copy: Path, last: str | None, known: Sequence[str]) -> Iterator[dict[str, Any]]:
    """An entry for every stage, one after another, but for those `known` whose results are there.

    Raises:
        BadInput: a stage failed, or there is no stage `last`.
    """
    stages = commands(copy)
    if last is not None and last not in stages:
        raise BadInput(f"benchmarks: --stage: {last!r} is none of {', '.join(stages)}")
    for stage, command in stages.items():
        if stage not in known or not (copy / "artifacts" / stage.replace("@", "/")).is_dir():
            print(f"{stage} ...", file=sys.stderr, flush=True)
            yield {"stage": stage, **measure(copy, stage, command)}
        if stage == last:
            return


def exponent(sizes: list[int], costs: list[float]) -> float:
    """The power of the size by which a cost grows: least squares in logs; NaN of one size."""
    if len(sizes) < 2:
        return float("nan")
    logs: Array = np.log(np.maximum(costs, 1e-9))
    return float(np.polyfit([log(size) for size in sizes], logs, 1)[0])


def size_lines(entries: list[dict[str, Any]]) -> list[list[str]]:
    """A head and a line for each stage and unit: what each size costs, and the exponents.

    Over all sizes what does not grow, such as the imports, hides some of what does; of the last two
    sizes, where it weighs least, the exponent is given as well.
    """
    sizes, order = sorted({one["rows"] for one in entries}), list(commands(repository_root()))
    entries = sorted(entries, key=lambda one: order.index(one["stage"]))
    lines = [["experiment", "stage", "unit", *map(str, sizes), "exponent", "of the last two"]]
    for key, unit in (("cpu_s", "CPU s"), ("peak_mib", "MiB")):
        for experiment, stage in dict.fromkeys((e["experiment"], e["stage"]) for e in entries):
            cost = {
                one["rows"]: one[key]
                for one in entries
                if (one["experiment"], one["stage"]) == (experiment, stage)
            }
            grown = [exponent(some, [cost[size] for size in some]) for some in _spans(cost)]
            cells = [f"{cost[size]:.0f}" if size in cost else "" for size in sizes]
            lines.append(
                [
                    experiment,
                    stage,
                    unit,
                    *cells,
                    *("" if isnan(one) else f"{one:.2f}" for one in grown),
                ]
            )
    return lines


def size_table(entries: list[dict[str, Any]]) -> str:
    """For the terminal."""
    head, *lines = size_lines(entries)
    return table(head, lines, left=3)


def size_page(entries: list[dict[str, Any]]) -> str:
    """For docs/cohort.md."""
    head, *lines = [line[1:] for line in size_lines(entries)]
    ruled = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled) + "\n"


def _spans(cost: dict[int, float]) -> tuple[list[int], list[int]]:
    """All sizes, and the two largest."""
    return sorted(cost), sorted(cost)[-2:]


def main(arguments: list[str]) -> None:
    """Measures what is asked for, keeps it, and shows all."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.size",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", type=int, help="sizes; default: all")
    parser.add_argument("-e", "--experiment", default="large")
    parser.add_argument("-s", "--stage", help="the last stage to run")
    parser.add_argument("-t", "--threads", type=int, default=THREADS)
    parser.add_argument("-f", "--folder", type=Path, help="of one size; default: a new one")
    parser.add_argument("-x", "--examined", action="store_true", help="every defense is, too")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    given = parser.parse_args(arguments)
    entries: list[dict[str, Any]] = read_json(KEPT) if KEPT.exists() else []
    for rows in () if given.show else given.rows or SIZES:
        key = {"experiment": given.experiment, "rows": rows}
        known = [one["stage"] for one in entries if key.items() <= one.items()]
        cohort = (rows, given.experiment, given.threads, given.examined)
        with laid_out(given.folder, *cohort) as copy:
            for fresh in measure_size(copy, given.stage, known):
                entry = {**key, **fresh}
                same = {**key, "stage": entry["stage"]}
                entries = [one for one in entries if not same.items() <= one.items()] + [entry]
                write_json(KEPT, entries)
    print(size_table(entries))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
