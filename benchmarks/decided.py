"""How many records the verifier decides, and its work: by data set, threat, defense and radius."""

import time
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.table import table
from pipeline import params
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.models.population import Population
from pipeline.verify import verify
from pipeline.verify.nearest import SAME_RADIUS
from pipeline.verify.network import Network

# Data set, threat, which models, largest radius, boxes for one record, least share to be decided.
CASES: list[tuple[str, str, str, float, int, float]] = [
    ("pima", "clinical", "every fold model", 1.0, 20_000, 1.0),
    ("pima", "unconstrained", "release", 0.5, 50_000, 0.999),
    ("breast_cancer", "unconstrained", "release", 0.1, 20_000, 0.95),
]


def measure_decided(root: Path) -> list[dict[str, Any]]:
    """One entry per case and defense: shares at the largest radius, boxes a record, seconds.

    The shares are of records that are robust, broken, and decided at all.
    """
    entries = []
    for data, threat_name, models, largest, budget, wanted in CASES:
        cfg, dataset, plan = loaded(root, data)
        threat = Threat.of(dataset.schema, cfg.threat[threat_name])
        for defense in cfg.defenses:
            population = train(defense, dataset, plan, cfg)
            begin = time.perf_counter()
            robust, broken, boxes, records = _verdicts(
                population, dataset, plan, threat, models, largest, budget
            )
            entries.append(
                {
                    "data": data,
                    "threat": threat_name,
                    "models": models,
                    "defense": defense,
                    "eps": largest,
                    "records": records,
                    "robust": round(robust / records, 5),
                    "broken": round(broken / records, 5),
                    "decided": round((robust + broken) / records, 5),
                    "wanted": wanted,
                    "boxes_a_record": round(boxes / records, 1),
                    "s": round(time.perf_counter() - begin, 2),
                }
            )
            print(decided_table(entries[-1:]), flush=True)
    return entries


def _verdicts(
    population: Population,
    dataset: Dataset,
    plan: Plan,
    threat: Threat,
    models: str,
    largest: float,
    budget: int,
) -> tuple[int, int, int, int]:
    everyone = torch.ones(len(dataset.y), dtype=torch.bool)
    members = (
        [(plan.size - 1, everyone)]
        if models == "release"
        else [(m, plan.held_out[m]) for m in range(plan.size - 1)]
    )
    robust = broken = boxes = records = 0
    for member, rows in members:
        found = verify(
            Network.of(population, member),
            dataset.x[rows],
            dataset.y[rows],
            threat,
            largest=largest,
            budget=budget,
        )
        robust += int((found.robust_below > largest + SAME_RADIUS).sum())
        broken += int((found.breaks_at <= largest + SAME_RADIUS).sum())
        boxes, records = boxes + int(found.boxes.sum()), records + int(rows.sum())
    return robust, broken, boxes, records


def loaded(root: Path, data: str) -> tuple[Config, Dataset, Plan]:
    """A data set as configured, and its cross-validation."""
    cfg = params.parse(yaml.safe_load(params.compose([f"data={data}"], root / "conf")), "conf")
    dataset, _ = read_raw(cfg.data, root)
    return (
        cfg,
        dataset,
        Plan.cross_validation(dataset.y, folds=cfg.plan.folds, seeds=cfg.plan.seeds, seed=cfg.seed),
    )


def decided_table(entries: list[dict[str, Any]]) -> str:
    """One line per entry."""
    head = [
        "data",
        "threat",
        "models",
        "defense",
        "eps",
        "records",
        "robust",
        "broken",
        "decided",
        "wanted",
        "boxes a record",
        "s",
    ]
    keys = [key.replace(" ", "_") for key in head]
    return table(head, [[str(entry[key]) for key in keys] for entry in entries], left=4)
