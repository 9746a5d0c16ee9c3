"""Copies that are trees, as who steals trees would grow them."""

import numpy as np
from torch import Tensor

from pipeline.defenses.growing import GrowBoosting, grown, grown_by_all
from pipeline.models.reading import scikit
from pipeline.models.trees import Trees
from pipeline.statistics import Array

# Of a copy: as libraries grow it by default, with half the leaves, as a record is entered twice.
BOOSTED = GrowBoosting(rounds=100, leaves=15, rate=0.1, leaf=10, directions=None)


def grow_copies(x: Tensor, answers: Tensor, budgets: tuple[int, ...], seeds: Tensor) -> Trees:
    """`pipeline.attacks.theft.train_copies`, of gradient boosting.

    Each record is entered once as ill and once as healthy, and counts as much as the chance that
    was told of it: so the loss is the cross-entropy against that chance.

    Args:
        x: (A, V, n, D) records that were asked about, NaN = missing.
        answers: (A, V, n) in [0, 1].
        budgets: each at most n.
        seeds: (A,) of each attacker.

    Returns:
        A x V x budgets copies; budgets run fastest, then victims.
    """
    jobs, labels = [], []
    for attacker, seed in enumerate(seeds.tolist()):
        for victim in range(x.shape[1]):
            for budget in budgets:
                asked, told = x[attacker, victim, :budget], answers[attacker, victim, :budget]
                jobs.append((asked.numpy(), told.numpy(), seed % 2**32))
                labels.append(f"copy{attacker * x.shape[1] + victim}-{budget}")
    return grown_by_all("copies", _copy, jobs, tuple(labels), x.shape[-1])


def _copy(x: Array, chance: Array, seed: int) -> scikit.Grown:
    ill = np.repeat([1, 0], len(x))
    return grown(BOOSTED(np.tile(x, (2, 1)), ill, seed, np.concatenate([chance, 1 - chance])))
