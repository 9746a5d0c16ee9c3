"""Models behind a guard: which records they answer.

Claim: of two admissible records within r of each other that a model decides differently, it answers
neither: each is a counterexample of the other. So nobody who may change a record by at most r makes
the guard give another answer than it would have given.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.data.threat import Threat
from pipeline.models.population import Population
from pipeline.seeds import Stream, generator
from pipeline.verify import Nearest, member_of, verify
from pipeline.verify.problem import TOLERANCE


def drawn(seed: int, *numbers: int) -> torch.Generator:
    """What draws for one attack on the guard, by the configured seed and its numbers."""
    return generator(Stream.GUARD, seed, *numbers)


def admissible(x: Tensor, threat: Threat) -> Tensor:
    """(...) bool: whether all that may be changed lies in range and on the grid, or is missing.

    Args:
        x: (..., D) records in clinical units, NaN = missing.
        threat: whose ranges and grids these are.
    """
    x = x.double()
    rounding = 1e-7 * x.abs()
    outside = (x < threat.lower - rounding) | (x > threat.upper + rounding)
    wrong = threat.mutable & ~x.isnan() & (outside | threat.off_grid(x))
    return ~wrong.any(-1)


@dataclass(frozen=True)
class Guarded:
    """M models, and how far around their answers is looked.

    Attributes:
        population: the models.
        threat: whose changes are ruled out, whatever the goal.
        largest: radius up to which anything is asked, in units of scale.
        boxes: that the verifier may spend on a record.
        tolerance: on top of a radius; without it, ties at r are answered.
    """

    population: Population
    threat: Threat
    largest: float
    boxes: int
    tolerance: float = TOLERANCE

    @torch.no_grad()
    def lead(self, x: Tensor) -> Tensor:
        """(..., M, B) float64: how far class 1 leads at the operating point."""
        logits = self.population.double()(x.double())
        return logits[..., 1] - logits[..., 0]

    def called(self, x: Tensor) -> Tensor:
        """(..., M, B) int64: the class that is decided."""
        return (self.lead(x) > 0).long()

    def radius(self, x: Tensor, asked: Tensor) -> Tensor:
        """(M, B) float64: below which no admissible record has another answer: proved.

        Args:
            x: (M, B, D) float32 records.
            asked: (M, B) bool.

        Returns:
            infinite beyond `largest`; 0 of a record that is not admissible, or not asked about.
        """
        found = torch.zeros(asked.shape, dtype=torch.float64)
        rows = asked & admissible(x, self.threat)
        for member, x_own, called in self._members(x, rows):
            near = self._verified(member, x_own, called, self.largest + 2 * TOLERANCE)
            found[member][rows[member]] = near.robust_below
        return found

    def answered(self, radius: Tensor, r: float) -> Tensor:
        """(...) bool: whether radii (...) are large enough for an answer."""
        return radius > r + self.tolerance

    def nearest(self, x: Tensor, asked: Tensor, largest: float) -> tuple[Tensor, Tensor]:
        """The nearest records with another answer (M, B, D), and how near they are (M, B)."""
        records, distance = x.clone(), torch.full(asked.shape, torch.inf, dtype=torch.float64)
        for member, x_own, called in self._members(x, asked):
            near = self._verified(member, x_own, called, largest)
            records[member][asked[member]] = near.record
            distance[member][asked[member]] = near.breaks_at
        return records, distance

    def _members(self, x: Tensor, rows: Tensor) -> list[tuple[int, Tensor, Tensor]]:
        called = self.called(x)
        return [
            (member, x[member][own], called[member][own])
            for member, own in enumerate(rows)
            if own.any()
        ]

    def _verified(self, member: int, x: Tensor, called: Tensor, largest: float) -> Nearest:
        threat = replace(self.threat, goal="any")  # whoever presents it may have had any goal
        model = member_of(self.population, member)
        return verify(model, x, called, threat, largest=largest, budget=self.boxes)
