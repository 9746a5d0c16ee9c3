"""Proofs of tree ensembles: whether a record within a radius is answered otherwise; and Veritas.

Veritas (Devos et al. 2021, 2024) searches over the reals. Asked over the reals both say the same;
on a clinic's grid a cell that holds no value that can be written down does not exist, so that fewer
records break. The peer gets the very trees that are read here: it would read a forest otherwise,
whose float32 it does not know, and no boosting on histograms at all.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.contest import OURS, Contender
from benchmarks.exact import measurements
from benchmarks.problem import Problem
from pipeline.data.threat import Threat
from pipeline.defenses.growing import boosting, forest
from pipeline.models.reading.agreement import largest_below
from pipeline.models.trees import Trees
from pipeline.statistics import Array
from pipeline.verify import verify
from pipeline.verify.cells import Ensemble

EPS, FARTHEST = 0.3, 1.0
BUDGET = 20_000  # boxes for one record
RECORDS = 100  # of everybody's, the first
HALVINGS = 10  # of a radius, as Veritas's own search for the nearest example has them
SECONDS, STEPS = 10.0, 100  # of the peer's search of one record at most; its steps at once


def within_a_radius(problem: Problem) -> dict[str, Contender]:
    """Whether any real numbers within `EPS` are answered otherwise: the share that stands.

    Ours looks for the nearest ones; the peer answers yes or no.
    """
    free = measurements(problem)
    models, x, y = _problem(problem)

    def ours(_: int) -> float:
        found = [_nearest(one, x, y, free, EPS) for one in models]
        return float(np.mean([(distance > EPS).mean() for distance in found]))

    added = [toward(one) for one in models]

    def theirs(_: int) -> float:
        stands = [
            not breaks(ensembles[int(y[row])], *free.box(x[row : row + 1], EPS))
            for one, ensembles in zip(models, added, strict=True)
            for row in _right(one, x, y)
        ]
        return sum(stands) / (len(models) * len(x))

    return {OURS: Contender(ours, _last), "dtai-veritas": Contender(theirs, _last)}


def nearest_change(problem: Problem) -> dict[str, Contender]:
    """How far the nearest change is, up to `FARTHEST`: ours on the clinic's grid, exactly.

    The peer halves a radius `HALVINGS` times, over the reals: it has no grid.
    """
    clinical = Threat.of(problem.complete.schema, problem.cfg.threat["clinical"])
    free = measurements(problem)
    models, x, y = _problem(problem)

    def ours(_: int) -> float:
        found = [_nearest(one, x, y, clinical, FARTHEST) for one in models]
        return float(np.mean([distance.clip(0, FARTHEST).mean() for distance in found]))

    added = [toward(one) for one in models]

    def halved(ensemble: Any, one: Tensor) -> float:
        low, high = 0.0, FARTHEST
        if not breaks(ensemble, *free.box(one, high)):
            return high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            broken = breaks(ensemble, *free.box(one, middle))
            low, high = (low, middle) if broken else (middle, high)
        return high

    def theirs(_: int) -> float:
        distances = [
            halved(ensembles[int(y[row])], x[row : row + 1])
            for one, ensembles in zip(models, added, strict=True)
            for row in _right(one, x, y)
        ]
        return sum(distances) / (len(models) * len(x))

    return {OURS: Contender(ours, _last), "dtai-veritas": Contender(theirs, _last)}


def _problem(problem: Problem) -> tuple[list[Ensemble], Tensor, Tensor]:
    models = [Ensemble.of(one, 0) for one in _models(problem)]
    return models, problem.complete.x[:RECORDS], problem.complete.y[:RECORDS]


def _nearest(ensemble: Ensemble, x: Tensor, y: Tensor, threat: Threat, largest: float) -> Array:
    found = verify(ensemble, x, y, threat, largest=largest, budget=BUDGET)
    if not ((found.robust_below > largest) | (found.breaks_at <= largest)).all():
        raise RuntimeError("a record was left undecided")
    return found.breaks_at.numpy()


def _right(ensemble: Ensemble, x: Tensor, y: Tensor) -> list[int]:
    """The records that are answered rightly; the others break at 0."""
    return torch.nonzero(ensemble.margin(x, y) > 0)[:, 0].tolist()


def _last(results: list[Any]) -> float:
    return float(results[-1])


def _models(problem: Problem) -> list[Trees]:
    """A forest and a boosted ensemble, of everybody's complete records."""
    plan = problem.plan.select(torch.tensor([0]))
    return [
        forest(problem.complete, plan, problem.cfg, kind="forest", trees=50, depth=5, leaf=1),
        boosting(
            problem.complete, plan, problem.cfg, rounds=40, leaves=8, rate=0.1, leaf=20, rising=[]
        ),
    ]


def toward(ensemble: Ensemble) -> tuple[Any, Any]:
    """The ensemble as Veritas has it, where class 0 is right and where class 1 is.

    Above 0 it answers otherwise. `<=` of a threshold is its `<` of the next float32.
    """
    from veritas import AddTree, AddTreeType

    added = AddTree(1, AddTreeType.REGR)
    for tree in ensemble.model.trees(0):
        grown = added.add_tree()
        cuts = np.nextafter(largest_below(tree.threshold), np.float32(np.inf)).astype(np.float64)
        waiting = [(0, grown.root())]
        while waiting:
            node, place = waiting.pop()
            if tree.left[node] == node:
                grown.set_leaf_value(place, 0, float(tree.value[node]))
                continue
            grown.split(place, int(tree.feature[node]), float(cuts[node]))
            waiting.append((int(tree.left[node]), grown.left(place)))
            waiting.append((int(tree.right[node]), grown.right(place)))
    added.set_base_score(0, -ensemble.threshold)
    return added, added.negate_leaf_values()


def breaks(ensemble: Any, low: Tensor, high: Tensor) -> bool:
    """Whether Veritas finds an answer above 0 between two corners (1, D).

    Raises:
        RuntimeError: it ran out of time or memory.
    """
    from veritas import Config, HeuristicType, Interval, StopReason

    box = [
        Interval(float(least), float(np.nextafter(float(most), np.inf)))
        for least, most in zip(low[0].tolist(), high[0].tolist(), strict=True)
    ]
    how = Config(HeuristicType.MAX_OUTPUT)
    how.ignore_state_when_worse_than = 0.0
    how.stop_when_num_solutions_exceeds = 1
    how.stop_when_optimal = False
    search = how.get_search(ensemble, box)
    why = search.step_for(SECONDS, STEPS)
    if why in (StopReason.OUT_OF_TIME, StopReason.OUT_OF_MEMORY):
        raise RuntimeError("Veritas left a record undecided")
    return bool(search.num_solutions() > 0)
