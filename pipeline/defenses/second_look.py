"""Clipped gradients computed apart from the code that trains, for whoever checks that code."""

import torch
from torch import Tensor
from torch.func import grad as gradient_of
from torch.func import vmap
from torch.nn.functional import cross_entropy, one_hot, softmax

from pipeline.data.schema import Dataset
from pipeline.models.designs import AnyArchitecture
from pipeline.models.image_networks import ImageArchitecture
from pipeline.models.mlp import Architecture, Parameters, backward, forward, layers_of
from pipeline.models.networks import standardise
from pipeline.models.training import Batch, Preprocessing

AT_ONCE = 5_000  # records, of all models together, whose gradients are computed at once
IMAGES_AT_ONCE = 64  # of one model, of each of which the whole gradient is formed


def clipped_and_cut_off(
    parameters: Parameters,
    preprocessing: Preprocessing,
    batch: Batch,
    max_grad_norm: float,
    architecture: AnyArchitecture | None = None,
) -> tuple[Tensor, Tensor]:
    """Each model's sum of clipped gradients of its records, and of what clipping cuts off.

    Computed apart from the code that trains: of images, where `architecture` is one of them, by
    `torch.func`; None = a stack of linear layers.

    Returns:
        both (M, P), in the order of `parameters`.
    """
    if architecture is not None and not isinstance(architecture, Architecture):
        return _of_images(architecture, parameters, preprocessing, batch, max_grad_norm)
    models = batch.y.shape[0]
    at_once = max(1, AT_ONCE // max(1, batch.y.shape[1]))
    if models > at_once:
        parts = [
            clipped_and_cut_off(
                *only(rows, parameters, preprocessing, batch, {})[:3], max_grad_norm
            )
            for rows in torch.arange(models).split(at_once)
        ]
        return torch.cat([one for one, _ in parts]), torch.cat([one for _, one in parts])
    if batch.y.shape[1] > AT_ONCE:
        each = [
            torch.stack(clipped_and_cut_off(parameters, preprocessing, part, max_grad_norm))
            for part in batch.split(AT_ONCE)
        ]
        kept_back, cut_off = torch.stack(each).sum(0)
        return kept_back, cut_off
    layers = layers_of({name: value.detach() for name, value in parameters.items()})
    signals = forward(standardise(batch.x, preprocessing), layers)
    wrong = softmax(signals[-1], -1) - one_hot(batch.y, signals[-1].shape[-1])
    grads = backward(signals, layers, wrong)
    squares = torch.stack(
        [
            (signal.square().sum(-1) + 1) * grad.square().sum(-1)
            for signal, grad in zip(signals, grads, strict=False)
        ]
    )
    kept = (max_grad_norm / squares.sum(0).sqrt().clamp(min=1e-12)).clamp(max=1)
    both = torch.stack([batch.weight * kept, batch.weight * (1 - kept)], 1)  # (M, 2, B)
    result: list[Tensor] = []
    for signal, grad in zip(signals, grads, strict=False):
        weighted = both[..., None] * grad[:, None]
        result.append((signal.transpose(1, 2)[:, None] @ weighted).flatten(2))
        result.append(weighted.sum(2))
    clipped, cut = torch.cat(result, -1).unbind(1)
    return clipped, cut


def _of_images(
    architecture: ImageArchitecture,
    parameters: Parameters,
    preprocessing: Preprocessing,
    batch: Batch,
    max_grad_norm: float,
) -> tuple[Tensor, Tensor]:
    """`clipped_and_cut_off` of networks of images."""
    sums = torch.zeros(2, len(batch.y), sum(value[0].numel() for value in parameters.values()))
    for model in range(len(batch.y)):
        constants = {name: value[model] for name, value in preprocessing.items()}
        member = {name: value.detach()[model] for name, value in parameters.items()}
        there = batch.weight[model].nonzero()[:, 0]
        for rows in there.split(IMAGES_AT_ONCE) if len(there) else ():
            each = _each(
                architecture, member, constants, batch.x[model, rows], batch.y[model, rows]
            )
            kept = (max_grad_norm / each.norm(dim=1).clamp(min=1e-12)).clamp(max=1)
            sums[:, model] += (batch.weight[model, rows] * torch.stack([kept, 1 - kept])) @ each
    clipped, cut = sums.unbind()
    return clipped, cut


def _each(
    architecture: ImageArchitecture,
    member: Parameters,
    constants: Preprocessing,
    x: Tensor,
    y: Tensor,
) -> Tensor:
    """(B, P): the gradient of each image at one model's weights."""

    def loss(weights: Parameters, image: Tensor, label: Tensor) -> Tensor:
        z = (image[None] - constants["center"]) / constants["scale"]
        return cross_entropy(architecture.answer(z, weights), label[None])

    return flat(vmap(gradient_of(loss), (None, 0, 0))(member, x, y))


def flat(values: Parameters) -> Tensor:
    """(M, P): all weights of each model in a row."""
    return torch.cat([value.detach().flatten(1) for value in values.values()], 1)


@torch.no_grad()
def clipped_each(
    parameters: Parameters,
    preprocessing: Preprocessing,
    records: Dataset,
    max_grad_norm: float,
    architecture: AnyArchitecture | None = None,
) -> Tensor:
    """(M, K, P): the clipped gradient of each record at each model's weights, one by one."""
    models = next(iter(parameters.values())).shape[0]
    if architecture is not None and not isinstance(architecture, Architecture):
        found = []
        for model in range(models):
            constants = {name: value[model] for name, value in preprocessing.items()}
            member = {name: value.detach()[model] for name, value in parameters.items()}
            blocks = torch.arange(len(records.y)).split(IMAGES_AT_ONCE)
            each_block = [
                _each(architecture, member, constants, records.x[rows], records.y[rows])
                for rows in blocks
            ]
            found.append(torch.cat(each_block))
        return _clipped(torch.stack(found), max_grad_norm)
    layers = layers_of(parameters)
    x = records.x.expand(models, -1, -1)
    signals = forward(standardise(x, preprocessing), layers)
    wrong = softmax(signals[-1], -1) - one_hot(records.y, signals[-1].shape[-1])
    grads = backward(signals, layers, wrong)
    parts = []
    for signal, grad in zip(signals, grads, strict=False):
        parts += [(signal[..., None] * grad[:, :, None]).flatten(2), grad]
    return _clipped(torch.cat(parts, 2), max_grad_norm)


def _clipped(each: Tensor, max_grad_norm: float) -> Tensor:
    """Gradients (M, K, P), none of them longer than the bound."""
    clipped: Tensor = each * (
        max_grad_norm / each.norm(dim=2, keepdim=True).clamp(min=1e-12)
    ).clamp(max=1)
    return clipped


def only(
    rows: Tensor,
    parameters: Parameters,
    preprocessing: Preprocessing,
    batch: Batch,
    grads: Parameters,
) -> tuple[Parameters, Preprocessing, Batch, Parameters]:
    """The step of some of the models."""
    return (
        {name: value.detach()[rows] for name, value in parameters.items()},
        {name: value[rows] for name, value in preprocessing.items()},
        Batch(batch.x[rows], batch.y[rows], batch.index[rows], batch.weight[rows]),
        {name: value[rows] for name, value in grads.items()},
    )
