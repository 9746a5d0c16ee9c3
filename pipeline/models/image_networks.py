"""Image networks of one architecture as one population: a loop over its members.

For convolutions a loop over members, images in channels-last order, is faster on a processor than
grouped convolutions or vmap; so a population is an interface here, and no stacked network. On a GPU
convolutional networks answer all at once, and others side by side.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from pipeline.data.schema import Schema
from pipeline.models.cnn import ConvolutionalNetwork, Layer
from pipeline.models.mlp import Parameters, sources_of_weights
from pipeline.models.noisy_vote import NoisyVote
from pipeline.models.replay import lanes
from pipeline.models.self_ensemble import SelfEnsemble
from pipeline.models.stacked import Stacked
from pipeline.models.vit import VisionTransformer

KIND = "image_networks"  # in the description of a saved population
ANSWERED_AT_ONCE = 512  # images of one member whose hidden layers exist at once
ANSWERED_TOGETHER = 2**15  # images, on a GPU, of all members


class ImageArchitecture(Protocol):
    """The shape of a network of images, and how one member of it is drawn and asked."""

    @property
    def name(self) -> str:
        """A key of `pipeline.models.MODELS`."""

    @property
    def image(self) -> tuple[int, int, int]:
        """(C, H, W)."""

    @property
    def classes(self) -> int:
        """Outputs."""

    @property
    def last(self) -> str:
        """The layer whose outputs are the logits: `<last>.weight` (C, I) and `<last>.bias`."""

    def initialise(self, drawn: torch.Generator) -> Parameters:
        """Weights of one member."""

    def answer(self, z: Tensor, member: Parameters) -> Tensor:
        """Logits (B, C) of standardised images (B, C, H, W), differentiable in both."""


# Every architecture of images that can be saved, by its name.
ARCHITECTURES: dict[str, type] = {
    "cnn": ConvolutionalNetwork,
    "vit": VisionTransformer,
    "seda": SelfEnsemble,
    "noisy_vote": NoisyVote,
}


@dataclass(frozen=True)
class ImageNetworks(Stacked):
    """M networks of images that share an architecture: a `Population` with gradients.

    Attributes:
        architecture: the common shape.
        preprocessing: `center` and `scale`, each (M,), in grey levels: public constants, half and a
            quarter of the range, so that nothing of a cohort is in them.
        parameters: weights by name, each with a leading member axis.
        labels: a readable name of each member.
        facts: what the recipe says of itself, JSON-able.
        cut: (M,) float64, the log-odds from which on each member calls ill; already taken off the
            logit of class 1, as in `pipeline.models.networks.Networks`.
    """

    kind: ClassVar[dict[str, str]] = {"kind": KIND}
    architecture: ImageArchitecture

    def member(self, number: int) -> Parameters:
        """The weights of one member."""
        return {name: value[number] for name, value in self.parameters.items()}

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (..., M, B, K) of images (..., M, B, C, H, W) in grey levels."""
        if x.dim() > 5:
            return torch.stack([self(block) for block in x])
        return answers(self.architecture, x, self.preprocessing, self.parameters)

    def pullback(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Logits of images (M, B, C, H, W), and what turns gradients at them into those at x."""
        if together(self.architecture, x):
            with torch.enable_grad():
                every = x.detach().requires_grad_()
                logits = self(every)
            return logits.detach(), lambda grad: torch.autograd.grad(
                logits, every, grad, retain_graph=True
            )[0]
        parts = []
        for number in range(self.size):
            with torch.enable_grad():
                leaf = x[number].detach().requires_grad_()
                member = self.member(number)
                out = one_of(self.architecture, number, self.preprocessing, member)(leaf)
            parts.append((leaf, out))

        def pull(grad_logits: Tensor) -> Tensor:
            return torch.stack(
                [
                    torch.autograd.grad(out, leaf, grad, retain_graph=True)[0]
                    for (leaf, out), grad in zip(parts, grad_logits, strict=True)
                ]
            )

        return torch.stack([out.detach() for _, out in parts]), pull

    def decide_at(self, cut: Tensor) -> "ImageNetworks":
        """The same networks of two classes, calling ill from other log-odds (M,) on."""
        name = f"{self.architecture.last}.bias"
        before = self.parameters[name]
        moved = before.double().clone()
        moved[:, 1] -= cut - self.cut
        stored = moved.to(before.dtype)
        exact = self.cut - (stored.double() - before.double())[:, 1]
        return replace(self, parameters={**self.parameters, name: stored}, cut=exact)

    def recalibrate(self, slope: Tensor, intercept: Tensor) -> "ImageNetworks":
        """The same networks of two classes, with log-odds that are a line of what they were.

        Args:
            slope: (M,) above 0, what log-odds are multiplied by.
            intercept: (M,), what is added then.
        """
        parameters = dict(self.parameters)
        for part in ("weight", "bias"):
            name = f"{self.architecture.last}.{part}"
            before = parameters[name]
            times = slope.double().view(-1, *[1] * (before.dim() - 1))
            parameters[name] = (before.double() * times).to(before.dtype)
        return replace(self, parameters=parameters, cut=self.cut * slope + intercept)

    @classmethod
    def load(cls, folder: Path) -> "ImageNetworks":
        """Reads what `save` wrote; raises as `Stacked.read`."""
        return cls.read(folder, _shaped)


def _shaped(shape: dict[str, Any]) -> ImageArchitecture:
    values = {
        key: _shaped(value)
        if isinstance(value, dict)
        else tuple(value)
        if isinstance(value, list)
        else value
        for key, value in shape.items()
    }
    made: ImageArchitecture = ARCHITECTURES[shape["name"]](**values)
    return made


def answers(
    architecture: ImageArchitecture,
    x: Tensor,
    preprocessing: dict[str, Tensor],
    parameters: Parameters,
) -> Tensor:
    """Logits (M, B, K) of images (M, B, C, H, W), differentiable in images and weights."""
    if not len(x):  # a population of nobody, as two folds have no inner ones
        return x.new_zeros(*x.shape[:2], architecture.classes)
    if together(architecture, x):
        assert isinstance(architecture, ConvolutionalNetwork)
        center, scale = (preprocessing[name].view(-1, 1, 1, 1, 1) for name in ("center", "scale"))
        each = x.split(max(1, ANSWERED_TOGETHER // len(x)), 1)
        return torch.cat([architecture.answers((z - center) / scale, parameters) for z in each], 1)
    logits = []
    with lanes(x) as lane:
        for number, (images, member) in enumerate(zip(x, separated(parameters), strict=True)):
            with lane(number):
                one = one_of(architecture, number, preprocessing, member)
                parts = [one(part) for part in images.split(ANSWERED_AT_ONCE)]
                logits.append(torch.cat(parts) if len(parts) > 1 else parts[0])
    return torch.stack(logits)


def together(architecture: ImageArchitecture, x: Tensor) -> bool:
    """Whether all members answer about these images at once: faster, but not on the processor."""
    return isinstance(architecture, ConvolutionalNetwork) and not x.is_cpu


def separated(parameters: Parameters) -> list[Parameters]:
    """The weights of each member.

    All at once: the gradient of one picked by its number would be as large as all of them.
    """
    each = zip(*(value.unbind() for value in parameters.values()), strict=True)
    return [dict(zip(parameters, one, strict=True)) for one in each]


def one_of(
    architecture: ImageArchitecture,
    number: int,
    preprocessing: dict[str, Tensor],
    member: Parameters,
) -> Callable[[Tensor], Tensor]:
    """One member alone: logits (B, K) of images (B, C, H, W), differentiable as `answers` is."""
    # with an axis, so that constants in float64 make it float64
    center, scale = (preprocessing[name][number : number + 1] for name in ("center", "scale"))
    return lambda x: architecture.answer((x - center) / scale, member)


def initialise(architecture: ImageArchitecture, seeds: Tensor) -> Parameters:
    """Weights of M members, each drawn from its own seed (M,), stacked."""
    members = [architecture.initialise(drawn) for drawn in sources_of_weights(seeds)]
    return {name: torch.stack([member[name] for member in members]) for name in members[0]}


def range_constants(schema: Schema, members: int) -> dict[str, Tensor]:
    """The public `center` and `scale` (M,) of every member: half and a quarter of the range."""
    (pixel,) = schema.features
    center, scale = (pixel.lower + pixel.upper) / 2, (pixel.upper - pixel.lower) / 4
    return {
        "center": torch.full((members,), center, dtype=torch.float32),
        "scale": torch.full((members,), scale, dtype=torch.float32),
    }


def members_of(population: ImageNetworks) -> Iterator[list[Layer]]:
    """The layers of each member of convolutional networks, in the population's precision."""
    architecture = population.architecture
    if not isinstance(architecture, ConvolutionalNetwork):
        return
    for number in range(population.size):
        yield architecture.layers(population.member(number))
