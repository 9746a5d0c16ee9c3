"""Images read off networks: what a class looks like to one, and the image behind one update.

Shapes: V victims, T images of each, images (C, H, W) in grey levels.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipeline.config import Count, Positive
from pipeline.data.schema import Schema
from pipeline.models.image_networks import ImageNetworks
from pipeline.models.mlp import Parameters


def class_image(
    population: ImageNetworks,
    schema: Schema,
    target_class: int = 1,
    *,
    steps: Count = 200,
    step_size: Positive = 0.02,
) -> Tensor:
    """The image that each network finds most typical of a class.

    Fredrikson et al. 2015, CCS, doi:10.1145/2810103.2813677. Gradient ascent on the log-odds of the
    class from plain mid grey, which is public, each step of one length, kept in the range.

    Args:
        population: V networks of two classes.
        schema: of the images.
        target_class: 0 or 1.
        steps: of ascent.
        step_size: root mean square of a step, as a share of the range.

    Returns:
        (V, C, H, W) float64, in grey levels.
    """
    models, sign = population.double(), 2 * target_class - 1
    lower, upper = schema.column("lower"), schema.column("upper")
    x = ((lower + upper) / 2).expand(models.size, 1, *schema.image)
    for _ in range(steps):
        logits, pull = models.pullback(x)
        outward = torch.zeros_like(logits)
        outward[..., 1], outward[..., 0] = sign, -sign
        uphill = pull(outward)
        size = uphill.square().mean((2, 3, 4), keepdim=True).sqrt().clamp(min=1e-12)
        x = (x + step_size * (upper - lower) * uphill / size).clamp(lower, upper)
    return x[:, 0]


class Update(NamedTuple):
    """The gradient of one image's loss, as whoever collects updates sees it, by weight."""

    gradient: Parameters

    @classmethod
    def of(cls, models: ImageNetworks, victim: int, x: Tensor, y: Tensor) -> "Update":
        """Of one image (C, H, W) with its label (), in float64."""
        weights = _leaves(models, victim)
        return cls(dict(zip(weights, _gradient(models, victim, weights, x, y), strict=True)))

    def private(self, max_grad_norm: float, noise: float, drawn: torch.Generator) -> "Update":
        """The update as DP-SGD would send it for this one image: clipped, with Gaussian noise.

        Abadi et al. 2016, arXiv:1607.00133.

        Args:
            max_grad_norm: C, the largest length.
            noise: multiplier; the standard deviation is noise * C.
            drawn: of the noise.
        """
        length = torch.stack([part.square().sum() for part in self.gradient.values()]).sum().sqrt()
        share = (max_grad_norm / length.clamp(min=1e-12)).clamp(max=1)
        deviation = noise * max_grad_norm
        return Update(
            {
                name: part * share
                + deviation * torch.randn(part.shape, generator=drawn, dtype=part.dtype)
                for name, part in self.gradient.items()
            }
        )

    def label(self, last: str) -> Tensor:
        """() int64: the label behind the update: the one logit that it would raise.

        Zhao et al. 2020, arXiv:2001.02610: the gradient at the last layer's bias is the softmax
        less the label, so below 0 at the label alone.
        """
        return self.gradient[f"{last}.bias"].argmin()


def inputs_of_linear(weight: Tensor, bias: Tensor) -> Tensor:
    """(I,): what a linear layer received, from one record's gradients at it: exact.

    Phong et al. 2018, doi:10.1109/TIFS.2017.2787987: of output i the gradient at the weights is the
    gradient at the bias times the input.

    Args:
        weight: (O, I) gradient at the weights.
        bias: (O,) gradient at the bias; not all 0.
    """
    most = bias.abs().argmax()
    return weight[most] / bias[most]


def image_behind(
    models: ImageNetworks,
    victim: int,
    update: Update,
    schema: Schema,
    *,
    steps: Count = 300,
    learning_rate: Positive = 0.05,
    smooth: float = 1e-3,
) -> Tensor:
    """The image whose gradient points as a given update does.

    Zhu et al. 2019, arXiv:1906.08935; Geiping et al. 2020, arXiv:2003.14053: least 1 - cosine of
    the two, and a little total variation, by Adam on the signs of the slope, from mid grey. The
    label is read off the update. The network must be one that can be differentiated twice.

    Args:
        models: V networks; the attacker knows the weights of `victim`, to whom they were sent.
        victim: its place.
        update: what came back.
        schema: of the images.
        steps: of Adam; the rate falls to a tenth at three, six and nine tenths of them.
        learning_rate: of Adam, as a share of the range.
        smooth: weight of the total variation, of pixels as shares of the range.

    Returns:
        (C, H, W) float64, in grey levels.
    """
    lower, upper = schema.column("lower"), schema.column("upper")
    label, wanted = update.label(models.architecture.last), list(update.gradient.values())
    share = torch.full(schema.image, 0.5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([share], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, [round(steps * part) for part in (3 / 8, 5 / 8, 7 / 8)], gamma=0.1
    )
    weights, best, least = _leaves(models, victim), share.detach().clone(), torch.inf
    for _ in range(steps):
        x = lower + (upper - lower) * share
        found = _gradient(models, victim, weights, x, label, twice=True)
        apart = 1 - _cosine(found, wanted)
        loss = apart + smooth * _variation(share)
        if float(loss.detach()) < least:
            best, least = share.detach().clone(), float(loss.detach())
        (slope,) = torch.autograd.grad(loss, share)
        share.grad = slope.sign()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            share.clamp_(0, 1)
    return lower + (upper - lower) * best


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """(...,) Pearson's correlation of the pixels of images (..., C, H, W); 0 where one is plain."""
    one, other = (part.double().flatten(-3) for part in (one, other))
    one, other = (part - part.mean(-1, keepdim=True) for part in (one, other))
    lengths = one.norm(dim=-1) * other.norm(dim=-1)
    return torch.where(lengths > 0, (one * other).sum(-1) / lengths.clamp(min=1e-12), 0.0)


def _leaves(models: ImageNetworks, victim: int) -> Parameters:
    return {
        name: value[victim].detach().double().requires_grad_()
        for name, value in models.parameters.items()
    }


def _gradient(
    models: ImageNetworks,
    victim: int,
    weights: Parameters,
    x: Tensor,
    y: Tensor,
    *,
    twice: bool = False,
) -> tuple[Tensor, ...]:
    """Of the cross-entropy of one image (C, H, W), at every weight."""
    center, scale = (models.preprocessing[name][victim].double() for name in ("center", "scale"))
    out = models.architecture.answer((x.double()[None] - center) / scale, weights)
    loss = cross_entropy(out, y.view(1))
    return torch.autograd.grad(loss, list(weights.values()), create_graph=twice)


def _cosine(found: tuple[Tensor, ...], wanted: list[Tensor]) -> Tensor:
    product = torch.stack([(a * b).sum() for a, b in zip(found, wanted, strict=True)]).sum()
    one, other = (
        torch.stack([part.square().sum() for part in side]).sum().sqrt() for side in (found, wanted)
    )
    return product / (one * other).clamp(min=1e-30)


def _variation(share: Tensor) -> Tensor:
    """The mean step between neighbouring pixels."""
    return share.diff(dim=-1).abs().mean() + share.diff(dim=-2).abs().mean()
