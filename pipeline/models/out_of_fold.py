"""Between the rectangle that models work on, (E, M, B, ...), and the patients, (E, S, N, ...)."""

import torch
from torch import Tensor

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.answers import margin
from pipeline.models.population import Population


class OutOfFold:
    """Radii E x models M x held-out patients B, against radii x repetitions S x patients N."""

    def __init__(self, plan: Plan, eps: list[float]) -> None:
        """Takes a plan whose repetitions all hold out the same patients, each of them once."""
        self.plan, self.eps = plan, eps
        self.repetitions = int(plan.repetition.max()) + 1
        counts = torch.stack(
            [plan.held_out[plan.repetition == s].sum(0) for s in range(self.repetitions)]
        )
        if (counts != counts[:1]).any() or counts.max() > 1:
            raise ValueError(
                "each repetition of a plan must hold out the same patients, each of them once"
            )
        self.patients = counts[0].nonzero()[:, 0]
        self.model_of = torch.zeros(self.repetitions, plan.held_out.shape[1], dtype=torch.int64)
        for row in range(plan.size):
            self.model_of[plan.repetition[row], plan.held_out[row]] = row

    def scatter(self, values: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        """(E, M, B, ...) to (E, S, N, ...), dropping the filler of the rectangle."""
        repetition = self.plan.repetition[:, None].expand(index.shape)
        total = self.plan.held_out.shape[1]
        dense = values.new_zeros(values.shape[0], self.repetitions, total, *values.shape[3:])
        dense[:, repetition[valid], index[valid]] = values[:, valid]
        return dense[:, :, self.patients].contiguous()

    def of_models(self, values: Tensor) -> Tensor:
        """(M, ...) to (S, N, ...): of each patient, the value of the model that holds him out."""
        return values[self.model_of[:, self.patients]]

    def gather(self, dense: Tensor, index: Tensor) -> Tensor:
        """(E, S, N, ...) to (E, M, B, ...)."""
        position = torch.zeros(self.plan.held_out.shape[1], dtype=torch.int64)
        position[self.patients] = torch.arange(len(self.patients))
        return dense[:, self.plan.repetition[:, None].expand(index.shape), position[index]]


@torch.no_grad()
def margins_out_of_fold(
    population: Population, dataset: Dataset, plan: Plan
) -> tuple[Tensor, Tensor]:
    """Margins (1, S, N) of unchanged records, by models that did not train on them; y (N,)."""
    scored = plan.scored()
    population, plan = population.select(scored), plan.select(scored)
    grid = OutOfFold(plan, [0.0])
    index, valid = plan.held_out_index()
    margins = margin(population.double()(dataset.x[index].double()), dataset.y[index])
    return grid.scatter(margins[None], index, valid), dataset.y[grid.patients]


def cuts_out_of_fold(population: Population, plan: Plan) -> Tensor:
    """(S, N) float64: `Population.cut` of the model that holds each patient out."""
    scored = plan.scored()
    return OutOfFold(plan.select(scored), [0.0]).of_models(population.select(scored).cut)
