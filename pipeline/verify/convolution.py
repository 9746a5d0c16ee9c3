"""Linear lower bounds of a convolutional network's margin over boxes of images.

Intervals (Gowal et al. 2018, arXiv:1810.12715), and lines carried backwards through the layers
(Zhang et al. 2018, arXiv:1811.00866, CROWN), for convolutions by their transposes. Inside the
network the two lines around a ReLU share a slope (Weng et al. 2018, arXiv:1804.09699), so that one
pass bounds a neuron from both sides; the margin itself is bounded with the tighter lines of CROWN.
That is what `pipeline.verify.bounds` does with records.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d, relu

from pipeline.models.answers import margin
from pipeline.models.cnn import KERNEL, PADDING, ConvolutionalNetwork, Layer
from pipeline.models.image_networks import ImageNetworks
from pipeline.verify.bounds import Relaxation
from pipeline.verify.network import UNIT_ROUNDOFF

TOGETHER = 8  # boxes bounded at once: what is between two layers stays near the processor


@dataclass(frozen=True)
class Region:
    """Boxes of standardised images, in float64.

    Attributes:
        centre: (B, C, H, W), of each box.
        radius: (B, C, H, W), half its width, with what rounding took from it.
        sizes: of each layer, (B, *shape): how large what it puts out can be, with absolute weights.
        errors: of each layer, (B, *shape): what float64 may take from bounds of what it puts out;
            see `Convolutions.errors`.
    """

    centre: Tensor
    radius: Tensor
    sizes: list[Tensor]
    errors: list[Tensor]

    def where(self, chosen: Tensor) -> "Region":
        """Some of the boxes."""
        lists = ([one[chosen] for one in every] for every in (self.sizes, self.errors))
        return Region(self.centre[chosen], self.radius[chosen], *lists)

    @classmethod
    def join(cls, parts: Sequence["Region"]) -> "Region":
        """The boxes of several regions, one after another."""
        return cls(
            torch.cat([one.centre for one in parts]),
            torch.cat([one.radius for one in parts]),
            *(
                [torch.cat(layer) for layer in zip(*every, strict=True)]
                for every in ([one.sizes for one in parts], [one.errors for one in parts])
            ),
        )

    @property
    def rounding(self) -> Tensor:
        """(B,) what float64 may take from a bound of the margin."""
        return self.errors[-1].sum(1)


@dataclass(frozen=True)
class Convolutions:
    """One convolutional network in float64: exact, because float32 weights are float64 numbers.

    Attributes:
        layers: first to last.
        shapes: of what each layer receives, and of the logits.
        center: subtracted from grey levels.
        scale: what they are divided by then.
        steps: of the second and later convolutions, the products of its weights with those before
            it, (I * 16, O * C * 100): one matrix product carries the lines of all its neurons two
            layers back.
    """

    layers: list[Layer]
    shapes: list[torch.Size]
    center: Tensor
    scale: Tensor
    steps: list[Tensor]

    @classmethod
    def of(cls, population: ImageNetworks, member: int) -> "Convolutions":
        """The given member."""
        architecture = population.architecture
        assert isinstance(architecture, ConvolutionalNetwork)
        weights = {name: value.double() for name, value in population.member(member).items()}
        layers = architecture.layers(weights)
        center, scale = (
            population.preprocessing[name][member].double() for name in ("center", "scale")
        )
        signal = torch.zeros(1, *architecture.image, dtype=torch.float64)
        shapes = [signal.shape[1:]]
        for layer in layers:
            signal = layer(signal)
            shapes.append(signal.shape[1:])
        convolutions = [layer for layer in layers if layer.stride]
        steps = [composed(before, after) for before, after in pairwise(convolutions)]
        return cls(layers, shapes, center, scale, steps)

    @cached_property
    def signed_steps(self) -> list[tuple[Tensor, Tensor]]:
        """`steps` of the positive and of the negative weights of each such convolution alone."""
        convolutions = [layer for layer in self.layers if layer.stride]
        return [
            (
                composed(before, after._replace(weight=after.weight.clamp_min(0))),
                composed(before, after._replace(weight=after.weight.clamp_max(0))),
            )
            for before, after in pairwise(convolutions)
        ]

    def to(self, kind: torch.dtype) -> "Convolutions":
        """The same weights in another arithmetic."""
        layers = [Layer(one.weight.to(kind), one.bias.to(kind), one.stride) for one in self.layers]
        return replace(self, layers=layers)

    @torch.no_grad()
    def margin(self, x: Tensor, y: Tensor) -> Tensor:
        """By how much class y (B,) leads at images (B, C, H, W) in grey levels."""
        signal = (x.double() - self.center) / self.scale
        for layer in self.layers[:-1]:
            signal = relu(layer(signal))
        return margin(self.layers[-1](signal), y)

    def region(self, low: Tensor, high: Tensor) -> Region:
        """Boxes (B, C, H, W) float64 of grey levels."""
        bottom, top = ((end - self.center) / self.scale for end in (low, high))
        largest = (torch.maximum(low.abs(), high.abs()) + self.center.abs()) / self.scale
        radius = (top - bottom) / 2 + 8 * UNIT_ROUNDOFF * largest
        return Region((bottom + top) / 2, radius, *self.errors(largest))

    def errors(self, largest: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What float64 may take from the bounds of each layer's neurons, and of what size they are.

        A bound is a sum of products of one weight of each layer, of slopes within [0, 1], and of a
        value of the box, a bias or an intercept, which is at most as large as what its neuron can
        receive. With absolute weights these products add up to `size` for values and biases
        together, and to at most as much again for the intercepts of each layer. Each product is
        rounded at most once for every term of every sum that it takes part in, N times in all, so
        the sum is off by at most N u / (1 - N u) of that (Higham 2002, chapter 3). Twice that is
        taken off, which leaves room for the rounding of the sizes themselves.

        Args:
            largest: (B, C, H, W) the largest absolute value of each standardised pixel.

        Returns:
            of each layer, (B, *shape) each: the size, and the error.
        """
        sizes, errors, size = [], [], largest
        terms = size.shape[1:].numel()
        for depth, (layer, shape) in enumerate(zip(self.layers, self.shapes[1:], strict=True)):
            size = Layer(layer.weight.abs(), layer.bias.abs(), layer.stride)(size)
            outputs, inputs = layer.weight.shape[0], layer.weight[0].numel()
            terms += inputs + outputs * (KERNEL**2 if layer.stride else 1) + shape.numel() + 10
            relative = terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)
            sizes.append(size)
            errors.append(2 * (depth + 2) * relative * size)
        return sizes, errors

    def back(self, depth: int, carried: Tensor) -> Tensor:
        """Coefficients (B, n, *out) of what a layer puts out as those of what it receives."""
        layer, shape = self.layers[depth], self.shapes[depth]
        if not layer.stride:
            flat: Tensor = (carried @ layer.weight).unflatten(-1, shape)
            return flat
        several = len(layer.weight[0]) > 1  # of one channel the default layout is the faster one
        layout = torch.channels_last if several else torch.contiguous_format
        rows = carried.flatten(0, 1).contiguous(memory_format=layout)
        height, width = rows.shape[2:]
        least = ((height - 1) * layer.stride, (width - 1) * layer.stride)
        left = [
            size - one - KERNEL + 2 * PADDING for size, one in zip(shape[1:], least, strict=True)
        ]
        out = conv_transpose2d(rows, layer.weight, None, layer.stride, PADDING, left)
        whole: Tensor = out.unflatten(0, carried.shape[:2])
        return whole


