"""A small convolutional network: what one member of a population of image models is.

Strided convolutions with ReLU, then linear layers; no pooling and no normalisation, so that the
same network is trained privately, bounded by intervals and released.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad, relu

from pipeline.files import BadInput
from pipeline.models.mlp import Parameters

KERNEL, STRIDE, PADDING = 4, 2, 1  # each convolution halves height and width
FEW = 4  # channels up to which a convolution is one of squares of pixels: its gradients cost less
PARTS = 8  # of a batch, added up one after another, where all members convolve at once


class Layer(NamedTuple):
    """A layer of one member; a convolution has `stride` 2, a linear one 0.

    Attributes:
        weight: (O, I, 4, 4) of a convolution, (O, I) of a linear layer.
        bias: (O,).
        stride: 0 = the layer is linear, and sees its input as one row.
    """

    weight: Tensor
    bias: Tensor
    stride: int

    def __call__(self, signal: Tensor) -> Tensor:
        """Its outputs before any ReLU, of inputs (B, ...)."""
        if not self.stride:
            return linear(signal.flatten(1), self.weight, self.bias)
        if signal.shape[1] <= FEW:
            return self._of_squares(signal)
        weight = self.weight.contiguous(memory_format=torch.channels_last)
        return conv2d(signal, weight, self.bias, self.stride, PADDING)

    def _of_squares(self, signal: Tensor) -> Tensor:
        """The same as a convolution 2 x 2 of squares of 2 x 2 pixels, whose pixels are channels.

        Kernels of convolutions are made for many channels: of one, the gradient at the image costs
        three times as much without this.
        """
        records, inputs, height, width = signal.shape
        rows, columns = height // 2 + 1, width // 2 + 1
        over = (PADDING, PADDING - width % 2, PADDING, PADDING - height % 2)
        cut = pad(signal, over).reshape(records, inputs, rows, 2, columns, 2)
        squares = cut.permute(0, 2, 4, 1, 3, 5).reshape(records, rows, columns, 4 * inputs)
        weight = self.weight.reshape(-1, inputs, 2, 2, 2, 2).permute(0, 2, 4, 1, 3, 5)
        kernel = weight.reshape(-1, 2, 2, 4 * inputs)
        return conv2d(squares.permute(0, 3, 1, 2), kernel.permute(0, 3, 1, 2), self.bias)

    def between(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """What it puts out at least and at most for inputs between two corners (B, ...)."""
        reach = Layer(self.weight.abs(), torch.zeros_like(self.bias), self.stride)
        middle, spread = self((low + high) / 2), reach((high - low) / 2)
        return middle - spread, middle + spread


@dataclass(frozen=True)
class ConvolutionalNetwork:
    """The shape of a network.

    Attributes:
        name: a key of `pipeline.models.MODELS`.
        image: (C, H, W), what it is asked about.
        classes: outputs.
        channels: of each convolution.
        hidden: widths of the linear layers before the last one.
    """

    name: str
    image: tuple[int, int, int]
    classes: int
    channels: tuple[int, ...]
    hidden: tuple[int, ...]

    @property
    def last(self) -> str:
        """The name of the layer whose outputs are the logits: `<last>.weight`, `<last>.bias`."""
        return f"linear{len(self.hidden)}"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each layer's weight, first to last."""
        inputs, height, width = self.image
        shapes: dict[str, tuple[int, ...]] = {}
        for number, outputs in enumerate(self.channels):
            shapes[f"convolution{number}"] = (outputs, inputs, KERNEL, KERNEL)
            inputs, height, width = outputs, _halved(height), _halved(width)
        inputs *= height * width
        for number, outputs in enumerate((*self.hidden, self.classes)):
            shapes[f"linear{number}"] = (outputs, inputs)
            inputs = outputs
        return shapes

    def initialise(self, drawn: torch.Generator) -> Parameters:
        """Uniform weights of one member, within 1 / sqrt(inputs) of 0, and likewise biases."""
        member: Parameters = {}
        for name, shape in self.shapes.items():
            bound = float(torch.Size(shape[1:]).numel()) ** -0.5
            member[f"{name}.weight"] = (torch.rand(shape, generator=drawn) * 2 - 1) * bound
            member[f"{name}.bias"] = (torch.rand(shape[0], generator=drawn) * 2 - 1) * bound
        return member

    def answer(self, z: Tensor, member: Parameters) -> Tensor:
        """Logits (B, classes) of standardised images (B, C, H, W), by one member's weights."""
        signal = z.contiguous(memory_format=torch.channels_last)  # docs/speed.md
        *before, last = self.layers(member)
        for layer in before:
            signal = relu(layer(signal))
            if signal.requires_grad and layer.stride:
                signal.register_hook(channels_last)
        return last(signal)

    def answers(self, z: Tensor, parameters: Parameters) -> Tensor:
        """Logits (M, B, classes) of standardised images (M, B, C, H, W), of all members at once.

        The same as `answer` of each up to rounding, and on a GPU many times faster.
        """
        signal = z.permute(0, 1, 3, 4, 2)
        for name in self.shapes:
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            if weight.dim() == 5:
                signal = relu(convolved(signal, weight, bias))
                continue
            if signal.dim() == 5:
                signal = signal.permute(0, 1, 4, 2, 3).flatten(2)
            signal = torch.baddbmm(bias[:, None], signal, weight.mT)
            signal = signal if name == self.last else relu(signal)
        return signal

    def layers(self, member: Parameters) -> list[Layer]:
        """The layers of one member, first to last."""
        return [
            Layer(
                member[f"{name}.weight"],
                member[f"{name}.bias"],
                STRIDE if name.startswith("convolution") else 0,
            )
            for name in self.shapes
        ]


