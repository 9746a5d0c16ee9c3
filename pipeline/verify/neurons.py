"""What the hidden neurons of a convolutional network receive over boxes of images, from both sides.

By intervals, and by lines carried back to the pixels; `pipeline.verify.convolution` says whose they
are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d, relu, unfold

from pipeline.models.cnn import KERNEL, PADDING
from pipeline.verify.bounds import Relaxation
from pipeline.verify.convolution import Convolutions, Region, biased, carried_back, dot

Ends = tuple[Tensor, Tensor]


def chosen_of(line: Relaxation, chosen: Tensor) -> Relaxation:
    """The lines of some boxes, or of some of them several times."""
    return Relaxation(*(value[chosen] for value in vars(line).values()))


def by_intervals(network: Convolutions, region: Region) -> list[Ends]:
    """What the neurons of each layer, logits included, receive at least and at most."""
    low, high = region.centre - region.radius, region.centre + region.radius
    ends: list[Ends] = []
    for layer, error in zip(network.layers, region.errors, strict=True):
        low, high = layer.between(low, high)
        ends.append((low - error, high + error))
        low, high = relu(ends[-1][0]), relu(ends[-1][1])
    return ends


def relaxations(
    network: Convolutions, region: Region, within: Sequence[Relaxation] | None = None
) -> list[Relaxation]:
    """The lines around the ReLUs of each hidden layer.

    Args:
        network: the network.
        region: the boxes.
        within: lines over boxes that hold these, which bound them, too: what is decided there needs
            no look here.
    """
    lines: list[Relaxation] = []
    low, high = region.centre - region.radius, region.centre + region.radius
    for depth, (layer, error) in enumerate(zip(network.layers[:-1], region.errors, strict=False)):
        bottom, top = layer.between(low, high)
        bottom, top = bottom - error, top + error
        if within is not None:
            bottom = torch.maximum(bottom, within[depth].low)
            top = torch.minimum(top, within[depth].high)
        if depth and layer.stride:
            below, above = _of_convolution(network, depth, lines, region)
            bottom, top = torch.maximum(bottom, below - error), torch.minimum(top, above + error)
        elif depth:
            # of those that are decided the lines are known, whatever they receive
            undecided = (bottom < 0) & (top > 0)
            if most := max(undecided.sum(1).tolist(), default=0):
                order = undecided.to(torch.int8).argsort(dim=1, descending=True, stable=True)
                chosen = order[:, :most]
                below, above = _of_linear(network, depth, lines, region, chosen)
                around, asked = error.gather(1, chosen), undecided.gather(1, chosen)
                least, largest = bottom.gather(1, chosen), top.gather(1, chosen)
                below = torch.where(asked, torch.maximum(least, below - around), least)
                above = torch.where(asked, torch.minimum(largest, above + around), largest)
                bottom, top = bottom.scatter(1, chosen, below), top.scatter(1, chosen, above)
        lines.append(Relaxation.between(bottom, top))
        low, high = relu(lines[-1].low), relu(lines[-1].high)
    return lines


def _of_linear(
    network: Convolutions, depth: int, lines: Sequence[Relaxation], region: Region, chosen: Tensor
) -> Ends:
    """What some neurons (B, n) of a linear layer receive at least and at most."""
    layer = network.layers[depth]
    slope = layer.weight[chosen].unflatten(-1, network.shapes[depth])
    below = above = layer.bias[chosen]
    for earlier in reversed(range(depth)):
        line, before = lines[earlier], network.layers[earlier]
        straight, absolute = dot(slope, line.intercept), dot(slope.abs(), line.intercept)
        below, above = below + (straight - absolute) / 2, above + (straight + absolute) / 2
        slope = slope * line.chord[:, None]
        shift = biased(slope, before.bias)
        below, above = below + shift, above + shift
        slope = network.back(earlier, slope)
    middle = dot(slope, region.centre)
    reach = dot(slope.abs_(), region.radius)  # in place: it is not needed any more
    return below + middle - reach, above + middle + reach


def _of_convolution(
    network: Convolutions, depth: int, lines: Sequence[Relaxation], region: Region
) -> Ends:
    """What the neurons of a convolution receive at least and at most.

    Neurons at one place see the same patch of every layer before: 4 x 4, then 10 x 10, then 22 x 22
    values. So lines are carried back for a place, and not through the whole image.
    """
    layer, (outputs, height, width) = network.layers[depth], network.shapes[depth + 1]
    boxes, places = len(region.centre), height * width
    size, stride, margin = KERNEL, layer.stride, PADDING
    weight = layer.weight.flatten(1)
    below = above = layer.bias.expand(boxes * places, -1)
    slope = torch.empty(0)
    for earlier in reversed(range(depth)):
        line, before = lines[earlier], network.layers[earlier]
        seen = _patches(line.intercept, size, stride, margin)  # (boxes * places, values)
        chord = _patches(line.chord, size, stride, margin)
        if earlier == depth - 1:
            below, above = (
                below + seen @ weight.clamp_max(0).T,
                above + seen @ weight.clamp_min(0).T,
            )
            bias = before.bias.repeat_interleave(size * size)
            shift = (chord * bias) @ weight.T
            slope = (chord @ network.steps[depth - 1]).unflatten(1, (outputs, -1))
        else:
            straight, absolute = dot(slope, seen), dot(slope.abs(), seen)
            below, above = below + (straight - absolute) / 2, above + (straight + absolute) / 2
            slope = slope * chord[:, None]
            channels = len(before.bias)
            shift = slope.unflatten(-1, (channels, -1)).sum(-1) @ before.bias
            rows = slope.flatten(0, 1).unflatten(-1, (channels, size, size))
            rows = conv_transpose2d(rows, before.weight, None, before.stride)
            slope = rows.flatten(1).unflatten(0, (-1, outputs))
        below, above = below + shift, above + shift
        size, margin = (size - 1) * before.stride + KERNEL, margin * before.stride + PADDING
        stride = stride * before.stride
    centre, radius = (_patches(one, size, stride, margin) for one in (region.centre, region.radius))
    middle = dot(slope, centre)
    reach = dot(slope.abs_(), radius)
    ends = (
        end.unflatten(0, (boxes, places)).movedim(1, 2).unflatten(2, (height, width))
        for end in (below + middle - reach, above + middle + reach)
    )
    return next(ends), next(ends)


def _patches(values: Tensor, size: int, stride: int, margin: int) -> Tensor:
    """(B * places, C * size * size): what each place sees of (B, C, H, W); beyond the edge 0."""
    return unfold(values, size, padding=margin, stride=stride).movedim(1, 2).flatten(0, 1)


def tightened(
    network: Convolutions, region: Region, lines: Sequence[Relaxation]
) -> list[Relaxation]:
    """Lines that are tighter, at several times the cost: those of CROWN inside the network too.

    Of linear layers and of the second convolution; later ones keep what they have.
    """
    better = [lines[0]] if lines else []
    for depth, line in list(enumerate(lines))[1:]:
        layer = network.layers[depth]
        if layer.stride and depth > 1:
            better.append(line)
            continue
        ends = (_convolution_by_crown if layer.stride else _linear_by_crown)(
            network, depth, better, region
        )
        error = region.errors[depth]
        low, high = (
            torch.maximum(line.low, ends[0] - error),
            torch.minimum(line.high, ends[1] + error),
        )
        better.append(Relaxation.between(low, high))
    return better


def _linear_by_crown(
    network: Convolutions, depth: int, lines: Sequence[Relaxation], region: Region
) -> Ends:
    layer, boxes = network.layers[depth], len(region.centre)
    rows = layer.weight.unflatten(-1, network.shapes[depth])
    ends = []
    for sign in (1, -1):
        carried = (sign * rows).expand(boxes, *rows.shape)
        start = (sign * layer.bias).expand(boxes, -1)
        slope, offset = carried_back(network, lines, carried, start)
        least = dot(slope, region.centre) - dot(slope.abs(), region.radius) + offset
        ends.append(sign * least)
    return ends[0], ends[1]


def _convolution_by_crown(
    network: Convolutions, depth: int, lines: Sequence[Relaxation], region: Region
) -> Ends:
    before, layer, (line,) = network.layers[0], network.layers[depth], lines
    outputs, height, width = network.shapes[depth + 1]
    places = (KERNEL, layer.stride, PADDING)
    lower, chord, intercept = (
        _patches(one, *places) for one in (line.lower, line.chord, line.intercept)
    )
    plus, minus = layer.weight.clamp_min(0), layer.weight.clamp_max(0)
    steps, weights = network.signed_steps[depth - 1], [one.flatten(1).T for one in (plus, minus)]
    bias = before.bias.repeat_interleave(KERNEL**2)
    size = (KERNEL - 1) * before.stride + KERNEL
    seen = (size, layer.stride * before.stride, PADDING * before.stride + PADDING)
    centre, radius = (_patches(one, *seen) for one in (region.centre, region.radius))
    ends = []
    for sign, (up, down) in ((-1, (lower, chord)), (1, (chord, lower))):
        slope = (up @ steps[0] + down @ steps[1]).unflatten(1, (outputs, -1))
        shift = (up * bias) @ weights[0] + (down * bias) @ weights[1] + layer.bias
        shift = shift + intercept @ weights[1 if sign < 0 else 0]
        end = dot(slope, centre) + sign * dot(slope.abs(), radius) + shift
        end = end.unflatten(0, (len(region.centre), -1)).movedim(1, 2)
        ends.append(end.unflatten(2, (height, width)))
    return ends[0], ends[1]