def dot(slope: Tensor, value: Tensor) -> Tensor:
    """Coefficients (B, n, ...) times values (B, ...), summed: (B, n)."""
    return torch.bmm(slope.flatten(2), value.flatten(1)[..., None])[..., 0]


def biased(slope: Tensor, bias: Tensor) -> Tensor:
    """Coefficients (B, n, O, ...) times biases (O,), summed: (B, n)."""
    return (slope.sum((-1, -2)) if slope.dim() > 3 else slope) @ bias


def composed(before: Layer, after: Layer) -> Tensor:
    """The products of the weights of two convolutions, as `Convolutions.steps` describes them."""
    channels = after.weight.shape[1]
    single = torch.eye(channels * KERNEL**2, dtype=after.weight.dtype)
    single = single.unflatten(1, (channels, KERNEL, KERNEL))
    reached = conv_transpose2d(single, before.weight, None, before.stride).flatten(1)
    return (after.weight.flatten(1).T[:, :, None] * reached[:, None]).flatten(1)


@dataclass(frozen=True)
class Bound:
    """margin >= slope . z + offset for every standardised image of a box.

    Attributes:
        slope: (B, C, H, W).
        offset: (B,).
        least: (B,), the least value of the bound over the box, before rounding is taken off.
    """

    slope: Tensor
    offset: Tensor
    least: Tensor


