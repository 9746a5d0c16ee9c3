"""Membership in a federation: what all rounds tell, beside the model at their end.

Whoever takes part sees the global weights of every round, so also by what each round moved them,
and by what the others moved them. A round moves the weights along the gradients of those that were
learned from. Shapes: T federations, N records, R rounds, weights as
`pipeline.models.mlp.initialise` lays them out.
"""

import torch
from torch import Tensor

from pipeline.attacks.log_odds import VARIANCE_FLOOR
from pipeline.attacks.membership import Signals, lira_fixed
from pipeline.models.mlp import Parameters, backward, forward, layers_of

ROUND_OFF = 1e-30


@torch.no_grad()
def moved_along(weights: Parameters, moved: Parameters, inputs: Tensor, y: Tensor) -> Tensor:
    """(T, N): cosine between what weights were moved by and what each record alone asks for.

    That is the direction against the gradient of its loss (Nasr et al. 2019, arXiv:1812.00910, see
    these gradients; Li et al. 2022, arXiv:2206.06055, their cosine with updates). No gradient of a
    record is ever laid out: layer by layer it is an outer product.

    Args:
        weights: of T networks of two classes, before the round.
        moved: by what they were moved.
        inputs: (T, N, I), standardised.
        y: (N,) classes.
    """
    layers = layers_of(weights)
    signals = forward(inputs, layers)
    wanted = torch.nn.functional.one_hot(y, signals[-1].shape[-1]).to(inputs.dtype)
    grads = backward(signals, layers, signals[-1].softmax(-1) - wanted)
    along = torch.zeros_like(signals[0][..., 0])
    length = torch.zeros_like(along)
    for (by, shift), received, grad in zip(layers_of(moved), signals, grads, strict=False):
        along += ((received @ by + shift) * grad).sum(-1)
        length += (received.square().sum(-1) + 1) * grad.square().sum(-1)
    whole = torch.stack([part.flatten(1).square().sum(1) for part in moved.values()]).sum(0)
    return -along / (length * whole[:, None]).sqrt().clamp(min=ROUND_OFF)


def likelihood_ratio(signal: Tensor, member: Tensor) -> Tensor:
    """(T, N): `lira_fixed` of any signal (T, N), of whatever size."""
    size = signal.double().std(0).mean().clamp(min=VARIANCE_FLOOR)
    scaled = signal.double() / size
    return lira_fixed(Signals(scaled, scaled, scaled), member)


def of_all_rounds(signals: Tensor, member: Tensor) -> Tensor:
    """(T, N): the mean over rounds of the ratios of signals (R, T, N); rounds that tell more weigh.

    A round's ratio is as wide as what it tells.
    """
    return torch.stack([likelihood_ratio(one, member) for one in signals]).mean(0)
