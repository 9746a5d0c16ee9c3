"""A self-ensemble: a vision transformer whose early blocks have a classifier each, and a vote.

The architecture of SEDA (Imam et al. 2023, arXiv:2308.07874), which puts convolutions in the place
of the linear layers of SEViT (Almalik et al. 2022, arXiv:2208.02851), as small as images of 8 to 28
pixels need it. Its classifiers see what the transformer computes, class token and positions
included, and its tokens lie as their patches do in the image.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, log_softmax, relu, softmax

from pipeline.files import BadInput
from pipeline.models.mlp import Parameters
from pipeline.models.vit import VisionTransformer

NAME, KERNEL = "seda", 3
THRESHOLD = "detector.threshold"  # from which inconsistency on an image is reported
# What is no weight that is learned: the cut and the scale of what is said, and the detector's.
SET = ("decision.weight", "decision.bias", THRESHOLD)


@dataclass(frozen=True)
class SelfEnsemble:
    """The shape of a network: the transformer votes, and so does a classifier of each early block.

    Attributes:
        name: a key of `image_networks.ARCHITECTURES`.
        image: (C, H, W), what it is asked about.
        classes: outputs.
        patch: of the transformer, as the following three.
        width: likewise.
        heads: likewise.
        blocks: likewise.
        read: so many blocks, from the first on, have a classifier; even, so that no vote is a tie.
        channels: of each classifier's convolutions.
        hidden: widths of its linear layers before the last one.
    """

    name: str
    image: tuple[int, int, int]
    classes: int
    patch: int
    width: int
    heads: int
    blocks: int
    read: int
    channels: tuple[int, ...]
    hidden: tuple[int, ...]

    @classmethod
    def on(
        cls, trunk: VisionTransformer, read: int, channels: list[int], hidden: list[int]
    ) -> "SelfEnsemble":
        """A self-ensemble of this transformer.

        Raises:
            BadInput: there are fewer blocks, or a vote could be a tie.
        """
        if read % 2 or not 0 < read <= trunk.blocks:
            even = list(range(2, trunk.blocks + 1, 2))
            raise BadInput(
                f"seda.read: {read} classifiers and the transformer must be an odd number of "
                f"votes, of its {trunk.blocks} blocks; take one of {', '.join(map(str, even))}"
            )
        shape = {**asdict(trunk), "name": NAME}
        return cls(**shape, read=read, channels=tuple(channels), hidden=tuple(hidden))

    @property
    def trunk(self) -> VisionTransformer:
        """The transformer alone; its weights have the same names here."""
        shape = (self.image, self.classes, self.patch, self.width, self.heads, self.blocks)
        return VisionTransformer("vit", *shape)

    @property
    def last(self) -> str:
        """The name of the layer that a cut and a recalibration change."""
        return "decision"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each layer's weight of one classifier, first to last."""
        inputs, (rows, columns) = self.width, self.trunk.grid
        shapes: dict[str, tuple[int, ...]] = {}
        for number, outputs in enumerate(self.channels):
            shapes[f"convolution{number}"] = (outputs, inputs, KERNEL, KERNEL)
            inputs = outputs
        inputs *= rows * columns
        for number, outputs in enumerate((*self.hidden, self.classes)):
            shapes[f"linear{number}"] = (outputs, inputs)
            inputs = outputs
        return shapes

    def initialise(self, drawn: torch.Generator) -> Parameters:
        """Weights of one member: of the transformer, then of each classifier; nothing is reported.

        Uniform, within 1 / sqrt(inputs) of 0, and likewise biases.
        """
        member = self.trunk.initialise(drawn)
        for voter in range(self.read):
            for name, shape in self.shapes.items():
                bound = float(torch.Size(shape[1:]).numel()) ** -0.5
                for part, size in (("weight", shape), ("bias", shape[:1])):
                    value = (torch.rand(size, generator=drawn) * 2 - 1) * bound
                    member[f"voter{voter}.{name}.{part}"] = value
        member["decision.weight"] = torch.eye(self.classes)
        member["decision.bias"] = torch.zeros(self.classes)
        member[THRESHOLD] = torch.tensor(torch.inf)
        return member

    def answer(self, z: Tensor, member: Parameters) -> Tensor:
        """Logits (B, classes): the mean of all voters' log-probabilities, then cut and scale."""
        mean = self.said(z, member).mean(0)
        return linear(mean, member["decision.weight"], member["decision.bias"])

    def said(self, z: Tensor, member: Parameters) -> Tensor:
        """(V, B, classes): the log-probabilities of the transformer, then of each classifier."""
        trunk = self.trunk
        tokens = trunk.tokens(z, member, self.blocks)
        votes = [trunk.said(tokens[-1], member)]
        votes += [self.read_out(tokens[n], n, member) for n in range(self.read)]
        return log_softmax(torch.stack(votes), -1)

    def read_out(self, tokens: Tensor, voter: int, member: Parameters) -> Tensor:
        """Logits (B, classes) of one classifier, from what its block puts out (B, 1 + T, width)."""
        signal = as_picture(tokens[:, 1:], self.trunk.grid)
        for name in self.shapes:
            weight, bias = (member[f"voter{voter}.{name}.{part}"] for part in ("weight", "bias"))
            if name.startswith("convolution"):
                signal = relu(conv2d(signal, weight, bias, padding=KERNEL // 2))
            else:
                signal = linear(signal.flatten(1), weight, bias)
                signal = relu(signal) if name != f"linear{len(self.hidden)}" else signal
        return signal


def as_picture(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens of patches (B, T, width), row by row, as an image (B, width, rows, columns)."""
    picture: Tensor = tokens.transpose(1, 2).unflatten(2, grid)
    return picture


@dataclass(frozen=True)
class SmoothVotes(SelfEnsemble):
    """The same, answering with how many votes each class has: what an attacker can climb.

    The step of each vote is softened, so that it has a slope wherever the voter is not certain.
    """

    def answer(self, z: Tensor, member: Parameters) -> Tensor:
        """Votes (B, classes), softened; they add up to the number of voters."""
        return softmax(self.said(z, member), -1).sum(0)


@dataclass(frozen=True)
class DecidingVote(SelfEnsemble):
    """The same, answering as the voter in the middle: a vote of two classes turns as it does."""

    def answer(self, z: Tensor, member: Parameters) -> Tensor:
        """Logits (B, 2): the median of all voters' log-odds, and 0."""
        said = self.said(z, member)
        middle = (said[..., 1] - said[..., 0]).median(0).values
        return torch.stack([torch.zeros_like(middle), middle], -1)
