"""The guard's alarms over real records: shuffled ones, and ones of whom the audit knows less.

Each query is a patient of Pima with the answer of a model that did not train on him.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.table import table
from pipeline import params
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.models.population import networks_of
from pipeline.seeds import Stream, numpy_generator
from pipeline.serving.alarms import Alarms
from pipeline.serving.channels import Confirmed, Query, Settings
from pipeline.serving.honest import Honest, honest_rates
from pipeline.statistics import Array
from pipeline.verify import verify
from pipeline.verify.nearest import SAME_RADIUS
from pipeline.verify.network import Network

DEFENSES = ("baseline", "adv_train")
R, NEAR, BOXES = 0.1, 0.15, 20_000
CONFIRMED = 0.3  # of the answered queries, the share whose diagnosis comes in
SHUFFLED, DRIFTED, REPLAYS = 30_000, 4000, 7


def measure_monitored(root: Path) -> list[dict[str, Any]]:
    """One entry per defense and kind of patients: alarms by stream, and when the first rose."""
    cfg = params.parse(yaml.safe_load(params.compose([], root / "conf")), "conf")
    dataset, _ = read_raw(cfg.data, root)
    y = dataset.y
    plan = Plan.cross_validation(y, folds=cfg.plan.folds, seeds=cfg.plan.seeds, seed=cfg.seed)
    threat = Threat.of(dataset.schema, cfg.threat["clinical"])
    names = dataset.schema.names
    inputs = {name: dataset.x[:, place].double().numpy() for place, name in enumerate(names)}
    kinds = patients(inputs, y.numpy())
    entries = []
    for defense in DEFENSES:
        population = networks_of(train(defense, dataset, plan, cfg))
        shape = (cfg.plan.seeds, len(y))
        score, radius = np.zeros(shape), np.zeros(shape)
        for member in range(plan.size - 1):
            rows = plan.held_out[member]
            network = Network.of(population, member)
            x = dataset.x[rows]
            ill = torch.ones(len(x), dtype=torch.int64)
            odds = network.margin(network.filled(x).double(), ill, 1 - ill)
            said = (odds > 0).long()
            found = verify(network, x, said, threat, largest=NEAR, budget=BOXES)
            place = int(plan.repetition[member]), rows.numpy()
            score[place], radius[place] = torch.sigmoid(odds).numpy(), found.breaks_at.numpy()
        seen = {
            "decision": (score > 0.5).astype(int),
            "score": score,
            "referred": radius <= R + SAME_RADIUS,
            "near": radius <= NEAR + SAME_RADIUS,
        }
        honest = honest_rates(y=y.numpy(), alarmed=seen["referred"], inputs=inputs, **seen)
        for kind, rows in kinds.items():
            entries.append({"defense": defense, "patients": kind, "of": len(rows)})
            entries[-1]["honest"] = rates(honest)
            entries[-1] |= replayed(honest, seen, inputs, y.numpy(), rows, kind == "shuffled")
            print(monitored_table(entries[-1:]), flush=True)
    return entries


def rates(honest: Honest) -> dict[str, list[float]]:
    """The measured rate and the null of each."""
    shares = {name: getattr(honest, name) for name in ("referred", "near", "missed", "wrong")}
    return {
        name: [round(share.count / share.of, 4), round(share.most(Settings().confidence), 4)]
        for name, share in shares.items()
        if share
    }


def patients(inputs: dict[str, Array], y: Array) -> dict[str, Array]:
    """Who asks: everybody, the youngest quarter, the oldest quarter, the ill."""
    age = inputs["age"]
    return {
        "shuffled": np.arange(len(y)),
        "youngest quarter": np.flatnonzero(age <= np.quantile(age, 0.25)),
        "oldest quarter": np.flatnonzero(age >= np.quantile(age, 0.75)),
        "the ill alone": np.flatnonzero(y == 1),
    }


def replayed(
    honest: Honest,
    seen: dict[str, Array],
    inputs: dict[str, Array],
    y: Array,
    rows: Array,
    whole: bool,
) -> dict[str, Any]:
    """Alarms of patients who are drawn with replacement; of drift the first, in some replays."""
    drawn, count = numpy_generator(Stream.MONITORED, 0, len(rows)), Counter[str]()
    first: list[float] = []
    for _ in range(1 if whole else REPLAYS):
        alarms, number = Alarms.of(Settings(), honest), 0
        rose = np.inf
        while number < (SHUFFLED if whole else DRIFTED) and (whole or np.isinf(rose)):
            number += 1
            row, again = drawn.choice(rows), drawn.integers(len(seen["score"]))
            at = again, row
            referred = bool(seen["referred"][at])
            measured = {name: float(values[row]) for name, values in inputs.items()}
            near = None if referred else bool(seen["near"][at])
            query = Query("ward", True, referred, near, float(seen["score"][at]), measured)
            raised = alarms.seen(query)
            if not referred and drawn.random() < CONFIRMED:
                raised += alarms.seen(Confirmed(bool(y[row]), bool(seen["decision"][at])))
            for one in raised:
                count[one.stream] += 1
                rose = min(rose, number)
        first.append(float(rose))
    middle = float(np.quantile(first, 0.5, method="inverted_cdf"))
    return {
        "queries": SHUFFLED if whole else None,
        "alarms": dict(count.most_common()),
        "first": middle if np.isfinite(middle) else None,
    }


def monitored_table(entries: list[dict[str, Any]]) -> str:
    """One line per entry."""
    head = ["defense", "patients", "of", "first alarm", "alarms"]
    lines = [
        [
            *(entry["defense"], entry["patients"], str(entry["of"])),
            "-" if entry["first"] is None else f"{entry['first']:g}",
            ", ".join(f"{name} {count}" for name, count in entry["alarms"].items()) or "none",
        ]
        for entry in entries
    ]
    return table(head, lines, left=2)
