"""The least margin that any record within reach leaves: a bound, by branch and bound over boxes.

`verify` asks how far the nearest record is that changes an answer; a ranking of patients has no
answer to change, and asks how low a score can be pushed.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.data.plan import Plan
from pipeline.data.recodes import variants
from pipeline.data.schema import Dataset
from pipeline.data.threat import ROUNDING, Threat
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Population
from pipeline.statistics import Array
from pipeline.verify import member_of
from pipeline.verify.bounds import margin_bound
from pipeline.verify.cells import Ensemble
from pipeline.verify.nearest import CHUNK, TOGETHER
from pipeline.verify.network import Network
from pipeline.verify.problem import Boxes, Problem
from pipeline.verify.trees import least_of_trees

BOXES = 200  # of one record, before the bound is left as it is
TIGHT = 1e-4  # logits: how far below a record that was found a bound may stay


@dataclass(frozen=True)
class Least:
    """How low every patient's margin can be pushed, at most.

    S repetitions x N patients, each judged by the model that did not train on them.

    Attributes:
        eps: radius, in units of the threat's scale.
        margins: (S, N) float32, rounded down: no record within eps leaves less of the true class.
    """

    eps: float
    margins: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Least":
        """Reads what `save` wrote, bit for bit.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        what, advice = "bounds of margins", "run `dvc repro` to make it"
        return read_artifact(path, cls, what=what, advice=advice)


def least_out_of_fold(
    pool: Executor, population: Population, dataset: Dataset, plan: Plan, threat: Threat, eps: float
) -> Callable[[], Least]:
    """Sets out to bound the margins of all patients, by the models that did not train on them.

    Args:
        pool: who does the work; one task for each model.
        population: M models of two classes, all of which hold somebody out.
        dataset: the records.
        plan: who trained on whom.
        threat: what may be changed.
        eps: radius, in units of its scale.

    Returns:
        what waits for the work to be done, and returns the bounds.
    """
    index, valid = plan.held_out_index()
    tasks = [
        pool.submit(
            _of_model,
            member_of(population, member),
            dataset.x[index[member][inside]],
            dataset.y[index[member][inside]],
            threat,
            eps,
        )
        for member, inside in enumerate(valid)
    ]

    def wait() -> Least:
        rectangle = torch.zeros(index.shape)
        for inside, row, task in zip(valid, rectangle, tasks, strict=True):
            row[inside] = torch.from_numpy(task.result())
        return Least(eps, OutOfFold(plan, [eps]).scatter(rectangle[None], index, valid)[0])

    return wait


def _of_model(
    network: Network | Ensemble, x: Tensor, y: Tensor, threat: Threat, eps: float
) -> Array:
    """(B,) float32, as an array, which travels between processes as it is."""
    parts = zip(x.split(TOGETHER), y.split(TOGETHER), strict=True)
    exact = torch.cat([least_margins(network, *part, threat, eps) for part in parts])
    rounded = exact.float()
    down = torch.nextafter(rounded, torch.full_like(rounded, -torch.inf))
    return torch.where(rounded.double() > exact, down, rounded).numpy()


@torch.no_grad()
def least_margins(
    network: Network | Ensemble,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    eps: float,
    *,
    budget: int = BOXES,
) -> Tensor:
    """A lower bound of the margin over every record within reach, in whatever float64 arithmetic.

    Sound whenever it stops: the rounding of float64 is taken off, and boxes that are left open
    count as their bound. Whom the threat's goal spares stays as recorded. Under l2 and l0 it bounds
    the margin over the whole box that holds what is in reach.

    Args:
        network: of two classes; or an ensemble of trees.
        x: (P, D) float32 records in clinical units, NaN = missing.
        y: (P,) class indices.
        threat: what may be changed.
        eps: radius, in units of its scale.
        budget: boxes of one record.

    Returns:
        (P,) float64, of the true class, in logits; -inf where arithmetic has no bound.
    """
    if threat.discrete:
        made = variants(threat, x, eps, budget, ~threat.attackable(y))
        each = least_margins(network, made.x, y[made.row], threat.of_numbers, eps, budget=budget)
        bound = each.new_full((len(x),), torch.inf).scatter_reduce_(0, made.row, each, "amin")
        return torch.where(made.unlisted <= eps, -torch.inf, bound)
    if isinstance(network, Ensemble):
        return least_of_trees(network, x, y, threat, eps, budget)
    problem = Problem.of(network, x, _corners(x, y, threat, eps), (y, 1 - y), threat, eps)
    slack = network.rounding(problem.size)
    found = network.margin(problem.x, problem.own, problem.other)  # the least of any record so far
    bound, spent = torch.full_like(found, torch.inf), torch.zeros_like(y)
    boxes = problem.boxes()
    least = torch.full((len(boxes),), -torch.inf, dtype=torch.float64)
    while len(boxes):
        order = torch.argsort(least, stable=True)
        now, later = boxes.where(order[:CHUNK]), order[CHUNK:]
        now, possible = now.narrowed(problem)
        now, before = now.where(possible), least[order[:CHUNK]][possible]
        linear = margin_bound(network, now, problem)
        # what holds of a box holds of its halves
        here = torch.maximum(linear.least(now), before)
        lowest = torch.where(linear.slope > 0, now.low, now.high)
        kept = problem.as_records(now.index, lowest)
        records = network.filled(kept)
        there = network.margin(records, problem.own[now.index], problem.other[now.index])
        if problem.kept:  # a box of one record is that record, or nothing
            there = torch.where(problem.holds(now.index, kept), there, torch.inf)
            here = torch.where((now.low >= now.high).all(1), there, here)
        found.scatter_reduce_(0, now.index, there, "amin")
        spent += torch.bincount(now.index, minlength=len(spent))
        done = here >= found[now.index] - TIGHT
        done |= (now.low >= now.high).all(1) | (spent[now.index] >= budget)
        bound.scatter_reduce_(0, now.index[done], here[done], "amin")
        halves = now.where(~done).halves(problem, linear.looseness[~done])
        boxes = Boxes.join([boxes.where(later), halves])
        least = torch.cat([least[later], here[~done], here[~done]])
    return torch.where(slack.isfinite(), bound - slack, -torch.inf)


def _corners(x: Tensor, y: Tensor, threat: Threat, eps: float) -> tuple[Tensor, Tensor]:
    """(P, D) the least and the largest values that may be presented.

    Records are computed in float32, which can put a value without a grid just outside the ball.
    """
    low, high = threat.box(x, eps)
    moves = threat.attackable(y)[:, None] & (low < high)
    spill = torch.where(threat.step > 0, 0.0, ROUNDING)
    own = x.double()
    return (
        torch.where(moves, low - spill * (own.abs() + low.abs()), own),
        torch.where(moves, high + spill * (own.abs() + high.abs()), own),
    )
