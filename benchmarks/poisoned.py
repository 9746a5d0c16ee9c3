"""Poisoning: a model retrained on 20 poisoned training sets, all at once against one after another.

Both sides train on the same sets, from the same first weights, as many passes. The sets are crafted
before the clock starts.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contest import OURS, Contender
from benchmarks.problem import Problem
from pipeline.attacks.poisoning.poison import Poison
from pipeline.defenses.trained import train
from pipeline.defenses.undefended import architecture_for
from pipeline.models.answers import margin
from pipeline.models.mlp import as_module, initialise, parameters_of
from pipeline.models.networks import Networks, fitted_preprocessing
from pipeline.models.population import Population
from pipeline.risks.poisoning.measure.training_sets import TrainingSets, draw_training_sets

FOLDS, DRAWS = 5, 4  # of the first seed, so that every patient is scored; and poisoned sets of each
RETRAININGS = FOLDS * DRAWS
FLIPPED = 0.1  # of the training records of each model, at random


def retraining(problem: Problem) -> dict[str, Contender]:
    """20 undefended models, each on its own 10 % of random flips, against one after another.

    The peer is a DataLoader and Adam.
    """
    cfg, sets = problem.cfg, random_flips(problem)
    dataset, plan = sets.dataset, sets.plan
    architecture = architecture_for(dataset, cfg)
    constants, start = (
        fitted_preprocessing(dataset.x, plan.train),
        initialise(architecture, plan.seeds),
    )
    index, valid = plan.held_out_index()

    def one_by_one(_: int) -> Population:
        """The network's first layer imputes and standardises the records once, at the start."""
        trained: list[dict[str, Tensor]] = []
        for member in range(RETRAININGS):
            network, rows = as_module(start, constants, member), plan.train[member]
            with torch.no_grad():
                records = TensorDataset(network[0](dataset.x[rows]), dataset.y[rows])
            loader = DataLoader(
                records,
                cfg.train.batch_size,
                shuffle=True,
                generator=torch.Generator().manual_seed(member),
            )
            optimiser = torch.optim.Adam(
                network.parameters(),
                lr=cfg.train.learning_rate,
                weight_decay=cfg.train.weight_decay,
            )
            for _ in range(cfg.train.epochs):
                for x, y in loader:
                    optimiser.zero_grad()
                    cross_entropy(network[1:](x), y).backward()
                    optimiser.step()
            trained.append(parameters_of(network))
        stacked = {name: torch.cat([one[name] for one in trained]) for name in trained[0]}
        return Networks(architecture, constants, stacked, plan.labels)

    def accuracy(population: Population) -> float:
        """On the patients that each model holds out, as they were recorded."""
        with torch.no_grad():
            right = margin(population(dataset.x[index]), dataset.y[index]) > 0
        return float(right[valid].double().mean())

    return {
        OURS: Contender(
            lambda _: train("baseline", dataset, plan, cfg),
            lambda done: accuracy(done[-1]),
            RETRAININGS,
        ),
        "torch": Contender(one_by_one, lambda done: accuracy(done[-1]), RETRAININGS),
    }


def random_flips(problem: Problem) -> TrainingSets:
    """Several poisoned training sets for each model of the first seed."""
    data, plan = problem.recorded, problem.plan.select(torch.arange(FOLDS))
    rows = torch.arange(FOLDS).repeat_interleave(DRAWS)
    generator = torch.Generator().manual_seed(problem.cfg.seed)
    order = torch.rand(RETRAININGS, len(data.y), generator=generator, dtype=torch.float64)
    poison = replace(Poison.of_everyone(data.x, 1 - data.y, order), model=rows)
    return draw_training_sets(poison, data, plan, [FLIPPED])
