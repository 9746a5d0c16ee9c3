"""What is proved about each patient, as data, and how it comes about."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.models.answers import margin
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import ImageNetworks, Population
from pipeline.statistics import Array
from pipeline.verify import member_of, one_at_a_time, verify, why_no_proof
from pipeline.verify.cells import Ensemble
from pipeline.verify.convolution import Convolutions
from pipeline.verify.nearest import SAME_RADIUS
from pipeline.verify.network import Network
from pipeline.verify.prune import pruned
from pipeline.verify.scans import columns_of_scans
from pipeline.verify.trees import each_alone, fewer_changes

ADVICE = "run `dvc repro` to make it"
AT_ONCE = 1024  # records of one model that are worked on together


@dataclass(frozen=True)
class Proofs:
    """What is proved about each patient under one threat model.

    S repetitions x N patients, each judged by the model that did not train on them.

    Attributes:
        patients: (N,) int64, row of the data set.
        y: (N,) int64, class indices; class 1 = disease present.
        margin: (S, N) float64, of the true class on the unchanged record, in logits.
        robust_below: (S, N) float64, no record nearer than this changes the answer (proved), in
            units of scale; 0 = already wrong; inf = none up to the largest radius looked at.
        breaks_at: (S, N) float64, distance of the nearest record found that does; inf = none.
            robust_below <= breaks_at; equal = exact.
        counterexample: (S, N, D) float32, that record in clinical units; the record itself where
            there is none. NaN = missing.
        counter_margin: (S, N) float64, margin there.
        alone: (S, N, D) float64, the smallest change of this measurement alone, in units of scale,
            that changes the answer, as far as a single forged measurement may go; inf = none; NaN =
            not mutable or missing. Where the budget was spent, the smallest found.
        alone_value: (S, N, D) float64, the value it takes then; NaN = none.
        typical_margin: (S, N) float64, margin of every repetition's model at one record, that of
            the `typical` repetition.
        least: (E, S, N) float32, rounded down: of images, no one within each radius of the search
            leaves less of the true class, in logits. None = not asked.
    """

    patients: Tensor
    y: Tensor
    margin: Tensor
    robust_below: Tensor
    breaks_at: Tensor
    counterexample: Tensor
    counter_margin: Tensor
    alone: Tensor
    alone_value: Tensor
    typical_margin: Tensor
    least: Tensor | None = None

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Proofs":
        """Reads what `save` wrote, bit for bit.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        return read_artifact(path, cls, what="what was proved about patients", advice=ADVICE)

    def robust_at(self, radii: list[float]) -> Tensor:
        """(E, S, N) bool: proved that no record within each radius changes a right answer."""
        return (
            self.robust_below
            > torch.tensor(radii, dtype=torch.float64)[:, None, None] + SAME_RADIUS
        )

    def broken_at(self, radii: list[float]) -> Tensor:
        """(E, S, N) bool: a record within each radius is known that is answered wrongly."""
        return (
            self.breaks_at <= torch.tensor(radii, dtype=torch.float64)[:, None, None] + SAME_RADIUS
        )

    def records_at(self, radii: list[float], x: Tensor) -> Tensor:
        """(E, S, N, D): the counterexample within the radius, or else the record; x (all, D)."""
        broken = self.broken_at(radii)
        broken = broken.view(*broken.shape, *([1] * (x.dim() - 1)))
        return torch.where(broken, self.counterexample, x[self.patients])


@dataclass(frozen=True)
class ProofSearch:
    """How far, and how long, a proof is looked for.

    Attributes:
        threat: what may be changed; records that its goal spares count as never broken.
        radii: of interest.
        exact_to: radius up to which to look, and beyond which nobody is proved safe; None = the
            largest of `radii`.
        budget: branch-and-bound boxes for one record.
        alone: an L0 threat: what a single measurement may become, to look for those that suffice;
            None = not to look. None is looked for where one that is mutable has no plausible range.
        pruned: whether a person will read the records that are found: superfluous changes are
            taken back then.
    """

    threat: Threat
    radii: list[float]
    exact_to: float | None
    budget: int
    alone: Threat | None
    pruned: bool

    @property
    def largest(self) -> float:
        """The radius up to which to look."""
        return min(self.radii[-1], self.exact_to or torch.inf)

    @property
    def silence(self) -> float:
        """What finding nothing proves: no float32 record lies between `largest` and this."""
        return torch.inf if self.largest == self.radii[-1] else self.largest + 2 * SAME_RADIUS

    @property
    def bounded(self) -> bool:
        """Whether everything that may be forged alone has a plausible range."""
        if self.alone is None:
            return False
        ends = (self.alone.lower, self.alone.upper)
        return all(bool(end[self.alone.mutable].isfinite().all()) for end in ends)


