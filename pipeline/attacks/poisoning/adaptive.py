"""Whose diagnosis to turn, asked of models of the recipe itself.

Each order maps (population, x, y, train, slope) to (M, N) float64, the larger, the earlier: of M
models that the attacker trained himself, records x (N, D), diagnoses y (N,), who trains each model
(M, N), and the slope (M, N) of his goal in the models' scores.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.attacks.poisoning.goals import Slope, found_slope, ranking_slope
from pipeline.models.answers import log_odds
from pipeline.models.mlp import backward, forward, layers_of
from pipeline.models.networks import Networks
from pipeline.models.population import Population

RIDGE = 1.0  # of the last layer, as if it were a logistic regression of its own
Order = Callable[[Any, Tensor, Tensor, Tensor, Tensor], Tensor]


def scores_of(population: Population, x: Tensor) -> Tensor:
    """(M, N) float64: log-odds of all records x (N, D)."""
    return log_odds(population, x.expand(population.size, *x.shape))


def surest(population: Population, x: Tensor, y: Tensor, train: Tensor, slope: Tensor) -> Tensor:
    """Whom the models answer rightly and most surely: their diagnosis teaches most when wrong."""
    scores = scores_of(population, x)
    return torch.where(y == 1, scores, -scores)


def last_layer(population: Networks, x: Tensor, y: Tensor, train: Tensor, slope: Tensor) -> Tensor:
    """Influence on the goal through the last layer, to first order.

    Koh & Liang 2017, arXiv:1703.04730, the layers before it held: a flip of record i moves the
    score of n by -s_i phi_n . H^-1 phi_i, with s = +1 for the ill and -1 for the healthy, phi the
    last hidden layer and H the Hessian of the logistic loss with a ridge.
    """
    return _influence(_with_one(_signals(population, x)[-2]), population, x, y, train, slope)


def linear(population: Networks, x: Tensor, y: Tensor, train: Tensor, slope: Tensor) -> Tensor:
    """As `last_layer`, with the standardised records in place of the last hidden layer."""
    return _influence(_with_one(_signals(population, x)[0]), population, x, y, train, slope)


def kernel(population: Networks, x: Tensor, y: Tensor, train: Tensor, slope: Tensor) -> Tensor:
    """Influence on the goal through all weights, as one step of gradient descent has it.

    Jacot et al. 2018, arXiv:1806.07572: a flip of record i moves the score of n by -s_i k(n, i),
    with k the neural tangent kernel, the product of the gradients of both scores.
    """
    layers, signals = layers_of(population.double().parameters), _signals(population, x)
    outward = torch.tensor([-1.0, 1.0], dtype=torch.float64).expand_as(signals[-1])
    grads = backward(signals, layers, outward)
    moved = torch.zeros_like(slope)
    for signal, grad in zip(signals[:-1], grads, strict=True):
        # sum over n of slope_n <a_n, a_i> <d_n, d_i>, layer by layer, without an (N, N) table
        inputs = _with_one(signal)
        gradient = inputs.mT @ (grad * slope[..., None])
        moved += ((inputs @ gradient) * grad).sum(-1)
    return (2 * y - 1) * moved


def _influence(
    inputs: Tensor, population: Networks, x: Tensor, y: Tensor, train: Tensor, slope: Tensor
) -> Tensor:
    chance = torch.sigmoid(scores_of(population, x))
    weight = train * chance * (1 - chance)
    ridge = RIDGE * torch.eye(inputs.shape[-1], dtype=torch.float64)
    hessian = inputs.mT @ (inputs * weight[..., None]) + ridge
    lever: Tensor = torch.linalg.solve(hessian, (slope[:, None] @ inputs)[:, 0])
    return (2 * y - 1) * (inputs @ lever[..., None])[..., 0]


def _signals(population: Networks, x: Tensor) -> list[Tensor]:
    exact = population.double()
    inputs = exact.standardise(x.expand(exact.size, *x.shape).double())
    return forward(inputs, layers_of(exact.parameters))


def _with_one(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)


class Way(NamedTuple):
    """How diagnoses are chosen.

    Attributes:
        order: by which they come first.
        slope: of the goal that the order is told; the choice among ways is by the goal itself.
        either_way: whether the healthy are entered as ill, too.
    """

    order: Order
    slope: Slope
    either_way: bool = False


def ways_of(population: Population) -> tuple[Way, ...]:
    """What can be asked of models: of those that give scores alone, who is answered most surely."""
    return WAYS if isinstance(population, Networks) else OF_SCORES


WAYS = (
    Way(surest, found_slope),
    Way(linear, found_slope),
    Way(last_layer, found_slope),
    Way(kernel, ranking_slope, either_way=True),
)
OF_SCORES = (Way(surest, found_slope), Way(surest, ranking_slope, either_way=True))
# through the parts of a vote: the slope, and whether either way
PARTS = ((found_slope, False), (ranking_slope, False), (ranking_slope, True))
