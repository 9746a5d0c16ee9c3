"""Every record that may be presented, one by one, from the definition of the threat.

What `pipeline.verify` must agree with.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.data.threat import Threat
from pipeline.models.population import Population
from pipeline.verify.nearest import Nearest, nearest_record
from pipeline.verify.network import Network
from pipeline.verify.problem import Problem
from tiny import CLINICAL, records

STEP = torch.tensor([1.0, 0.1, 0.25, 0.001, 1.0], dtype=torch.float64)
GRIDDED = replace(
    CLINICAL, step=STEP
)  # every mutable feature has a grid: 61 x 141 x 9 records within eps = 1
COARSE = replace(CLINICAL, step=torch.tensor([10.0, 2.0, 0.5, 0.001, 1.0], dtype=torch.float64))
CONTINUOUS = replace(CLINICAL, step=torch.zeros(5, dtype=torch.float64))
INFINITY = float("inf")


def on_grid(n: int, threat: Threat, *, seed: int, missing: float = 0.1) -> Tensor:
    """Records (n, 5) on the threat's grid."""
    x = records(n, seed=seed, missing=missing).x
    step = torch.where(threat.step > 0, threat.step, 1.0)
    return torch.where(threat.step > 0, (torch.round(x.double() / step) * step).float(), x)


def off_grid(x: Tensor, *, seed: int) -> Tensor:
    """The same records, a third of all mutable values between two grid points."""
    generator = torch.Generator().manual_seed(seed)
    shift = torch.rand(x.shape, generator=generator).double() * 0.8 + 0.1
    chosen = (torch.rand(x.shape, generator=generator) < 1 / 3) & GRIDDED.mutable
    return torch.where(chosen, (x.double() + shift * STEP).float(), x)


def written(values: Tensor, feature: int, threat: Threat) -> Tensor:
    """What float32 values of a feature mean: float64, a multiple of the step if meant as one."""
    step = float(threat.step[feature])
    if step == 0:
        return values.double()
    ticks = torch.round(values.double() / step) * step
    return torch.where((values.double() - ticks).abs() <= 1e-4 * step, ticks, values.double())


def choices(record: Tensor, feature: int, threat: Threat, radius: float) -> Tensor:
    """The float32 values that may be presented for one value of a record.

    Itself, and the grid points in reach and in range.
    """
    own = record[feature : feature + 1]
    if own.isnan() or not threat.mutable[feature]:
        return own
    step, reach = float(threat.step[feature]), radius * float(threat.scale[feature])
    meant = float(written(own, feature, threat))
    first, last = (
        round(float(threat.lower[feature]) / step),
        round(float(threat.upper[feature]) / step),
    )
    ticks = torch.arange(first, last + 1, dtype=torch.float64) * step
    ticks = ticks[((ticks - meant).abs() <= reach + 1e-9) & ((ticks - meant).abs() > 1e-9)]
    return torch.cat([own, ticks.float()])


def everything(
    record: Tensor, threat: Threat, radius: float, features: list[int] | None = None
) -> Tensor:
    """All records (K, D) that may be presented; of `features` alone, if given."""
    columns = [
        choices(record, feature, threat, radius)
        if features is None or feature in features
        else record[feature : feature + 1]
        for feature in range(len(record))
    ]
    return torch.cartesian_prod(*columns)


def margin(models: Population, x: Tensor, y: int, other: int | None = None) -> Tensor:
    """(K,) float64: lead of class y over `other`, or over all others, of the first member."""
    logits = models.select(torch.tensor([0])).double()(x[None].double())[0]
    if other is not None:
        return logits[:, y] - logits[:, other]
    return logits[:, y] - torch.cat([logits[:, :y], logits[:, y + 1 :]], 1).amax(1)


def change(x_adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
    """(K, D) float64: changes of records (K, D) from (D,) or (K, D), in units of scale."""
    columns = [
        (
            written(x_adv[..., feature], feature, threat)
            - written(x[..., feature], feature, threat)
        ).abs()
        for feature in range(x.shape[-1])
    ]
    return torch.stack(columns, -1).nan_to_num(0.0) / threat.scale


@dataclass(frozen=True)
class Truth:
    """The least distances (P,) at which a record breaks, in both norms.

    And `within` (P, E): whether one between the corners does.
    """

    linf: Tensor
    l2: Tensor
    within: Tensor

    def of(self, norm: str) -> Tensor:
        return {"linf": self.linf, "l2": self.l2}[norm]


def truth(
    models: Population,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    largest: float,
    eps: tuple[float, ...] = (),
) -> Truth:
    """Tries every record."""
    rows: list[list[float]] = []
    within: list[list[bool]] = []
    for record, label in zip(x, y.tolist(), strict=True):
        tried = everything(record, threat, largest)
        broken = tried[margin(models, tried, label) <= 0]
        moved = change(broken, record, threat)
        distances = moved.amax(1), moved.norm(dim=1)
        rows.append([float(torch.cat([d, torch.tensor([INFINITY])]).min()) for d in distances])
        corners = [threat.box(record, radius) for radius in eps]
        same = (broken == record) | record.isnan()
        inside = [
            (same | ((broken >= low - 1e-5) & (broken <= high + 1e-5))).all(1).any()
            for low, high in corners
        ]
        within.append([bool(one) for one in inside])
    linf, l2 = torch.tensor(rows, dtype=torch.float64).T
    l2 = torch.where(l2 <= largest + 1e-9, l2, INFINITY)
    return Truth(linf, l2, torch.tensor(within))


def problem(
    models: Population,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    largest: float,
    other: Tensor | None = None,
) -> Problem:
    """The question for the first member."""
    network = Network.of(models, 0)
    return Problem.of(
        network, x, threat.box(x, largest), (y, 1 - y if other is None else other), threat, largest
    )


def solve(
    models: Population,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    largest: float,
    *,
    budget: int = 100_000,
) -> Nearest:
    """The answer for the first member, of two classes."""
    return nearest_record(
        Network.of(models, 0), problem(models, x, y, threat, largest), budget=budget
    )


def answers(models: Population, x: Tensor) -> Tensor:
    """What the first member says."""
    return models.select(torch.tensor([0])).double()(x[None].double())[0].argmax(-1)
