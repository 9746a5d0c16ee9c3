"""Certified training: a model learns from the worst that intervals cannot exclude."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import relu

from pipeline.config import Config, Positive, Share
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.undefended import architecture_for, fit_as_configured
from pipeline.files import BadInput
from pipeline.kernels import chosen_device
from pipeline.models.cnn import ConvolutionalNetwork, Layer
from pipeline.models.designs import AnyArchitecture, Trained, answers_of
from pipeline.models.mlp import Architecture, Parameters, layers_of
from pipeline.models.networks import standardise
from pipeline.models.training import Batch, Gradient, Preprocessing, rates, supervised

Corners = tuple[Tensor, Tensor]


def train_on_bounds(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    eps: Positive,
    threat: str,
    kappa: Share,
    ramp: Share,
) -> Trained:
    """Training on interval bounds (IBP, Gowal et al. 2018, arXiv:1810.12715).

    The loss is kappa times the cross-entropy of the record and (1 - kappa) times that of the worst
    logits that intervals leave possible for any record within eps. Both are eased in: from 1 to
    `kappa`, and from 0 to `eps`, over the first share of the steps.

    Args:
        dataset: the records, or images.
        plan: who trains.
        cfg: model, training numbers and threat models.
        eps: the radius in the end, in units of the features' scale.
        threat: name of the threat model whose box is bounded; each value by itself (linf).
        kappa: the weight of clean records in the end.
        ramp: share of the steps over which the radius grows.

    Raises:
        BadInput: the threat is not linf, or the model has layers that intervals do not know.
    """
    if cfg.threat[threat].norm != "linf":
        raise BadInput(
            f"certified.threat: intervals bound each value by itself, and {threat!r} is "
            f"{cfg.threat[threat].norm}; take one whose norm is linf"
        )
    attacker = Threat.of(dataset.schema, cfg.threat[threat])
    # a radius that grows has no grid
    attacker = replace(attacker, step=torch.zeros_like(attacker.step)).to(chosen_device())
    architecture = architecture_for(dataset, cfg)
    if not isinstance(architecture, Architecture | ConvolutionalNetwork):
        raise BadInput(
            f"certified: intervals know linear and convolutional layers alone, and "
            f"{architecture.name!r} has others"
        )
    steps = len(rates(plan.train, cfg.train))
    gradient = interval_gradient(architecture, attacker, ramped(steps, ramp, eps, kappa))
    return fit_as_configured(dataset, plan, cfg, "certified", gradient=gradient)


def ramped(steps: int, ramp: float, eps: float, kappa: float) -> Iterator[tuple[float, float]]:
    """Radius and weight of clean records at each step: straight lines over a share of them."""
    for step in range(steps):
        share = min(1.0, (step + 1) / max(1.0, ramp * steps))
        yield share * eps, 1 - share * (1 - kappa)


def interval_gradient(
    architecture: AnyArchitecture, threat: Threat, schedule: Iterator[tuple[float, float]]
) -> Gradient:
    """The gradient of the loss of `train_on_bounds`, one step of the schedule at each call."""

    def gradient(
        parameters: Parameters, preprocessing: Preprocessing, batch: Batch
    ) -> dict[str, Tensor]:
        eps, kappa = next(schedule)
        out = answers_of(architecture, batch.x, preprocessing, parameters)
        low, high = (corner.to(batch.x.dtype) for corner in threat.box(batch.x, eps))
        worst = worst_logits(architecture, (low, high), batch.y, preprocessing, parameters)
        each = kappa * supervised(out, batch) + (1 - kappa) * supervised(worst, batch)
        total = ((each * batch.weight).sum(1) / batch.weight.sum(1)).sum()
        grads = torch.autograd.grad(total, list(parameters.values()))
        return dict(zip(parameters, grads, strict=True))

    return gradient


def worst_logits(
    architecture: AnyArchitecture,
    corners: Corners,
    y: Tensor,
    preprocessing: Preprocessing,
    parameters: Parameters,
) -> Tensor:
    """The largest lead (M, B, C) of every class over class y (M, B) that intervals allow; own = 0.

    The last layer is bounded together with the difference of two of its outputs, which is tighter
    than both by themselves.

    Args:
        architecture: of linear or convolutional layers.
        corners: the least and the largest value of each event, (M, B, *event) each.
        y: own classes.
        preprocessing: constants of the first layers.
        parameters: weights.
    """
    if isinstance(architecture, Architecture):
        low, high = (standardise(corner, preprocessing) for corner in corners)
        *hidden, (weight, bias) = layers_of(parameters)
        for before, offset in hidden:
            low, high = _through(before, offset, low, high)
        return _leads(weight, bias, low, high, y)
    assert isinstance(architecture, ConvolutionalNetwork)
    rows = []
    for member, (bottom, top) in enumerate(zip(*corners, strict=True)):
        center, scale = (preprocessing[name][member] for name in ("center", "scale"))
        layers = architecture.layers({name: one[member] for name, one in parameters.items()})
        rows.append(
            _of_member(layers, (bottom - center) / scale, (top - center) / scale, y[member])
        )
    return torch.stack(rows)


def _of_member(layers: list[Layer], low: Tensor, high: Tensor, y: Tensor) -> Tensor:
    *hidden, last = layers
    for layer in hidden:
        low, high = (relu(end) for end in layer.between(low, high))
    low, high = low.flatten(1)[None], high.flatten(1)[None]
    return _leads(last.weight.T[None], last.bias[None, None], low, high, y[None])[0]


def _through(weight: Tensor, bias: Tensor, low: Tensor, high: Tensor) -> Corners:
    """What lies behind a linear layer (M, I, O) and a ReLU."""
    middle, reach = (low + high) / 2 @ weight + bias, (high - low) / 2 @ weight.abs()
    return relu(middle - reach), relu(middle + reach)


def _leads(weight: Tensor, bias: Tensor, low: Tensor, high: Tensor, y: Tensor) -> Tensor:
    """The largest lead of each output (M, I, C) over that of class y, for inputs (M, B, I)."""
    leads = []
    for own in range(weight.shape[-1]):
        ahead, offset = weight - weight[..., own, None], bias - bias[..., own, None]
        middle, reach = (low + high) / 2 @ ahead + offset, (high - low) / 2 @ ahead.abs()
        leads.append(middle + reach)
    every = torch.stack(leads, -2)  # (M, B, own, C)
    index = y[..., None, None].expand(*y.shape, 1, every.shape[-1])
    return every.gather(-2, index)[..., 0, :]