def proofs_out_of_fold(
    pool: Executor, population: Population, dataset: Dataset, plan: Plan, search: ProofSearch
) -> Callable[[], Proofs]:
    """Sets out to prove what can be proved, by the models that did not train on a patient.

    Of a population for which `why_no_proof` has a reason nothing is proved, and nothing is found.

    Args:
        pool: who does the work; one task for each model.
        population: M models, all of which hold somebody out.
        dataset: the records.
        plan: who trained on whom.
        search: how far to look.

    Returns:
        what waits for the work to be done, and returns the proofs.
    """
    folds, (index, valid) = OutOfFold(plan, search.radii), plan.held_out_index()
    if why_no_proof(population):
        nothing = _undecided(population, dataset, plan, folds)
        return lambda: nothing
    tasks = [
        pool.submit(_prover(population, member), dataset.x[rows], dataset.y[rows], search)
        for member, rows in enumerate(index[member][inside] for member, inside in enumerate(valid))
    ]

    def wait() -> Proofs:
        columns: dict[str, list[Tensor]] = {}
        for inside, task in zip(valid, tasks, strict=True):
            for name, values in task.result().items():
                rectangle = torch.zeros(
                    len(inside), *values.shape[1:], dtype=torch.from_numpy(values).dtype
                )
                rectangle[inside] = torch.from_numpy(values)
                columns.setdefault(name, []).append(rectangle)
        tensors = {
            name: folds.scatter(torch.stack(parts)[None], index, valid)[0]
            for name, parts in columns.items()
        }
        if "least" in tensors:
            tensors["least"] = tensors["least"].movedim(-1, 0).contiguous()
        everyone = torch.arange(len(folds.patients))
        record = tensors["counterexample"][typical(tensors["breaks_at"]), everyone]
        return Proofs(
            patients=folds.patients,
            y=dataset.y[folds.patients],
            typical_margin=_margins_at(population, dataset, plan, folds, record),
            **tensors,
        )

    return wait


def _prover(population: Population, member: int) -> Callable[..., dict[str, Array]]:
    """What proves for one member, asked about records, classes and a search."""
    if isinstance(population, ImageNetworks):
        return partial(columns_of_scans, Convolutions.of(population, member))
    return partial(_columns, member_of(population, member))


def typical(breaks_at: Tensor) -> Tensor:
    """(N,) the repetition of each patient whose distance (S, N) is the lower median.

    The first of those that tie.
    """
    median = breaks_at.sort(0).values[(len(breaks_at) - 1) // 2]
    return (breaks_at == median).int().argmax(0)


@torch.no_grad()
def _margins_at(
    population: Population, dataset: Dataset, plan: Plan, folds: OutOfFold, record: Tensor
) -> Tensor:
    """(S, N) float64: what every repetition's model makes of one record (N, D) per patient."""
    index, valid = plan.held_out_index()
    x = dataset.x.clone()
    x[folds.patients] = record
    margins = margin(population.double()(x[index].double()), dataset.y[index])
    return folds.scatter(margins[None], index, valid)[0]


@torch.no_grad()
def _undecided(population: Population, dataset: Dataset, plan: Plan, folds: OutOfFold) -> Proofs:
    """Of a population that cannot be proved: its margins, and that nothing else is known."""
    own = _margins_at(population, dataset, plan, folds, dataset.x[folds.patients])
    x = dataset.x[folds.patients].expand(len(own), *([-1] * dataset.x.dim())).contiguous()
    unknown = torch.full(x.shape, torch.nan, dtype=torch.float64)
    return Proofs(
        patients=folds.patients,
        y=dataset.y[folds.patients],
        margin=own,
        robust_below=torch.zeros_like(own),
        breaks_at=torch.where(own > 0, torch.inf, 0.0).double(),
        counterexample=x,
        counter_margin=own.clone(),
        typical_margin=own.clone(),
        alone=unknown,
        alone_value=unknown.clone(),
    )


@torch.no_grad()
def _columns(
    model: Network | Ensemble, x: Tensor, y: Tensor, search: ProofSearch
) -> dict[str, Array]:
    """The columns of `Proofs` for the records of one model, as arrays, which travel as they are.

    So many records at a time, as each is asked about many times over where measurements are forged
    one by one or in pairs.
    """
    parts = [
        _columns_of_some(model, x[rows], y[rows], search)
        for rows in torch.arange(len(x)).split(AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _columns_of_some(
    model: Network | Ensemble, x: Tensor, y: Tensor, search: ProofSearch
) -> dict[str, Array]:
    threat, budget = search.threat, search.budget
    spared = ~threat.attackable(y)
    found = verify(model, x, y, threat, largest=search.largest, budget=budget, spared=spared)
    distance = value = torch.full(x.shape, torch.nan, dtype=torch.float64)
    alone = search.alone if search.bounded else None
    if isinstance(model, Ensemble):
        if search.pruned:
            found = fewer_changes(model, x, y, found)
        if alone is not None and alone.relations is None:
            distance, value = each_alone(model, x, y, alone)
        own, counter = model.margin(x, y), model.margin(found.record, y)
    else:
        if search.pruned:
            found = pruned(model, x, (y, 1 - y), threat, found, budget=budget)
        if alone is not None:
            _, distance, value = one_at_a_time(model, x, (y, 1 - y), alone, budget)
        own, counter = (model.margin(model.filled(one), y, 1 - y) for one in (x, found.record))
    columns = {
        "margin": own,
        "robust_below": found.robust_below.clamp_max(search.silence),
        "breaks_at": found.breaks_at,
        "counterexample": found.record,
        "counter_margin": counter,
        "alone": distance,
        "alone_value": value,
    }
    return {name: values.numpy() for name, values in columns.items()}
