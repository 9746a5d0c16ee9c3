"""Poisoned training sets: every version of every record, and a plan of who learns from which.

The versions of a record lie side by side: row n * V + v of one data set is version v of record n,
and version 0 is the record itself. A training set is a row of a plan that takes exactly one version
of each record. The rows keep the order of the records,
so a recipe draws the very same batches from a poisoned set as from the clean one: what differs
between the two models is the poison alone, bit for bit where both are trained beside equally many
others (beside more of them, matrix products round their last digit differently). Any recipe trains
all poisoned sets as one population. A recipe that tosses a coin for each row, as DP-SGD does at a
sample rate below 1, tosses another one for each version.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from pipeline.attacks.poisoning.poison import Poison
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.risks.poisoning.measure.settings import Dose


@dataclass(frozen=True)
class TrainingSets:
    """Poisoned training sets as one data set and one plan.

    E doses x R harmed models, all doses of the smallest first.

    Attributes:
        dataset: N * V records; row n * V + v is version v of record n, version 0 the record itself.
        plan: (E * R, N * V); models are scored on version 0 of those whom the harmed model holds
            out.
        poisoned: (E * R, N * V) bool, the rows among `plan.train` that the attacker wrote.
        dose: (E * R,) int64, index of the dose; `model` likewise, the row of the clean plan that is
            harmed.
        target: (E * R,) int64, as `Poison.target`.
    """

    dataset: Dataset
    plan: Plan
    poisoned: Tensor
    dose: Tensor
    model: Tensor
    target: Tensor

    @property
    def doses(self) -> int:
        """E."""
        return int(self.dose.max()) + 1

    def select(self, members: Tensor) -> "TrainingSets":
        """Some of the sets (indices or a mask)."""
        plan, poisoned = self.plan.select(members), self.poisoned[members]
        rest = (one[members] for one in (self.dose, self.model, self.target))
        return TrainingSets(self.dataset, plan, poisoned, *rest)

    @classmethod
    def join(cls, some: Sequence["TrainingSets"]) -> "TrainingSets":
        """Sets of the same versions of the same records; their doses follow one another."""
        plans = [one.plan for one in some]
        train, held_out, repetition, seeds = (
            torch.cat([getattr(plan, name) for plan in plans])
            for name in ("train", "held_out", "repetition", "seeds")
        )
        labels = tuple(
            f"{label}-{place}" for place, plan in enumerate(plans) for label in plan.labels
        )
        before = [0, *accumulate(one.doses for one in some)]
        dose = torch.cat([one.dose + first for one, first in zip(some, before, strict=False)])
        poisoned, model, target = (
            torch.cat([getattr(one, name) for one in some])
            for name in ("poisoned", "model", "target")
        )
        plan = Plan(train, held_out, repetition, seeds, labels)
        return cls(some[0].dataset, plan, poisoned, dose, model, target)

    def without(self, dropped: Tensor) -> "TrainingSets":
        """The sets less the rows (E * R, N * V) that somebody threw out, rightly or wrongly."""
        plan = replace(self.plan, train=self.plan.train & ~dropped)
        return replace(self, plan=plan, poisoned=self.poisoned & ~dropped)


def poisoned_records(dose: Dose, records: int) -> int:
    """How many of so many records, or patients, a dose is: a number, or a share, rounded up."""
    return dose if isinstance(dose, int) else max(1, math.ceil(dose * records - 1e-9))


def doses_in(plan: Plan, doses: Sequence[Dose], whose: Tensor) -> Tensor:
    """(E, M) int64: how many patients of each model's training set each dose is.

    Args:
        plan: who trains the M models.
        doses: E; a number, or a share.
        whose: (N,) int64, the patient of each record, from 0.
    """
    counts = [len(whose[row].unique()) for row in plan.train]
    return torch.tensor([[poisoned_records(dose, count) for count in counts] for dose in doses])


def first_patients(priority: Tensor, counts: Tensor, whose: Tensor) -> Tensor:
    """(..., M, N) bool: all records that may be poisoned of the first patients of an order.

    Args:
        priority: (M, N), higher first, of a patient that of his first record; -inf = never.
        counts: (..., M), how many patients.
        whose: (N,) int64, the patient of each record, from 0.
    """
    of_patient = torch.full((len(priority), int(whose.max()) + 1), -torch.inf).to(priority)
    of_patient = of_patient.scatter_reduce(1, whose.expand(priority.shape), priority, "amax")
    rank = of_patient.argsort(dim=1, descending=True, stable=True).argsort(1)
    return (rank < counts[..., None])[..., whose] & (priority > -torch.inf)


def draw_training_sets(
    poison: Poison, dataset: Dataset, plan: Plan, doses: list[Dose], whose: Tensor | None = None
) -> TrainingSets:
    """Every dose of a poison in every training set that it harms.

    Smaller doses are parts of larger ones. Where fewer records may be poisoned than the dose asks
    for, all of them are. `whose` (N,) says of which patient each record is, from 0: a poisoner
    owns patients with all their records, and a dose counts these; None = it counts records.
    """
    whose = torch.arange(len(dataset.y)) if whose is None else whose
    train, versions = plan.train[poison.model], 1 + len(poison.x)
    priority = poison.priority.masked_fill(~train, -torch.inf)
    wanted = doses_in(plan.select(poison.model), doses, whose)
    chosen = first_patients(priority, wanted, whose)  # (E, R, N)
    table = torch.zeros(*chosen.shape, versions, dtype=torch.bool)
    table[..., 0] = train & ~chosen
    poisoned = torch.zeros_like(table).scatter_(
        3, (1 + poison.version)[:, None, None].expand(*chosen.shape, 1), chosen[..., None]
    )
    held_out = torch.zeros_like(table)
    held_out[..., 0] = plan.held_out[poison.model]
    rows = poison.model.repeat(len(doses))
    together = Dataset(
        _interleaved(dataset.x, poison.x), _interleaved(dataset.y, poison.y), dataset.schema
    )
    if len(dataset.patient.unique()) < len(dataset.patient):
        patient, kept = (
            one.repeat_interleave(versions) for one in (dataset.patient, dataset.together)
        )
        together = replace(together, patient=patient, together=kept)
    joint = Plan(
        (table | poisoned).flatten(2).flatten(0, 1),
        held_out.flatten(2).flatten(0, 1),
        plan.repetition[rows],
        plan.seeds[rows],
        tuple(f"{plan.labels[row]}-poison{place}" for place, row in enumerate(rows.tolist())),
    )
    dose_of = torch.arange(len(doses)).repeat_interleave(len(poison.model))
    return TrainingSets(
        together,
        joint,
        poisoned.flatten(2).flatten(0, 1),
        dose_of,
        rows,
        poison.target.repeat(len(doses)),
    )


def unpoisoned(dataset: Dataset, plan: Plan) -> TrainingSets:
    """The training sets of a plan as they are, of one dose that is nothing."""
    rows = torch.arange(plan.size)
    nothing, nobody = torch.zeros_like(plan.train), torch.full_like(rows, -1)
    return TrainingSets(dataset, plan, nothing, torch.zeros_like(rows), rows, nobody)


def _interleaved(clean: Tensor, versions: Tensor) -> Tensor:
    return torch.cat([clean[None], versions]).transpose(0, 1).flatten(0, 1).contiguous()
