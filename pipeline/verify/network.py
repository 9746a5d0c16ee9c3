"""One member as plain float64 layers, its preprocessing folded in; and how far rounding reaches."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pipeline.models.mlp import backward, forward, layers_of
from pipeline.models.networks import NONE_HOT, Networks
from pipeline.models.one_hot import HOT, extended

UNIT_ROUNDOFF = torch.finfo(torch.float64).eps / 2
# the bounds of a layer cost at most this many passes of the arithmetic that `rounding` bounds
PASSES = 4


@dataclass(frozen=True)
class Network:
    """ReLU layers that take clinical records without missing values.

    Attributes:
        layers: (weight (inputs, outputs), bias (outputs,)) of each layer, float64.
        impute: (E,) what stands in for a missing value.
        hot: (H, 2) int64, feature and level of the last H of E = D + H inputs: what categories
            become, where there are any.
        folded: (outputs,) the absolute terms that the first bias is the sum of; they may cancel.
        steps: for each hidden layer but the first, (n, m * k): the products of the two weights
            around the layer before it, so that its linear bounds over many boxes are one matrix
            product.
        spare: logits by which the model that was read so may answer otherwise.
    """

    layers: list[tuple[Tensor, Tensor]]
    impute: Tensor
    folded: Tensor
    steps: list[Tensor]
    hot: Tensor = NONE_HOT
    spare: float = 0.0

    @classmethod
    def of(cls, population: Networks, member: int) -> "Network":
        """The given member, in float64; exact, because float32 weights are float64 numbers."""
        one = population.select(torch.tensor([member])).double()
        impute, center, scale = (
            one.preprocessing[name][0] for name in ("impute", "center", "scale")
        )
        layers = [(weight[0], bias[0, 0]) for weight, bias in layers_of(one.parameters)]
        first, offset = layers[0]
        layers[0] = (first / scale[:, None], offset - (center / scale) @ first)
        folded = offset.abs() + (center / scale).abs() @ first.abs()
        pairs = pairwise(layers[:-1])
        steps = [
            torch.einsum("kn,nm->nmk", before, after).flatten(1)
            for (before, _), (after, _) in pairs
        ]
        hot = one.preprocessing[HOT][0].long() if HOT in one.preprocessing else NONE_HOT
        return cls(layers, impute, folded, steps, hot)

    @property
    def features(self) -> int:
        """D, the values of a record."""
        return len(self.impute) - len(self.hot)

    def inputs(self, x: Tensor) -> Tensor:
        """Records (..., D), or inputs already, as inputs (..., E), with a column for each level."""
        return x if x.shape[-1] == len(self.impute) else extended(x, self.hot)

    def filled(self, x: Tensor) -> Tensor:
        """Records (..., D) or inputs (..., E) as float64 inputs, imputed."""
        x = self.inputs(x)
        return torch.where(x.isnan(), self.impute, x.double())

    def margin(self, x: Tensor, own: Tensor, other: Tensor) -> Tensor:
        """By how much class `own` (B,) leads `other` (B,) at records (B, D), none missing."""
        logits = forward(
            x[None], [(weight[None], bias[None, None]) for weight, bias in self.layers]
        )[-1][0]
        return logits.gather(1, own[:, None])[:, 0] - logits.gather(1, other[:, None])[:, 0]

    def linear_at(self, x: Tensor, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """The linear function that `margin` is around each record: slope (B, D), offset (B,)."""
        layers = [(weight[None], bias[None, None]) for weight, bias in self.layers]
        signals = forward(x[None], layers)
        lead = (
            torch.zeros_like(signals[-1][0])
            .scatter_(1, own[:, None], 1.0)
            .scatter_(1, other[:, None], -1.0)
        )
        slope = (backward(signals, layers, lead[None])[0] @ self.layers[0][0].T)[0]
        logits = signals[-1][0]
        margin = (logits * lead).sum(1)
        return slope, margin - (slope * x).sum(1)

    def rounding(self, largest: Tensor) -> Tensor:
        """How far float64 arithmetic may lie from exact arithmetic, in logits, and what is spare.

        The textbook bound of a dot product of n terms, n u / (1 - n u) times the sum of the
        absolute terms (Higham 2002, chapter 3), carried through the layers with absolute weights;
        ReLU never enlarges an error.

        Args:
            largest: (P, D) the largest absolute value of each feature.

        Returns:
            (P,).
        """
        size, error = largest, torch.zeros_like(largest)
        added = [self.folded, *(bias.abs() for _, bias in self.layers[1:])]
        for (weight, _), bias in zip(self.layers, added, strict=True):
            terms = (len(weight) + 2) * UNIT_ROUNDOFF
            size = size @ weight.abs() + bias
            error = error @ weight.abs() + terms / (1 - terms) * size
        # 2: a margin is the difference of two logits. The bounds of each layer are computed anew.
        return PASSES * 2 * len(self.layers) * error.amax(1) + self.spare
