"""What a poisoner has, and what is written."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.models.networks import Networks


@dataclass(frozen=True)
class Attacker:
    """What a poisoner has. N records, M models, D features; images (N, C, H, W) for records.

    Attributes:
        dataset: the records; only those that a model trains on may be used against it.
        plan: who trains on whom.
        surrogate: M linear models, each trained on the same records as the model that is harmed; of
            images on their pixels as one row. None = no attack that asks for them is made.
        threat: what may be written into the values of a record.
        eps: radius of `clean_label`, in units of scale.
        trigger: (*event) float32 values of the backdoor; NaN = no part of it.
        targets: (T,) int64, whom `one_patient` wants to be called healthy.
        generator: of random choices.
    """

    dataset: Dataset
    plan: Plan
    surrogate: Networks | None
    threat: Threat
    eps: float
    trigger: Tensor
    targets: Tensor
    generator: torch.Generator

    def chance(self) -> Tensor:
        """(M, N): a random order of the records, another one against every model.

        So a figure over models is a mean over whom the attacker happened to choose, too.
        """
        shape = self.plan.size, len(self.dataset.y)
        return torch.rand(shape, generator=self.generator, dtype=torch.float64)


@dataclass(frozen=True)
class Poison:
    """What would be written, and where first.

    R models are harmed, V versions of each record are ready.

    Attributes:
        x: (V, N, *event) float32 in clinical units, as the attacker would enter each record; `y`
            (V, N): the diagnosis beside it.
        priority: (R, N) float64, the larger, the earlier; -inf = never.
        model: (R,) int64, which row of the plan is harmed.
        version: (R,) int64, which version it gets.
        target: (R,) int64, the patient who is to be called healthy; -1 = nobody in particular.
    """

    x: Tensor
    y: Tensor
    priority: Tensor
    model: Tensor
    version: Tensor
    target: Tensor

    @classmethod
    def of_everyone(cls, x: Tensor, y: Tensor, priority: Tensor) -> "Poison":
        """The same version (N, *event), (N,) of a record against all models."""
        rows = torch.arange(len(priority))
        return cls(
            x[None], y[None], priority, rows, torch.zeros_like(rows), torch.full_like(rows, -1)
        )
