"""Leaks: shadow models at once against one after another; LiRA scores against a loop over targets.

And, of ourselves alone, all of membership inference and inversion.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contest import OURS, Contender
from benchmarks.problem import Problem
from benchmarks.table import table
from pipeline.attacks.membership import Signals, lira, recorded_log_odds
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.trained import train
from pipeline.defenses.undefended import architecture_for, fit_as_configured
from pipeline.models.mlp import as_module, initialise, parameters_of
from pipeline.models.networks import Networks, fitted_preprocessing
from pipeline.models.population import Population
from pipeline.risks.inversion import tables as inversion
from pipeline.risks.inversion.measure.guesses import guess_measurements
from pipeline.risks.membership import tables as membership
from pipeline.risks.membership.measure.shadows import infer_members, train_halves
from pipeline.risks.risk import Context, Sources
from pipeline.seeds import Stream, of
from pipeline.statistics.separation import auroc

SHADOWS, EPOCHS = 128, 100
ONE_BY_ONE = 2  # shadow models that a peer trains in one run


def shadow_models(problem: Problem) -> dict[str, Contender]:
    """128 shadow models of 100 epochs on random halves, against one after another.

    Of these once with a DataLoader, and once in a tight loop.
    """
    cfg = problem.cfg.model_copy(
        update={"train": problem.cfg.train.model_copy(update={"epochs": EPOCHS})}
    )
    plan = _halves(problem)
    some = plan.select(torch.arange(ONE_BY_ONE))
    architecture = architecture_for(problem.recorded, cfg)
    constants = fitted_preprocessing(problem.recorded.x, some.train)
    start = initialise(architecture, some.seeds)

    def one_by_one(loader: bool) -> Population:
        """The network's first layer imputes and standardises the records once, at the start."""
        trained = []
        for member in range(some.size):
            network = as_module(start, constants, member)
            with torch.no_grad():
                x = network[0](problem.recorded.x[some.train[member]])
            y = problem.recorded.y[some.train[member]]
            optimiser = torch.optim.Adam(
                network.parameters(),
                lr=cfg.train.learning_rate,
                weight_decay=cfg.train.weight_decay,
                fused=not loader,
            )
            generator = torch.Generator().manual_seed(member)
            for epoch_x, epoch_y in _batches(x, y, cfg.train.batch_size, generator, loader):
                optimiser.zero_grad()
                cross_entropy(network[1:](epoch_x), epoch_y).backward()
                optimiser.step()
            trained.append(parameters_of(network))
        stacked = {name: torch.cat([one[name] for one in trained]) for name in trained[0]}
        return Networks(architecture, constants, stacked, some.labels)

    def accuracy(population: Population) -> float:
        return _on_others(population, problem.recorded, plan.select(torch.arange(population.size)))

    return {
        OURS: Contender(
            lambda _: fit_as_configured(problem.recorded, plan, cfg, "shadows"),
            lambda done: accuracy(done[-1]),
            SHADOWS,
        ),
        "torch": Contender(
            lambda _: one_by_one(loader=True), lambda done: accuracy(done[-1]), ONE_BY_ONE
        ),
        "torch, tight loop": Contender(
            lambda _: one_by_one(loader=False), lambda done: accuracy(done[-1]), ONE_BY_ONE
        ),
    }


def _batches(x: Tensor, y: Tensor, size: int, generator: torch.Generator, loader: bool):
    if loader:
        batches = DataLoader(TensorDataset(x, y), size, shuffle=True, generator=generator)
        for _ in range(EPOCHS):
            yield from batches
    else:
        for _ in range(EPOCHS):
            order = torch.randperm(len(y), generator=generator)
            yield from ((x[rows], y[rows]) for rows in order.split(size))


def lira_scoring(problem: Problem) -> dict[str, Contender]:
    """LiRA scores of 128 targets from the log-odds of all models, against a loop over targets.

    The loop is the paper, written down.
    """
    plan = _halves(problem)
    population = train("baseline", problem.recorded, plan, problem.cfg)
    odds = recorded_log_odds(population, problem.recorded.x, problem.recorded.y)
    member = plan.train
    seen = Signals(odds, odds, odds)

    def loop(_: int) -> Tensor:
        scores = torch.empty_like(odds)
        for target in range(SHADOWS):
            shadows = torch.arange(SHADOWS) != target
            for record in range(odds.shape[1]):
                inside = odds[shadows & member[:, record], record]
                outside = odds[shadows & ~member[:, record], record]
                densities = [
                    torch.distributions.Normal(side.mean(), side.std().clamp(min=1e-30)).log_prob(
                        odds[target, record]
                    )
                    for side in (inside, outside)
                ]
                scores[target, record] = densities[0] - densities[1]
        return scores

    def area(scores: Tensor) -> float:
        return auroc(scores[member].numpy(), scores[~member].numpy())

    return {
        OURS: Contender(lambda _: lira(seen, member), lambda done: area(done[-1])),
        "torch": Contender(loop, lambda done: area(done[-1])),
    }


def measure_leaks(problem: Problem) -> list[dict[str, Any]]:
    """Seconds of membership inference, a claim's audit and inversion, by defense; of the tables."""
    dataset, cfg = problem.recorded, problem.cfg
    entries: list[dict[str, Any]] = []
    with TemporaryDirectory() as place:
        examined = {name: Path(place) / name for name in cfg.defenses}
        for name, folder in examined.items():
            begin = time.perf_counter()
            halves = train_halves(name, dataset, cfg)
            infer_members(name, halves, dataset, cfg).save(folder / "membership")
            guessed = guess_measurements(
                halves.targets.population, halves.targets.plan.train, dataset, cfg
            )
            guessed.save(folder / "inversion")
            entries.append({"part": name, "s": round(time.perf_counter() - begin, 2)})
        begin = time.perf_counter()
        for risk in (membership, inversion):
            risk.draw_up(Sources(examined), Context(dataset, cfg))
        entries.append({"part": "tables", "s": round(time.perf_counter() - begin, 2)})
    return entries


def leaks_table(entries: list[dict[str, Any]]) -> str:
    """One line per defense, and the sum."""
    lines = [[entry["part"], f"{entry['s']:.2f}"] for entry in entries]
    return table(
        ["privacy of, seconds", "s"],
        [*lines, ["all", f"{sum(entry['s'] for entry in entries):.2f}"]],
        left=1,
    )


def _halves(problem: Problem) -> Plan:
    seed = of(Stream.MEMBERSHIP_HALVES, problem.cfg.seed)
    return Plan.random_halves(len(problem.recorded.y), models=SHADOWS, seed=seed)


def _on_others(population: Population, dataset: Dataset, plan: Plan) -> float:
    """Accuracy of each model on whom it did not train on."""
    right = recorded_log_odds(population, dataset.x, dataset.y) > 0
    return float(right[plan.held_out].double().mean())
