"""What is proved about each patient, as data, and how it comes about."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.models.answers import margin
from pipeline.models.out_of_fold import Grid
from pipeline.models.population import Population, networks_of
from pipeline.verify import one_at_a_time, provable, verify
from pipeline.verify.network import Network

ADVICE = "run `dvc repro` to make it"
# of eps: a distance of 3 mg/dL / 30 mg/dL is eps 0.1, whatever float64 makes of either
SAME_RADIUS = 1e-9


@dataclass(frozen=True)
class Verified:
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
            that changes the answer, anywhere in its plausible range; inf = none; NaN = not mutable
            or missing. Where the budget was spent, the smallest found.
        alone_value: (S, N, D) float64, the value it takes then; NaN = none.
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

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Verified":
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
        """(E, S, N, D): the counterexample within the radius, else the record itself."""
        broken = self.broken_at(radii)
        broken = broken.view(*broken.shape, *([1] * (x.dim() - 1)))
        return torch.where(broken, self.counterexample, x[self.patients])


def verdicts(verified: Mapping[str, Verified]) -> pd.DataFrame:
    """One row per threat x repetition x patient: `margin`, `robust_below` and `breaks_at`."""
    frames = []
    for threat, proof in verified.items():
        repetitions, patients = proof.margin.shape
        columns = {
            name: getattr(proof, name).flatten().numpy()
            for name in ("margin", "robust_below", "breaks_at")
        }
        place = {
            "repetition": np.repeat(np.arange(repetitions), patients),
            "patient": np.tile(proof.patients, repetitions),
        }
        frames.append(
            pd.DataFrame({"threat": threat, **place, "y": np.tile(proof.y, repetitions), **columns})
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def proofs_out_of_fold(
    pool: Executor,
    population: Population,
    dataset: Dataset,
    plan: Plan,
    threat: Threat,
    *,
    radii: list[float],
    exact_to: float | None,
    budget: int,
    alone: bool,
) -> Callable[[], Verified]:
    """Sets out to prove what can be proved of each patient, out of fold.

    Args:
        pool: who does the work; one task for each model.
        population: M models, all of which hold somebody out.
        dataset: the records.
        plan: who trained on whom.
        threat: what may be changed; records that its goal spares count as never broken.
        radii: of interest.
        exact_to: radius up to which to look, and beyond which nobody is proved safe; None = the
            largest of `radii`.
        budget: branch-and-bound boxes for one record.
        alone: whether to look for single measurements that suffice; needs a plausible range of each
            that is mutable.

    Returns:
        what waits for the work to be done, and returns the proofs.
    """
    grid, (index, valid) = Grid(plan, radii), plan.held_out_index()
    if provable(population):
        nothing = _undecided(population, dataset, plan, grid)
        return lambda: nothing
    largest = min(radii[-1], exact_to or torch.inf)
    # What finding nothing proves: no float32 record lies between `largest` and this.
    silence = torch.inf if largest == radii[-1] else largest + 2 * SAME_RADIUS
    bounded = bool(
        (threat.lower[threat.mutable].isfinite() & threat.upper[threat.mutable].isfinite()).all()
    )
    tasks = [
        pool.submit(
            _proofs,
            Network.of(networks_of(population), member),
            dataset.x[rows],
            dataset.y[rows],
            threat,
            largest,
            silence,
            budget,
            alone and bounded,
        )
        for member, rows in enumerate(index[member][inside] for member, inside in enumerate(valid))
    ]

    def wait() -> Verified:
        columns: dict[str, list[Tensor]] = {}
        for inside, task in zip(valid, tasks, strict=True):
            for name, values in task.result().items():
                rectangle = torch.zeros(
                    len(inside), *values.shape[1:], dtype=torch.from_numpy(values).dtype
                )
                rectangle[inside] = torch.from_numpy(values)
                columns.setdefault(name, []).append(rectangle)
        tensors = {
            name: grid.scatter(torch.stack(parts)[None], index, valid)[0]
            for name, parts in columns.items()
        }
        return Verified(patients=grid.patients, y=dataset.y[grid.patients], **tensors)

    return wait


@torch.no_grad()
def _undecided(population: Population, dataset: Dataset, plan: Plan, grid: Grid) -> Verified:
    """Of a population that cannot be proved: its margins, and that nothing else is known."""
    index, valid = plan.held_out_index()
    margins = margin(population.double()(dataset.x[index].double()), dataset.y[index])
    own = grid.scatter(margins[None], index, valid)[0]
    x = dataset.x[grid.patients].expand(len(own), *([-1] * dataset.x.dim())).contiguous()
    unknown = torch.full(x.shape, torch.nan, dtype=torch.float64)
    return Verified(
        patients=grid.patients,
        y=dataset.y[grid.patients],
        margin=own,
        robust_below=torch.zeros_like(own),
        breaks_at=torch.where(own > 0, torch.inf, 0.0),
        counterexample=x,
        counter_margin=own.clone(),
        alone=unknown,
        alone_value=unknown.clone(),
    )


@torch.no_grad()
def _proofs(
    network: Network,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    largest: float,
    silence: float,
    budget: int,
    alone: bool,
) -> dict[str, np.ndarray[Any, Any]]:
    """The columns of `Verified` for one model's records, as arrays, which travel as they are."""
    found = verify(
        network, x, y, threat, largest=largest, budget=budget, spared=~threat.attackable(y)
    )
    distance = value = torch.full(x.shape, torch.nan, dtype=torch.float64)
    if alone:
        _, distance, value = one_at_a_time(
            network, x, (y, 1 - y), replace(threat, norm="l0"), budget
        )
    columns = {
        "margin": network.margin(network.filled(x), y, 1 - y),
        "robust_below": found.robust_below.clamp_max(silence),
        "breaks_at": found.breaks_at,
        "counterexample": found.record,
        "counter_margin": network.margin(network.filled(found.record), y, 1 - y),
        "alone": distance,
        "alone_value": value,
    }
    return {name: values.numpy() for name, values in columns.items()}
