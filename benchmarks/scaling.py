"""What more work costs: ten times the records, radii or models, and eight times the features."""

import time
from functools import partial
from math import log
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.bisection import smallest_breaking_radius
from benchmarks.table import table
from pipeline.attacks.evasion.gradient import fgsm, pgd
from pipeline.config import Config, FeatureConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.verify import verify
from pipeline.verify.network import Network

SMALL = {"records": 300, "radii": 5, "models": 2, "features": 8}
GROWTH = {
    "records": (300, 950, 3000),
    "radii": (5, 16, 50),
    "models": (2, 6, 20),
    "features": (8, 16, 32, 64),
}
LIMIT = 1.1  # of the exponent; features have none: the boxes of branch and bound grow with them
LARGEST, BUDGET, REPEATS = 0.2, 200, 3


def measure_scaling(cfg: Config) -> list[dict[str, Any]]:
    """One entry per task and kind of work: sizes, median seconds, and the exponent.

    Seconds grow as size to that power (least squares in logs).
    """
    entries = []
    for kind, sizes in GROWTH.items():
        seconds: dict[str, list[float]] = {"PGD grid": [], "verification": []}
        undecided: list[float] = []
        for size in sizes:
            attacked, proved, open_ = _times(cfg, **(SMALL | {kind: size}))
            seconds["PGD grid"].append(attacked)
            seconds["verification"].append(proved)
            undecided.append(round(open_, 4))
        for task, spent in seconds.items():
            slope = float(
                np.polyfit([log(size) for size in sizes], [log(one) for one in spent], 1)[0]
            )
            entry = {
                "task": task,
                "work": kind,
                "sizes": list(sizes),
                "s": [round(one, 3) for one in spent],
            }
            entries.append(
                entry
                | {"exponent": round(slope, 2)}
                | ({"undecided": undecided} if task == "verification" else {})
            )
            print(scaling_table(entries[-1:]), flush=True)
    return entries


def _times(
    cfg: Config, *, records: int, radii: int, models: int, features: int
) -> tuple[float, float, float]:
    """Seconds of a PGD-40 grid and of verification, and the share undecided.

    On networks trained on made-up records.
    """
    dataset = made_up(records, features)
    plan = Plan.cross_validation(dataset.y, folds=2, seeds=models // 2, seed=0, release=False)
    population = train("baseline", dataset, plan, cfg)
    threat = Threat.of(dataset.schema, cfg.threat["unconstrained"])
    index, _ = plan.held_out_index()
    x, y, eps = dataset.x[index], dataset.y[index], torch.linspace(0, LARGEST, radii + 1)[1:]
    attack = partial(pgd, steps=40, step_size=0.1)

    def grid() -> None:
        smallest_breaking_radius(
            [fgsm, attack],
            population,
            x,
            y,
            threat,
            eps=eps,
            generator=torch.Generator().manual_seed(0),
        )

    open_: list[float] = []

    def proofs() -> None:
        open_.clear()
        for member in range(plan.size):
            found = verify(
                Network.of(population, member),
                x[member],
                y[member],
                threat,
                largest=LARGEST,
                budget=BUDGET,
            )
            open_.append(
                float(
                    ((found.robust_below <= LARGEST) & (found.breaks_at > LARGEST)).float().mean()
                )
            )

    return _median(grid), _median(proofs), float(np.mean(open_))


def made_up(records: int, features: int) -> Dataset:
    """Normal measurements, of which every one carries a little of the diagnosis."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(records, features, generator=generator)
    y = (x.sum(1) / features**0.5 + torch.randn(records, generator=generator) > 0).long()
    feature = FeatureConfig(
        unit="SD",
        kind="real",
        lower=-10.0,
        upper=10.0,
        step=None,
        missing=[],
        mutable=True,
        private=False,
        center=0.0,
        scale=1.0,
        source="made up",
        error=None,
        error_source=None,
    )
    names = tuple(f"m{number}" for number in range(features))
    return Dataset(x, y, Schema(names, (feature,) * features, "ill", ("healthy", "ill")))


def _median(run: Any) -> float:
    run()
    spent = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        spent.append(time.perf_counter() - begin)
    return median(spent)


def scaling_table(entries: list[dict[str, Any]]) -> str:
    """One line per task and kind of work."""
    lines = [
        [
            entry["task"],
            entry["work"],
            " ".join(map(str, entry["sizes"])),
            " ".join(f"{one:.3g}" for one in entry["s"]),
            f"{entry['exponent']:.2f}",
            " ".join(f"{one:.1%}" for one in entry.get("undecided", [])),
        ]
        for entry in entries
    ]
    return table(["task", "work", "sizes", "seconds", "exponent", "undecided"], lines, left=2)
