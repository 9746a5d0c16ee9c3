"""The last layer of networks, and how unsure it is: a Laplace approximation of its weights.

Of two classes only the difference of their logits counts, and of that difference the posterior has
a closed form, so that it needs no sampling, can be differentiated, and serves a whole population
(Daxberger et al. 2021, arXiv:2106.14806; MacKay 1992). It is what laplace-torch computes for the
last layer with the full Hessian; the tests compare them where that library is installed.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.answers import log_odds
from pipeline.models.designs import Trained
from pipeline.models.networks import Networks


def features_of(population: Trained) -> Trained:
    """Networks that answer with what their last layer receives: (..., M, B, I)."""
    if isinstance(population, Networks):
        last = len(population.architecture.hidden)
        weight, bias = f"weight{last}", f"bias{last}"
        inputs = population.parameters[weight].shape[1]
    else:
        last_layer = population.architecture.last
        weight, bias = f"{last_layer}.weight", f"{last_layer}.bias"
        inputs = population.parameters[weight].shape[2]
    like = population.parameters[bias]
    shape = (*like.shape[:-1], inputs)
    own = {
        weight: torch.eye(inputs, dtype=like.dtype).expand(population.size, -1, -1).contiguous(),
        bias: torch.zeros(shape, dtype=like.dtype),
    }
    return replace(population, parameters={**population.parameters, **own})


@dataclass(frozen=True)
class Laplace:
    """The posterior of the last layer of M networks of two classes.

    Attributes:
        featured: the networks, answering with what their last layer receives.
        covariance: (M, I + 1, I + 1) float64, of the difference of the weights of both classes, the
            bias last.
    """

    featured: Trained
    covariance: Tensor

    def variance(self, x: Tensor) -> Tensor:
        """(..., M, B): the variance of the log-odds of records (..., M, B, *event)."""
        received = _with_one(self.featured(x))
        return (received @ self.covariance.to(received.dtype) * received).sum(-1)

    def double(self) -> "Laplace":
        """The same in float64."""
        return replace(self, featured=self.featured.double())


def laplace(population: Trained, dataset: Dataset, plan: Plan, prior_precision: float) -> Laplace:
    """Approximates the posterior on each model's own training records.

    Args:
        population: M networks of two classes.
        dataset: the records.
        plan: who trained on whom.
        prior_precision: of every weight of the last layer; a difference of two has half of it.
    """
    featured, found = features_of(population).double(), []
    for number, rows in enumerate(plan.train):
        one = torch.tensor([number])
        x = dataset.x[rows][None].double()
        with torch.no_grad():
            received = _with_one(featured.select(one)(x))[0]
            p = torch.sigmoid(log_odds(population.select(one), x))[0]
        precision = (received * (p * (1 - p))[:, None]).T @ received
        precision += prior_precision / 2 * torch.eye(len(precision), dtype=torch.float64)
        found.append(torch.cholesky_inverse(torch.linalg.cholesky(precision)))
    return Laplace(features_of(population), torch.stack(found))


def moderated(lead: Tensor, variance: Tensor) -> Tensor:
    """The lead, drawn toward 0 by how unsure it is: MacKay's approximation of the mean answer."""
    return lead / (1 + math.pi / 8 * variance).sqrt()


def _with_one(received: Tensor) -> Tensor:
    return torch.cat([received, torch.ones_like(received[..., :1])], -1)
