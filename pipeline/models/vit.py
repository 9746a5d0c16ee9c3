"""A small vision transformer: what one member of a population of image models is.

Dosovitskiy et al. 2021, arXiv:2010.11929, as small as images of 8 to 28 pixels need it: layers are
normalised within each image, so that no image looks at another one and it can be trained privately.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from pipeline.files import BadInput
from pipeline.models.mlp import Parameters

WIDER = 2  # the hidden layer of a block's two linear layers, in widths
SPREAD = 0.02  # standard deviation of class token and positions before training


@dataclass(frozen=True)
class VisionTransformer:
    """The shape of a network.

    Attributes:
        name: a key of `pipeline.models.MODELS`.
        image: (C, H, W), what it is asked about.
        classes: outputs.
        patch: pixels, the side of the squares that an image is cut into.
        width: of a token.
        heads: of each attention, which share the width.
        blocks: attention and two linear layers, each with a way around it.
    """

    name: str
    image: tuple[int, int, int]
    classes: int
    patch: int
    width: int
    heads: int
    blocks: int

    @property
    def last(self) -> str:
        """The name of the layer whose outputs are the logits: `<last>.weight`, `<last>.bias`."""
        return "head"

    @property
    def grid(self) -> tuple[int, int]:
        """How many patches stand above each other, and side by side."""
        return self.image[1] // self.patch, self.image[2] // self.patch

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """The shape of each linear layer's weight, first to last."""
        width = self.width
        shapes = {"patches": (width, self.image[0] * self.patch**2)}
        for number in range(self.blocks):
            shapes |= {
                f"block{number}.attention": (3 * width, width),  # queries, keys, values
                f"block{number}.together": (width, width),
                f"block{number}.wide": (WIDER * width, width),
                f"block{number}.narrow": (width, WIDER * width),
            }
        return shapes | {"head": (self.classes, width)}

    @property
    def normalised(self) -> list[str]:
        """The names of the normalisations, first to last."""
        each = [f"block{n}.norm{place}" for n in range(self.blocks) for place in (0, 1)]
        return [*each, "norm"]

    def initialise(self, drawn: torch.Generator) -> Parameters:
        """Weights of one member: uniform, within 1 / sqrt(inputs) of 0, and likewise biases."""
        member: Parameters = {}
        for name, shape in self.shapes.items():
            bound = shape[1] ** -0.5
            member[f"{name}.weight"] = (torch.rand(shape, generator=drawn) * 2 - 1) * bound
            member[f"{name}.bias"] = (torch.rand(shape[0], generator=drawn) * 2 - 1) * bound
        for name in self.normalised:
            member[f"{name}.weight"] = torch.ones(self.width)
            member[f"{name}.bias"] = torch.zeros(self.width)
        rows, columns = self.grid
        places = 1 + rows * columns
        member["token"] = SPREAD * torch.randn(self.width, generator=drawn)
        member["positions"] = SPREAD * torch.randn(places, self.width, generator=drawn)
        return member

    def answer(self, z: Tensor, member: Parameters) -> Tensor:
        """Logits (B, classes) of standardised images (B, C, H, W), by one member's weights."""
        return self.said(self.tokens(z, member, self.blocks)[-1], member)

    def said(self, tokens: Tensor, member: Parameters) -> Tensor:
        """Logits (B, classes) of what the last block puts out, (B, 1 + T, width)."""
        return _linear(_normal(tokens[:, 0], "norm", member), "head", member)

    def tokens(self, z: Tensor, member: Parameters, blocks: int) -> list[Tensor]:
        """What each of the first blocks puts out, (B, 1 + T, width): class token first."""
        patches = _linear(cut_up(z, self.patch), "patches", member)
        token = member["token"].expand(len(z), 1, -1)
        signal = torch.cat([token, patches], 1) + member["positions"]
        found = []
        for number in range(blocks):
            block = f"block{number}"
            seen = _normal(signal, f"{block}.norm0", member)
            signal = signal + self._attention(seen, block, member)
            seen = _normal(signal, f"{block}.norm1", member)
            wide = gelu(_linear(seen, f"{block}.wide", member))
            signal = signal + _linear(wide, f"{block}.narrow", member)
            found.append(signal)
        return found

    def _attention(self, signal: Tensor, block: str, member: Parameters) -> Tensor:
        """Every token's mean of all tokens' values, weighed by how well its query fits their keys.

        Written out, because with so few tokens it is faster so than torch's own function.
        """
        count, places, width = signal.shape
        every = _linear(signal, f"{block}.attention", member)
        every = every.view(count, places, 3, self.heads, width // self.heads)
        query, key, value = every.permute(2, 0, 3, 1, 4)
        fits = (query @ key.transpose(-2, -1)) * (width // self.heads) ** -0.5
        mean = (torch.softmax(fits, -1) @ value).transpose(1, 2).reshape(count, places, width)
        return _linear(mean, f"{block}.together", member)


def cut_up(images: Tensor, side: int) -> Tensor:
    """Images (B, C, H, W) as rows of the pixels of their patches, (B, T, C * side * side).

    Patches come row by row, each channel after channel, as a convolution's weights would have them.
    """
    count, channels, height, width = images.shape
    each = images.view(count, channels, height // side, side, width // side, side)
    return each.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def _linear(signal: Tensor, name: str, member: Parameters) -> Tensor:
    return linear(signal, member[f"{name}.weight"], member[f"{name}.bias"])


def _normal(signal: Tensor, name: str, member: Parameters) -> Tensor:
    weight, bias = member[f"{name}.weight"], member[f"{name}.bias"]
    return layer_norm(signal, weight.shape, weight, bias)


def transformer(
    image: Sequence[int], classes: int, patch: int, width: int, heads: int, blocks: int
) -> VisionTransformer:
    """A vision transformer for images of this shape (C, H, W).

    Raises:
        BadInput: a number is lacking, patches do not fill the image, or heads do not share the
            width.
    """
    numbers = {"patch": patch, "width": width, "heads": heads, "blocks": blocks}
    if lacking := [name for name, number in numbers.items() if number < 1]:
        raise BadInput(f"model.{lacking[0]}: a vit needs it, a whole number from 1 up")
    if any(side % patch for side in image[1:]):
        fit = [
            size for size in range(1, min(image[1:]) + 1) if not any(s % size for s in image[1:])
        ]
        raise BadInput(
            f"model.patch: {patch} pixels do not fill {image[1]} x {image[2]}; "
            f"take one of {', '.join(map(str, fit))}"
        )
    if width % heads:
        raise BadInput(f"model.heads: {heads} heads cannot share a width of {width} evenly")
    shape = (int(image[0]), int(image[1]), int(image[2]))
    return VisionTransformer("vit", shape, classes, patch, width, heads, blocks)
