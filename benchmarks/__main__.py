"""Speed and quality side by side with other tools.

    python -m benchmarks                       everything
    python -m benchmarks fgsm_grid pgd_grid    these cases; the other entries of the file stay as they are

Writes `benchmarks/latest.json` (an entry per case and peer) and `benchmarks/stages.json` (an entry per stage).
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported; peers draw bars for work of milliseconds

import torch

from benchmarks.cases import CASES
from benchmarks.contest import measure, require_peers
from benchmarks.problem import THREADS, load_problem
from benchmarks.stages import measure_stages, stage_table
from benchmarks.table import case_table, merged
from pipeline.config import nearest
from pipeline.files import BadInput, read_json, repository_root, write_json

HERE = Path(__file__).parent
LATEST, STAGES = HERE / "latest.json", HERE / "stages.json"
STAGES_CASE = "stages"


def main(arguments: list[str]) -> None:
    """Runs the named cases, or all of them."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    known = [*CASES, STAGES_CASE]
    parser.add_argument("case", nargs="*", help=f"one of {', '.join(known)}; default: all")
    chosen = parser.parse_args(arguments).case or known
    for name in chosen:
        if name not in known:
            raise BadInput(f"benchmarks: {name!r} is no case; {nearest(name, known)}")
    contests = [name for name in chosen if name in CASES]
    for name in contests:
        require_peers(CASES[name])
    if contests:
        run_contests(contests)
    if STAGES_CASE in chosen:
        stages = measure_stages(repository_root())
        write_json(STAGES, stages)
        print(f"{stage_table(stages)}\n")


def run_contests(names: list[str]) -> None:
    """Measures the named cases and keeps each as soon as it is done."""
    torch.set_num_threads(THREADS)
    problem = load_problem()
    entries: list[dict[str, Any]] = []
    for name in names:
        print(f"{name}: {CASES[name].title} ...", file=sys.stderr, flush=True)
        entries += measure(name, CASES[name], problem)
        earlier = read_json(LATEST) if LATEST.exists() else []
        write_json(LATEST, merged(earlier, entries, list(CASES)))
    print(f"{case_table(entries)}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
