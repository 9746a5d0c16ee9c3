"""A network of images that is asked about noisy copies of each: what randomised smoothing deploys.

Its noise is drawn once and kept with its weights, so the same image gets the same answer, and an
attacker who holds the model holds the noise.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, log_softmax

from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.models.mlp import Parameters
from pipeline.models.vit import VisionTransformer

NAME, NOISE = "noisy_vote", "noise"
FACTS = "smoothing"  # what such a population says of how votes under noise are to be counted
Base = ConvolutionalNetwork | VisionTransformer


@dataclass(frozen=True)
class NoisyVote:
    """The shape of a network.

    Attributes:
        name: a key of `image_networks.ARCHITECTURES`.
        base: what is asked about each copy.
        copies: of each image.
    """

    name: str
    base: Base
    copies: int

    @property
    def image(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.base.image

    @property
    def classes(self) -> int:
        """Outputs."""
        return self.base.classes

    @property
    def last(self) -> str:
        """The name of the layer that a cut and a recalibration change."""
        return "decision"

    def initialise(self, drawn: torch.Generator) -> Parameters:
        """Weights of one member, and standard normal noise."""
        noise = torch.randn(self.copies, *self.image, generator=drawn)
        return {**self.base.initialise(drawn), **decision(self.classes), NOISE: noise}

    def answer(self, z: Tensor, member: Parameters) -> Tensor:
        """Logits (B, classes): log of the mean probability of all copies, then cut and scale."""
        copies = z[:, None] + member[NOISE]
        said = log_softmax(self.base.answer(copies.flatten(0, 1), member), -1)
        mean = said.unflatten(0, (len(z), self.copies)).logsumexp(1) - math.log(self.copies)
        return linear(mean, member["decision.weight"], member["decision.bias"])


def decision(classes: int) -> Parameters:
    """A last layer that changes nothing."""
    return {"decision.weight": torch.eye(classes), "decision.bias": torch.zeros(classes)}
