"""Logistic regression: what a network has to be better than, and what a clinic can read."""

import torch
from torch import Tensor

from pipeline.config import Config, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.logistic import logistic_regression
from pipeline.models.mlp import linear
from pipeline.models.networks import Networks, fitted_preprocessing, standardise
from pipeline.validation import check_two


def logistic(dataset: Dataset, plan: Plan, cfg: Config, *, ridge: Positive) -> Networks:
    """Logistic regression of standardised measurements, each member fitted to the end.

    Args:
        dataset: the records, of two classes.
        plan: who trains.
        cfg: not read; a linear model has no shape to choose.
        ridge: penalty on half the squared coefficients, but not on the intercept.

    Returns:
        linear networks, with logits (0, log-odds).

    Raises:
        BadInput: there are more than two classes.
    """
    check_two("logistic", dataset.schema.classes)
    preprocessing = fitted_preprocessing(dataset.x, plan.train, dataset.schema.hot)
    exact = {name: value.double() for name, value in preprocessing.items()}
    features = exact["center"].shape[1]
    penalty = torch.full((features + 1,), ridge, dtype=torch.float64)
    penalty[-1] = 0
    beta = torch.stack(
        [
            _coefficients(
                dataset, who, {name: value[[one]] for name, value in exact.items()}, penalty
            )
            for one, who in enumerate(plan.train)
        ]
    )
    for_ill = torch.stack([torch.zeros_like(beta), beta], -1).float()  # (M, D + 1, 2)
    parameters = {"weight0": for_ill[:, :-1].contiguous(), "bias0": for_ill[:, -1:].contiguous()}
    return Networks(linear(features, 2, []), preprocessing, parameters, plan.labels)


def _coefficients(
    dataset: Dataset, who: Tensor, preprocessing: dict[str, Tensor], penalty: Tensor
) -> Tensor:
    """(D + 1,) of one member, from its own training rows alone."""
    z = standardise(dataset.x[who].double()[None], preprocessing)[0]
    inputs = torch.cat([z, torch.ones_like(z[:, :1])], -1).numpy()
    y = dataset.y[who].double().numpy()
    return torch.from_numpy(logistic_regression(inputs, y, penalty.numpy()))
