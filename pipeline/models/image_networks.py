"""Image networks of one architecture as one population: a loop over its members.

For convolutions a loop over members, images in channels-last order, is faster on a processor than
grouped convolutions or vmap; so a population is an interface here, and no stacked network.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.data.plan import RELEASE
from pipeline.data.schema import Schema
from pipeline.files import BadInput, read_json, read_tensors, sha256, write_json, write_tensors
from pipeline.models.cnn import ConvolutionalNetwork, Layer
from pipeline.models.mlp import Parameters, sources_of_weights
from pipeline.models.networks import DESCRIPTION, WEIGHTS
from pipeline.models.self_ensemble import SelfEnsemble
from pipeline.models.vit import VisionTransformer

KIND = "image_networks"  # in the description of a saved population
ANSWERED_AT_ONCE = 512  # images of one member whose hidden layers exist at once


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
}


@dataclass(frozen=True)
class ImageNetworks:
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

    architecture: ImageArchitecture
    preprocessing: dict[str, Tensor]
    parameters: Parameters
    labels: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    cut: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))

    def __post_init__(self) -> None:
        """Without a cut they decide at log-odds of 0."""
        if not len(self.cut):
            object.__setattr__(self, "cut", torch.zeros(self.size, dtype=torch.float64))

    @property
    def gradients(self) -> bool:
        """They can be differentiated."""
        return True

    @property
    def size(self) -> int:
        """The number of members M."""
        return len(self.labels)

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
        parts = []
        for number in range(self.size):
            with torch.enable_grad():
                leaf = x[number].detach().requires_grad_()
                out = self._one(number, leaf)
            parts.append((leaf, out))

        def pull(grad_logits: Tensor) -> Tensor:
            return torch.stack(
                [
                    torch.autograd.grad(out, leaf, grad, retain_graph=True)[0]
                    for (leaf, out), grad in zip(parts, grad_logits, strict=True)
                ]
            )

        return torch.stack([out.detach() for _, out in parts]), pull

    def _one(self, number: int, x: Tensor) -> Tensor:
        center, scale = (self.preprocessing[name][[number]] for name in ("center", "scale"))
        return self.architecture.answer((x - center) / scale, self.member(number))

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

    def select(self, members: Tensor) -> "ImageNetworks":
        """The given members (indices or a mask) as a population of their own."""
        rows = torch.arange(self.size)[members]
        return replace(
            self,
            preprocessing={name: value[rows] for name, value in self.preprocessing.items()},
            parameters={name: value[rows] for name, value in self.parameters.items()},
            labels=tuple(self.labels[row] for row in rows.tolist()),
            cut=self.cut[rows],
        )

    @classmethod
    def join(cls, parts: Sequence["ImageNetworks"]) -> "ImageNetworks":
        """The members of several populations, one after another.

        Args:
            parts: at least one, all of one architecture and of the same facts: those of the first
                are kept.
        """

        def together(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {name: torch.cat([one[name] for one in tensors]) for name in tensors[0]}

        return replace(
            parts[0],
            preprocessing=together([part.preprocessing for part in parts]),
            parameters=together([part.parameters for part in parts]),
            labels=tuple(label for part in parts for label in part.labels),
            cut=torch.cat([part.cut for part in parts]),
        )

    def double(self) -> "ImageNetworks":
        """The same numbers in float64, for answers whose rounding does not matter."""
        constants, weights = (
            {name: value.double() for name, value in part.items()}
            for part in (self.preprocessing, self.parameters)
        )
        return replace(self, preprocessing=constants, parameters=weights)

    def release(self) -> "ImageNetworks":
        """The model that is deployed: trained on everyone, or the first under an official split."""
        place = self.labels.index(RELEASE) if RELEASE in self.labels else 0
        return self.select(torch.tensor([place]))

    @cached_property
    def digest(self) -> str:
        """The sha256 of the weights file that `save` writes, and that its description carries."""
        from safetensors.torch import save

        return hashlib.sha256(save(self._tensors())).hexdigest()

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"preprocessing.{name}": value for name, value in self.preprocessing.items()}
        tensors |= {f"parameters.{name}": value for name, value in self.parameters.items()}
        tensors["decision.cut"] = self.cut
        return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}

    def save(self, folder: Path) -> None:
        """Writes the weights (safetensors) and a JSON description that carries their digest."""
        write_tensors(folder / WEIGHTS, self._tensors())
        description = {
            "kind": KIND,
            "architecture": asdict(self.architecture),  # type: ignore[call-overload]
            "labels": list(self.labels),
            "facts": self.facts,
            "sha256": sha256(folder / WEIGHTS),
        }
        write_json(folder / DESCRIPTION, description)

    @classmethod
    def load(cls, folder: Path) -> "ImageNetworks":
        """Reads what `save` wrote, bit for bit; nothing is unpickled.

        Raises:
            BadInput: a file is missing, truncated, or not the one that its description was written
                for.
        """
        described, weights = read_json(folder / DESCRIPTION), folder / WEIGHTS
        try:
            shape, digest = described["architecture"], described["sha256"]
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in shape.items()}
            architecture = ARCHITECTURES[shape["name"]](**values)
            labels, facts = tuple(described["labels"]), described["facts"]
        except (KeyError, TypeError) as error:
            raise BadInput(
                f"{folder / DESCRIPTION}: does not describe a population ({error}); train again"
            ) from error
        tensors, _ = read_tensors(weights, advice="train again")
        if sha256(weights) != digest:
            raise BadInput(
                f"{weights}: damaged or exchanged: its sha256 is not that of {DESCRIPTION}; "
                f"train again"
            )
        preprocessing, parameters = (
            {
                name.removeprefix(part): tensor
                for name, tensor in tensors.items()
                if name.startswith(part)
            }
            for part in ("preprocessing.", "parameters.")
        )
        return cls(architecture, preprocessing, parameters, labels, facts, tensors["decision.cut"])


def answers(
    architecture: ImageArchitecture,
    x: Tensor,
    preprocessing: dict[str, Tensor],
    parameters: Parameters,
) -> Tensor:
    """Logits (M, B, K) of images (M, B, C, H, W), differentiable in images and weights."""
    if not len(x):  # a population of nobody, as two folds have no inner ones
        return x.new_zeros(*x.shape[:2], architecture.classes)
    logits = []
    for number, images in enumerate(x):
        # with an axis, so that constants in float64 make it float64
        center, scale = (preprocessing[name][[number]] for name in ("center", "scale"))
        member = {name: value[number] for name, value in parameters.items()}
        parts = [
            architecture.answer((part - center) / scale, member)
            for part in images.split(ANSWERED_AT_ONCE)
        ]
        logits.append(torch.cat(parts) if len(parts) > 1 else parts[0])
    return torch.stack(logits)


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
