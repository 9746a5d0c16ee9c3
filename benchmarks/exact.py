"""The exact robust accuracy of a model, against AutoAttack.

Of its attacks those run that know two classes; its DLR loss does not.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.contest import OURS, Contender
from benchmarks.problem import Problem
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.models.mlp import as_module
from pipeline.models.population import Population
from pipeline.verify import verify
from pipeline.verify.network import Network

EPS = 0.3
BUDGET = 20_000  # boxes for one record
STEPS, QUERIES = 100, 5_000  # as AutoAttack's standard version


def exact_accuracy(problem: Problem) -> dict[str, Contender]:
    """One undefended model, everybody's complete record; measurements may move by `EPS`.

    The peer knows one box and one radius for all inputs: it gets the measurements in units of
    `scale`, and each record's number in binary, which no perturbation of this size changes, to look
    up what may not be forged. No grid, which the peer has not.
    """
    population = train(
        "baseline", problem.complete, problem.plan.select(torch.tensor([0])), problem.cfg
    )
    x, y = problem.complete.x, problem.complete.y
    threat = measurements(problem)
    network = Network.of(population, 0)

    def ours(_: int) -> tuple[float, float]:
        found = verify(network, x, y, threat, largest=EPS, budget=BUDGET)
        robust, broken = found.robust_below > EPS, found.breaks_at <= EPS
        if not (robust | broken).all():
            raise RuntimeError("a record was left undecided: the accuracy would not be exact")
        return float(robust.float().mean()), 0.0

    victim, records = Numbered(population, x, threat), numbered(x, threat)
    radius = EPS / widest(threat)

    def theirs(_: int) -> tuple[float, float]:
        from torchattacks import APGD, FAB, Square

        standing = victim(records).argmax(1) == y
        for attack in (
            APGD(victim, norm="Linf", eps=radius, steps=STEPS, loss="ce", seed=0),
            FAB(victim, norm="Linf", eps=radius, steps=STEPS, n_classes=2, seed=0),
            Square(victim, norm="Linf", eps=radius, n_queries=QUERIES, seed=0),
        ):
            left = standing.nonzero()[:, 0]
            with torch.enable_grad():
                made = attack(records[left], y[left])
            standing[left] = victim(made).argmax(1) == y[left]
        return float(standing.float().mean()), 0.0

    return {OURS: Contender(ours, _last), "torchattacks": Contender(theirs, _last)}


def _last(results: list[tuple[float, float]]) -> float:
    return results[-1][0]


def measurements(problem: Problem) -> Threat:
    """The clinical threat without a grid, and with one width of all ranges in units of scale."""
    clinical = Threat.of(problem.complete.schema, problem.cfg.threat["clinical"])
    free = replace(clinical, step=torch.zeros_like(clinical.step))
    return replace(
        free,
        upper=torch.where(free.mutable, free.lower + widest(clinical) * free.scale, free.upper),
    )


def widest(threat: Threat) -> float:
    """The widest range of a measurement, in units of scale."""
    return float(((threat.upper - threat.lower) / threat.scale)[threat.mutable].max())


def numbered(x: Tensor, threat: Threat) -> Tensor:
    """Records in the unit box (N, 1, 1, K): measurements, then the record's number in binary."""
    unit = ((x - threat.lower) / threat.scale / widest(threat))[:, threat.mutable]
    bits = torch.arange(len(x))[:, None] >> torch.arange(len(x).bit_length()) & 1
    return torch.cat([unit, bits], 1).float()[:, None, None]


class Numbered(nn.Module):
    """The first member of a population, on what `numbered` makes of its records."""

    def __init__(self, population: Population, x: Tensor, threat: Threat) -> None:
        super().__init__()
        self.network = (
            as_module(population.parameters, population.preprocessing, 0)
            .requires_grad_(False)
            .eval()
        )
        self.x, self.mutable = x, threat.mutable.nonzero()[:, 0]
        self.lower, self.width = (
            threat.lower[threat.mutable].float(),
            (widest(threat) * threat.scale)[threat.mutable].float(),
        )

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        values, bits = flat[:, : len(self.mutable)], flat[:, len(self.mutable) :]
        number = ((bits > 0.5) * 2 ** torch.arange(bits.shape[1])).sum(1).clamp_max(len(self.x) - 1)
        record = self.x[number].index_copy(1, self.mutable, self.lower + values * self.width)
        answer: Tensor = self.network(record)
        return answer
