"""What one record does to a logistic regression, to first order."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.attacks.poisoning.poison import Attacker
from pipeline.models.networks import Networks

RIDGE = 1.0  # of the stand-in, as it was trained


@dataclass(frozen=True)
class Influence:
    """First-order influence on M logistic regressions.

    Inputs z (M, N, D + 1), weights beta and lever H^-1 g, both (M, D + 1).
    """

    surrogate: Networks
    label: Tensor
    sign: Tensor
    inputs: Tensor
    beta: Tensor
    lever: Tensor

    @classmethod
    def of(cls, attacker: Attacker, whom: Tensor) -> "Influence":
        """On the mean probability of the right diagnosis of those whom `whom` (N,) counts."""
        assert attacker.surrogate is not None
        surrogate, y = attacker.surrogate.double(), attacker.dataset.y.double()
        rows = attacker.dataset.x.flatten(1).double()
        inputs = _with_one(surrogate.standardise(rows.expand(surrogate.size, -1, -1)))
        both = torch.cat([surrogate.parameters["weight0"], surrogate.parameters["bias0"]], 1)
        beta, sign = both[..., 1] - both[..., 0], 2 * y - 1
        chance = torch.sigmoid((inputs @ beta[..., None])[..., 0])
        weight = attacker.plan.train * chance * (1 - chance)
        ridge = RIDGE * torch.eye(inputs.shape[-1], dtype=torch.float64)
        hessian = inputs.mT @ (inputs * weight[..., None]) + ridge
        gradient = ((weight * sign * whom)[:, None] @ inputs)[:, 0]
        return cls(surrogate, y, sign, inputs, beta, torch.linalg.solve(hessian, gradient))

    def of_flips(self) -> Tensor:
        """(M, N): what turning each diagnosis takes away, s z . H^-1 g."""
        return self.sign * (self.inputs @ self.lever[..., None])[..., 0]

    def harm(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, N): (p - y) z . H^-1 g of records x (M, N, D).

        Beside it, its slope (M, N, D), in a direction, not in a length.
        """
        inputs = _with_one(self.surrogate.standardise(x.double()))
        chance = torch.sigmoid((inputs @ self.beta[..., None])[..., 0])
        along, wrong = (inputs @ self.lever[..., None])[..., 0], chance - self.label
        slope = (
            wrong[..., None] * self.lever[:, None]
            + (chance * (1 - chance) * along)[..., None] * self.beta[:, None]
        )
        return wrong * along, slope[..., : x.shape[-1]]


def _with_one(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)