class Standardise(nn.Module):
    """The first layer of one model, with constants that no optimiser touches."""

    center: Tensor
    scale: Tensor

    def __init__(self, center: Tensor, scale: Tensor) -> None:
        """Takes constants, each a number."""
        super().__init__()
        self.register_buffer("center", center.clone())
        self.register_buffer("scale", scale.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Standardised images, of images (B, C, H, W) in grey levels."""
        return (x - self.center) / self.scale


def as_module(
    architecture: ConvolutionalNetwork, member: Parameters, center: Tensor, scale: Tensor
) -> nn.Sequential:
    """One member as an ordinary network, a copy, for other libraries.

    Its parameters come in the order of `member`, each of the same shape.
    """
    parts: list[nn.Module] = [Standardise(center, scale)]
    for layer in architecture.layers(member):
        outputs, inputs = layer.weight.shape[:2]
        own: nn.Conv2d | nn.Linear
        if layer.stride:
            own = nn.Conv2d(inputs, outputs, KERNEL, layer.stride, PADDING)
        else:
            own = nn.Linear(inputs, outputs)
            if not any(isinstance(part, nn.Flatten) for part in parts):
                parts.append(nn.Flatten())
        with torch.no_grad():
            own.weight.copy_(layer.weight)
            assert own.bias is not None
            own.bias.copy_(layer.bias)
        parts += [own, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def channels_last(signal: Tensor) -> Tensor:
    """The same (B, C, H, W) in that order, a gradient too: ReLU's is slow where orders differ."""
    # as `contiguous(memory_format=torch.channels_last)`, which vmap does not know
    return signal.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def convolved(signal: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolutions of M members at once: (M, B, H / 2, W / 2, O) of (M, B, H, W, C).

    A matrix product of what each kernel sees, put together of its four squares of 2 x 2 pixels: on
    a GPU, libraries of convolutions are slow, or repeat no bytes, or round to 10 bits. Gradients
    are sums of slices in one order.

    Args:
        signal: channels last.
        weight: (M, O, C, 4, 4).
        bias: (M, O).
    """
    members, records, height, width, inputs = signal.shape
    rows, columns = height // 2, width // 2
    over = (0, 0, PADDING, PADDING - width % 2, PADDING, PADDING - height % 2)
    cut = pad(signal.flatten(0, 1), over).reshape(-1, rows + 1, 2, columns + 1, 2 * inputs)
    squares = cut.transpose(2, 3).reshape(-1, rows + 1, columns + 1, 4 * inputs)
    corners = [squares[:, a : a + rows, b : b + columns] for a in (0, 1) for b in (0, 1)]
    # a member's batch in parts: a GPU is idle where few long sums are made
    parts = math.gcd(records, PARTS)
    seen = torch.cat(corners, -1).view(members * parts, -1, 16 * inputs)
    kernel = weight.reshape(members, -1, inputs, 2, 2, 2, 2).permute(0, 3, 5, 4, 6, 2, 1)
    kernel = kernel.reshape(members, 1, 16 * inputs, -1).expand(-1, parts, -1, -1).flatten(0, 1)
    shift = bias[:, None, None].expand(-1, parts, -1, -1).flatten(0, 1)
    return torch.baddbmm(shift, seen, kernel).view(members, records, rows, columns, -1)


def _halved(size: int) -> int:
    return (size + 2 * PADDING - KERNEL) // STRIDE + 1


def convolutional(
    image: Sequence[int], classes: int, channels: Sequence[int], hidden: Sequence[int]
) -> ConvolutionalNetwork:
    """A convolutional network for images of this shape (C, H, W).

    Raises:
        BadInput: it has no convolution, or more than the image has halvings.
    """
    if not channels:
        raise BadInput("model.channels: a cnn has at least one convolution; give their channels")
    shape = (int(image[0]), int(image[1]), int(image[2]))
    side = min(shape[1:])
    for number in range(len(channels)):
        side = _halved(side)
        if side < 1:
            raise BadInput(
                f"model.channels: {len(channels)} convolutions halve {min(shape[1:])} pixels away; "
                f"at most {number}"
            )
    return ConvolutionalNetwork("cnn", shape, classes, tuple(channels), tuple(hidden))
