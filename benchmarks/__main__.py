"""Speed and quality side by side with other tools.

    python -m benchmarks                       everything
    python -m benchmarks fgsm_grid pgd_grid    these; other entries of the file stay as they are

Writes into `benchmarks/`: `latest.json` (an entry per case and peer), `stages.json` (an entry per
stage), `decided.json` (what the verifier decides), `decided_trees.json` (of trees, at each radius),
`constrained.json` (attacks that keep relations, beside TabularBench's and the truth), `leaks.json`
(seconds of membership inference and inversion),
`scaling.json` (what more work costs), `streams.json` (how soon alarms see planted attacks),
`monitored.json` (alarms over real records), `guard.json` (what a certificate costs),
`served.json` (the guard over HTTP beside MLflow's server), `served_scans.json` (the guard with
networks of scans) and, asked for by their names alone, `ray.json` (a sweep on one worker and on
two) and `team.json` (eight writers of one sweep on PostgreSQL, some of them killed).
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read when tqdm is imported; peers draw bars for work of milliseconds.
os.environ.setdefault("TQDM_DISABLE", "1")

import torch

from benchmarks import constrained, tabular
from benchmarks.cases import CASES
from benchmarks.contest import measure, require_peers
from benchmarks.decided import decided_table, measure_decided
from benchmarks.decided_trees import decided_trees_table, measure_decided_trees
from benchmarks.guard import guard_table, measure_guard
from benchmarks.launched import measure_ray, ray_table
from benchmarks.leaks import leaks_table, measure_leaks
from benchmarks.monitored import measure_monitored, monitored_table
from benchmarks.problem import THREADS, load_problem
from benchmarks.scaling import measure_scaling, scaling_table
from benchmarks.served import measure_served, served_table
from benchmarks.served_scans import measure_served_scans, served_scans_table
from benchmarks.stages import measure_stages, stage_table
from benchmarks.streams import measure_streams, streams_table
from benchmarks.table import case_table, merged
from benchmarks.team import measure_team, team_table
from pipeline.files import BadInput, read_json, repository_root, write_json
from pipeline.validation import nearest

HERE = Path(__file__).parent
LATEST = HERE / "latest.json"
# Measurements that are no race of one figure: what makes the entries, and how people read them.
Entries = list[dict[str, Any]]
ALONE: dict[str, tuple[Callable[[], Entries], Callable[[Entries], str]]] = {
    "constrained": (
        lambda: constrained.measure_constrained(load_problem().cfg),
        constrained.constrained_table,
    ),
    "decided": (lambda: measure_decided(repository_root()), decided_table),
    "decided_trees": (lambda: measure_decided_trees(repository_root()), decided_trees_table),
    "guard": (lambda: measure_guard(load_problem()), guard_table),
    "leaks": (lambda: measure_leaks(load_problem()), leaks_table),
    "monitored": (lambda: measure_monitored(repository_root()), monitored_table),
    "ray": (measure_ray, ray_table),
    "scaling": (lambda: measure_scaling(load_problem().cfg), scaling_table),
    "served": (lambda: measure_served(load_problem()), served_table),
    "served_scans": (measure_served_scans, served_scans_table),
    "stages": (lambda: measure_stages(repository_root()), stage_table),
    "streams": (measure_streams, streams_table),
    "team": (measure_team, team_table),
}
ON_REQUEST = ("ray", "team")  # they need Ray, or servers
# Whom they need.
BESIDE = {"constrained": tabular.PEERS, "decided_trees": ("lightgbm", "xgboost")}


def main(arguments: list[str]) -> None:
    """Runs the named cases, or all of them."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    known = [*CASES, *ALONE]
    parser.add_argument("case", nargs="*", help=f"one of {', '.join(known)}; default: all")
    chosen = parser.parse_args(arguments).case
    chosen = chosen or [name for name in known if name not in ON_REQUEST]
    for name in chosen:
        if name not in known:
            raise BadInput(f"benchmarks: {name!r} is no case; {nearest(name, known)}")
    contests = [name for name in chosen if name in CASES]
    for name in chosen:
        require_peers(CASES[name].targets if name in CASES else BESIDE.get(name, ()))
    if contests:
        run_contests(contests)
    torch.set_num_threads(THREADS)
    for name in [name for name in chosen if name in ALONE]:
        measured, shown = ALONE[name]
        entries = measured()
        write_json(HERE / f"{name}.json", entries)
        print(f"{shown(entries)}\n")


def run_contests(names: list[str]) -> None:
    """Measures the named cases and keeps each as soon as it is done."""
    torch.set_num_threads(THREADS)
    problem = load_problem()
    entries: Entries = []
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
