"""A detector of forged scans: a small network on what high-pass filters leave of an image.

Content is what a scan shows, and a forger may choose it; seams and foreign noise are what is left
when it is filtered out (Fridrich and Kodovsky 2012, doi:10.1109/TIFS.2012.2190402).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, max_pool2d, pad
from tqdm import tqdm

from pipeline.attacks.forgery import Range
from pipeline.seeds import Stream, generator

WIDTHS = (16, 16, 32)
AT_ONCE = 2**20  # pixels that the network looks at together: 1 337 images of 28 x 28, 20 of 224
REACH = 32  # residuals are counted in so many parts of the range of grey levels
WARM_UP = 0.1  # share of the steps

Parameters = dict[str, Tensor]
Draw = Callable[[torch.Generator], tuple[Tensor, Tensor]]  # -> genuine and forged images


def _filters() -> Tensor:
    """(4, 5, 5): second differences along rows and columns, and two of both."""
    row = torch.zeros(5, 5)
    row[2, 1:4] = torch.tensor([1.0, -2.0, 1.0]) / 2
    square = torch.zeros(5, 5)
    square[1:4, 1:4] = torch.tensor([[-1.0, 2.0, -1.0], [2.0, -4.0, 2.0], [-1.0, 2.0, -1.0]]) / 4
    whole = torch.tensor(
        [
            [-1.0, 2.0, -2.0, 2.0, -1.0],
            [2.0, -6.0, 8.0, -6.0, 2.0],
            [-2.0, 8.0, -12.0, 8.0, -2.0],
            [2.0, -6.0, 8.0, -6.0, 2.0],
            [-1.0, 2.0, -2.0, 2.0, -1.0],
        ]
    )
    return torch.stack([row, row.T, square, whole / 12])


FILTERS = _filters()


@dataclass(frozen=True)
class Detector:
    """A trained detector.

    Attributes:
        parameters: its weights.
        levels: the range of grey levels.
    """

    parameters: Parameters
    levels: Range

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """(N,) float64 scores of images (N, C, H, W): higher = more likely forged."""
        blocks = x.split(block_of(x))
        return torch.cat([_answer(self.parameters, one, self.levels) for one in blocks]).double()


def block_of(x: Tensor) -> int:
    """How many images (N, C, H, W) are looked at together."""
    return max(1, AT_ONCE // (x.shape[-1] * x.shape[-2]))


def residuals(x: Tensor, levels: Range) -> Tensor:
    """(N, 4 C, H, W): what four fixed high-pass filters leave of images (N, C, H, W)."""
    channels = x.shape[1]
    shares = REACH * (x - levels.lower) / (levels.upper - levels.lower)
    wide = pad(shares, (2, 2, 2, 2), mode="replicate")
    kernels = FILTERS.to(x.dtype)[:, None].repeat(channels, 1, 1, 1)
    return conv2d(wide, kernels, groups=channels)


def train_detector(
    draw: Draw, channels: int, levels: Range, *, steps: int, learning_rate: float, seed: int
) -> Detector:
    """Learns to tell forged images from genuine ones, by Adam.

    Args:
        draw: makes a step's images, genuine and forged, from a generator.
        channels: C of the images.
        levels: the range of grey levels.
        steps: of training.
        learning_rate: the largest; it rises at first and falls to 0 along a line.
        seed: of weights and batches.
    """
    parameters = _initialised(channels, generator(Stream.DETECTOR_WEIGHTS, seed))
    optimiser = torch.optim.Adam(list(parameters.values()), lr=learning_rate)
    drawn = generator(Stream.FORGED_BATCHES, seed)
    for step in tqdm(range(steps), desc="detector", unit="step", disable=None, leave=False):
        rise = (step + 1) / max(1.0, WARM_UP * steps)
        fall = (1 - step / steps) / (1 - WARM_UP)
        optimiser.param_groups[0]["lr"] = learning_rate * min(1.0, rise, fall)
        genuine, forged = draw(drawn)
        x = torch.cat([genuine, forged])
        y = torch.cat([x.new_zeros(len(genuine)), x.new_ones(len(forged))])
        for name, grad in _gradient(parameters, x, y, levels).items():
            parameters[name].grad = grad
        optimiser.step()
    return Detector({name: one.detach() for name, one in parameters.items()}, levels)


def _gradient(parameters: Parameters, x: Tensor, y: Tensor, levels: Range) -> Parameters:
    """Of the mean loss, added up over blocks that fit into memory."""
    total = {name: torch.zeros_like(one) for name, one in parameters.items()}
    size = block_of(x)
    for images, labels in zip(x.split(size), y.split(size), strict=True):
        out = _answer(parameters, images, levels)
        loss = binary_cross_entropy_with_logits(out, labels, reduction="sum") / len(x)
        for name, grad in zip(
            total, torch.autograd.grad(loss, list(parameters.values())), strict=True
        ):
            total[name] += grad
    return total


def _initialised(channels: int, drawn: torch.Generator) -> Parameters:
    """He's normal weights, biases 0."""
    parameters: Parameters = {}
    inputs = len(FILTERS) * channels
    for place, width in enumerate(WIDTHS):
        weight = torch.randn(width, inputs, 3, 3, generator=drawn) * (2 / (9 * inputs)) ** 0.5
        parameters |= {f"weight{place}": weight, f"bias{place}": torch.zeros(width)}
        inputs = width
    parameters["last"] = torch.randn(inputs, generator=drawn) / inputs**0.5
    parameters["offset"] = torch.zeros(1)
    return {name: one.requires_grad_() for name, one in parameters.items()}


def _answer(parameters: Parameters, x: Tensor, levels: Range) -> Tensor:
    """(N,) logits of images (N, C, H, W)."""
    seen = residuals(x, levels)
    for place in range(len(WIDTHS)):
        weight, bias = parameters[f"weight{place}"], parameters[f"bias{place}"]
        seen = conv2d(seen, weight, bias, padding=1).relu()
        if place + 1 < len(WIDTHS) and min(seen.shape[-2:]) > 1:
            seen = max_pool2d(seen, 2)
    return seen.amax((-2, -1)) @ parameters["last"] + parameters["offset"]
