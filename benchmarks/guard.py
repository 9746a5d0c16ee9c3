"""What the guard costs: CPU milliseconds of a certificate, records chosen to be slow included.

One thread. Of models trained on everybody, as they are deployed. The slow records are those that
somebody finds who climbs toward many boxes, from anything that is admitted.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.problem import Problem
from benchmarks.table import table
from pipeline.config import Config
from pipeline.data.plan import RELEASE, Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.models.population import Population
from pipeline.params import configured
from pipeline.serving.admission import admitted
from pipeline.serving.certificate import Certifier
from pipeline.statistics import Array
from pipeline.verify import member_of, verify

ASKED = {"baseline": (0.1, 0.3), "adv_train": (0.1, 0.3), "forest": (0.1,)}  # at which radii
THREAT = "clinical"
SINGLE, TOGETHER, REPEATS = 300, 64, 5  # records one by one; of a batch; batches are repeated
DRAWN, KEPT, ROUNDS = 1500, 100, 4  # of the climb toward slow records
MS = 1e3


def measure_guard(
    problem: Problem, asked: Mapping[str, tuple[float, ...]] = ASKED
) -> list[dict[str, Any]]:
    """One entry per defense and radius; CPU time of this process, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    entries = []
    dataset, cfg = problem.recorded, problem.cfg
    everybody = torch.ones(1, len(dataset.y), dtype=torch.bool)
    plan = Plan(everybody, ~everybody, torch.tensor([-1]), torch.tensor([cfg.seed]), (RELEASE,))
    threat = Threat.of(dataset.schema, cfg.threat[THREAT])
    records = admitted(records_as_sent(dataset.x, dataset.schema), dataset.schema)
    honest = records.values[records.good]
    for defense, radii in asked.items():
        population = trained(defense, dataset, plan, cfg)
        for r in radii:
            certifier = Certifier.of(population, dataset.schema, threat, r=r)
            entry = {"defense": defense, "r": r, "records": len(honest)}
            entry |= _measured(certifier, honest, dataset.schema)
            entry |= {"verify_ms": _beside(population, honest[:SINGLE], threat, r)}
            entries.append(entry)
            print(guard_table(entries[-1:]), flush=True)
    torch.set_num_threads(threads)
    return entries


def trained(defense: str, dataset: Dataset, plan: Plan, cfg: Config) -> Population:
    """The models of a recipe at its own numbers; trees by those of `conf/defense/`."""
    if defense in cfg.defenses:
        return train(defense, dataset, plan, cfg)
    return train(defense, dataset, plan, configured([f"defense={defense}"]))


def records_as_sent(x: torch.Tensor, schema: Schema) -> list[dict[str, float | None]]:
    """Records as a client writes them."""
    places = [
        12 if one.step is None else max(0, round(-np.log10(one.step))) for one in schema.features
    ]
    return [
        {
            name: None if np.isnan(value) else round(value, digits)
            for name, value, digits in zip(schema.names, row, places, strict=True)
        }
        for row in x.double().tolist()
    ]


def _measured(certifier: Certifier, honest: Array, schema: Schema) -> dict[str, Any]:
    said = certifier.answers(honest)
    alone = _one_by_one(certifier, honest[:SINGLE])
    slow = slow_records(certifier, honest, schema)
    climbed, slowest = _one_by_one(certifier, slow), certifier.answers(slow)
    batches = [honest[start : start + TOGETHER] for start in range(0, TOGETHER * REPEATS, TOGETHER)]
    sent = records_as_sent(torch.from_numpy(honest[:TOGETHER]), schema)
    return {
        "certified": round(float(said.certified.mean()), 4),
        "undecided": said.reason.count("undecided"),
        "boxes_max": int(said.boxes.max()),
        "mean_ms": round(float(alone.mean()), 2),
        "p50_ms": round(float(np.median(alone)), 2),
        "p99_ms": round(float(np.quantile(alone, 0.99)), 2),
        "slow_boxes_max": int(slowest.boxes.max()),
        "slow_undecided": slowest.reason.count("undecided"),
        "slow_p50_ms": round(float(np.median(climbed)), 2),
        "slow_p99_ms": round(float(np.quantile(climbed, 0.99)), 2),
        "certified_per_s": _rate(batches, certifier.answers),
        "uncertified_per_s": _rate(batches, lambda x: certifier.answers(x, certify=False)),
        "slow_per_s": _rate([slow[:TOGETHER]] * REPEATS, certifier.answers),
        "admitted_per_s": _rate([sent] * REPEATS, lambda one: admitted(one, schema)),
    }


def _one_by_one(certifier: Certifier, records: Array) -> Array:
    """CPU milliseconds of each."""
    certifier.answers(records[:1])
    spent = []
    for row in range(len(records)):
        begin = time.process_time()
        certifier.answers(records[row : row + 1])
        spent.append(time.process_time() - begin)
    return MS * np.array(spent)


def _rate(batches: list[Any], answer: Callable[[Any], Any]) -> int:
    """Records a second of CPU time, of the median batch."""
    answer(batches[0])
    rates = []
    for batch in batches:
        begin = time.process_time()
        answer(batch)
        rates.append(len(batch) / (time.process_time() - begin))
    return round(float(np.median(rates)))


def _beside(population: Population, records: Array, threat: Threat, r: float) -> float:
    """Mean CPU milliseconds of the search for the nearest record, which gives the same verdict."""
    network, x = member_of(population, 0), torch.from_numpy(records).float()
    y = population(x[None])[0].argmax(-1)
    spent = []
    for row in range(0, len(x), 10):
        begin = time.process_time()
        verify(network, x[row : row + 1], y[row : row + 1], threat, largest=r, budget=2000)
        spent.append(time.process_time() - begin)
    return round(MS * float(np.mean(spent)), 2)


def slow_records(certifier: Certifier, honest: Array, schema: Schema) -> Array:
    """The records (KEPT, D) that take the most boxes, of those that a climb comes by.

    It starts from honest records and from anything in range and on the grid; in each round the
    slowest are varied, in one value or two, a little or at all.
    """
    drawn = np.random.default_rng(0)
    step = np.array([one.step or 1e-3 for one in schema.features])
    low, high = (schema.column(name).numpy() for name in ("lower", "upper"))
    scale = schema.column("scale").numpy()

    def on_grid(values: Array) -> Array:
        inside = np.clip(np.round(values / step), np.ceil(low / step), np.floor(high / step))
        return inside * step

    anything = on_grid(low + drawn.random((DRAWN, len(step))) * (high - low))
    best = np.concatenate([honest, anything])
    boxes = certifier.answers(best).boxes
    for _ in range(ROUNDS):
        order = np.argsort(-boxes, kind="stable")[:KEPT]
        best, boxes = best[order], boxes[order]
        varied = np.repeat(best, DRAWN // KEPT, 0)
        moves = drawn.random(varied.shape) < 1.5 / len(step)
        size = drawn.choice([0.03, 0.2, 1.0], (len(varied), 1)) * scale
        varied = np.where(moves, on_grid(varied + drawn.normal(size=varied.shape) * size), varied)
        best = np.concatenate([best, varied])
        boxes = np.concatenate([boxes, certifier.answers(varied).boxes])
    return best[np.argsort(-boxes, kind="stable")[:KEPT]]


def guard_table(entries: list[dict[str, Any]]) -> str:
    """One line per defense and radius."""
    names = list(entries[0])
    return table(names, [[str(entry[name]) for name in names] for entry in entries], left=1)
