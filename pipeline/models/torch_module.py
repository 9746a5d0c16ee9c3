"""A module of torch's that a team brings: attacked along its own gradients."""

from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.files import BadInput


@dataclass(frozen=True)
class Module:
    """A module of torch's with its own preprocessing: records (B, D) in, one logit or two out.

    Attributes:
        module: takes float32 or float64 records in clinical units, NaN = missing.
        cut: log-odds from which on it calls ill.
    """

    module: torch.nn.Module
    cut: float = 0.0
    gradients = True

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (..., 1, B, 2) of records (..., 1, B, D), differentiable in them."""
        out = self.module(x.reshape(-1, x.shape[-1]))
        odds = out[:, 1] - out[:, 0] if out.dim() == 2 and out.shape[1] == 2 else out.reshape(-1)
        if odds.shape != (x[..., 0].numel(),):
            shape = " x ".join(map(str, out.shape))
            raise BadInput(
                f"model: a module that answers {x[..., 0].numel()} records with {shape}; expected "
                "one logit a record, or two"
            )
        odds = odds.view(x.shape[:-1]) - self.cut
        return torch.stack([torch.zeros_like(odds), odds], -1)

    def decide_at(self, cut: Tensor) -> "Module":
        """The same module, calling ill from other log-odds (1,) on."""
        return replace(self, cut=float(cut))

    def select(self, members: Tensor) -> "Module":
        """Itself: it is one."""
        return self

    def double(self) -> "Module":
        """The same numbers in float64."""
        return replace(self, module=deepcopy(self.module).double())