def lead(network: Convolutions, y: Tensor) -> tuple[Tensor, Tensor]:
    """The lead of class y (B,) of two: coefficients (B, n) of the last hidden layer, and offset."""
    layer = network.layers[-1]
    return layer.weight[y] - layer.weight[1 - y], layer.bias[y] - layer.bias[1 - y]


def margin_bound(
    network: Convolutions,
    region: Region,
    y: Tensor,
    lines: Sequence[Relaxation],
    lower: Sequence[Tensor] | None = None,
    held: Sequence[Tensor] | None = None,
    gaps: list[Tensor] | None = None,
) -> Bound:
    """Bounds the lead of class y (B,) of two over each box.

    Args:
        network: of two classes.
        region: the boxes.
        y: own class of each.
        lines: around the ReLUs of each hidden layer.
        lower: slopes of the lower lines, within [0, 1] and where a ReLU is decided its own; None =
            those of `lines`.
        held: multipliers (B, *shape) of what each hidden layer receives: positive where a neuron is
            known to be on, negative where off (Wang et al. 2021, arXiv:2103.06624, beta-CROWN).
        gaps: takes, last hidden layer first, how much the bound may lose at each ReLU.
    """
    carried, offset = lead(network, y)
    carried = carried[:, None].unflatten(-1, network.shapes[len(lines)])
    slope, offset = carried_back(network, lines, carried, offset[:, None], lower, held, gaps)
    slope, offset = slope[:, 0], offset[:, 0]
    least = (slope * region.centre - slope.abs() * region.radius).flatten(1).sum(1) + offset
    return Bound(slope, offset, least)


def carried_back(
    network: Convolutions,
    lines: Sequence[Relaxation],
    carried: Tensor,
    offset: Tensor,
    lower: Sequence[Tensor] | None = None,
    held: Sequence[Tensor] | None = None,
    gaps: list[Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Lower bounds in terms of hidden neurons as those in terms of pixels.

    Args:
        network: the network.
        lines: around the ReLUs of the first hidden layers.
        carried: (B, n, *shape) coefficients of what the last of them puts out.
        offset: (B, n).
        lower: as for `margin_bound`, as are `held` and `gaps`.
        held: of each layer.
        gaps: of each layer.

    Returns:
        coefficients (B, n, C, H, W) of pixels, and what is added (B, n).
    """
    for depth in reversed(range(len(lines))):
        line = lines[depth]
        slope = line.lower if lower is None else lower[depth]
        if gaps is not None:
            gaps.append(carried[:, 0].abs() * torch.where(line.unstable, line.intercept, 0.0))
        offset = offset + dot(carried.clamp_max(0), line.intercept)
        carried = torch.where(carried >= 0, slope[:, None], line.chord[:, None]) * carried
        if held is not None:
            carried = carried - held[depth][:, None]
        offset = offset + biased(carried, network.layers[depth].bias)
        carried = network.back(depth, carried)
    return carried, offset
