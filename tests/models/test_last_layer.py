"""The last layer: what it receives, and how unsure it is, in closed forms and beside a library."""

import math

import pytest
import torch

import scans
import tiny
from pipeline.data.plan import Plan
from pipeline.models.answers import log_odds
from pipeline.models.cnn import convolutional
from pipeline.models.image_networks import ImageNetworks, initialise, range_constants
from pipeline.models.last_layer import features_of, laplace, moderated
from pipeline.models.mlp import as_module


def everybody(data, members=1):
    train = torch.ones(members, len(data.y), dtype=torch.bool)
    return Plan(train, ~train, -torch.ones(members), torch.arange(members), ("a",) * members)


def test_the_logits_are_the_last_layer_of_the_features():
    data, models = tiny.records(40, seed=0), tiny.population(3)
    x = data.x.expand(3, -1, -1)
    received = features_of(models)(x)
    weight, bias = models.parameters["weight2"], models.parameters["bias2"]
    assert received.shape == (3, 40, 6)
    assert (received >= 0).all()
    assert torch.allclose(received @ weight + bias, models(x), atol=1e-4)


def test_the_same_of_images():
    data = scans.dataset(12, seed=0)
    architecture = convolutional(data.schema.image, 2, [4], [5])
    weights = initialise(architecture, torch.arange(2))
    models = ImageNetworks(architecture, range_constants(data.schema, 2), weights, ("a", "b"))
    x = data.x.expand(2, -1, -1, -1, -1)
    received = features_of(models)(x)
    weight, bias = (models.parameters[f"{architecture.last}.{part}"] for part in ("weight", "bias"))
    again = received @ weight.transpose(1, 2) + bias[:, None]
    assert received.shape == (2, 12, 5)
    assert torch.allclose(again, models(x), atol=1e-4)


def test_the_variance_is_that_of_a_bayesian_logistic_regression():
    data, models = tiny.records(60, seed=0), tiny.population(2, hidden=())
    found = laplace(models, data, everybody(data, 2), prior_precision=3.0)
    x = data.x.expand(2, -1, -1)
    received = torch.cat([features_of(models)(x), torch.ones(2, 60, 1)], -1).double()
    p = torch.sigmoid(log_odds(models, x))
    for m in range(2):
        hessian = sum(
            p[m, n] * (1 - p[m, n]) * torch.outer(received[m, n], received[m, n]) for n in range(60)
        )
        covariance = torch.linalg.inv(hessian + 1.5 * torch.eye(6, dtype=torch.float64))
        own = torch.einsum("ni,ij,nj->n", received[m], covariance, received[m])
        assert torch.allclose(found.double().variance(x.double())[m], own, rtol=1e-5)


def test_more_records_make_it_surer_and_a_tighter_prior_too():
    data, models = tiny.records(200, seed=0), tiny.population(1)
    few = everybody(data)
    few.train[:, 50:] = False
    x = data.x[None]
    loose, fewer, tight = (
        laplace(models, data, plan, precision).variance(x)
        for plan, precision in ((everybody(data), 1.0), (few, 1.0), (everybody(data), 100.0))
    )
    assert (fewer > loose).all()
    assert (tight < loose).all()


def test_who_is_unsure_leads_less_and_on_the_same_side():
    lead, variance = torch.tensor([-2.0, 3.0]), torch.tensor([0.0, 8 / math.pi * 3])
    assert torch.allclose(moderated(lead, variance), torch.tensor([-2.0, 1.5]))


def test_laplace_torch_says_the_same():
    """The full Hessian of the last layer, by a library, of one member."""
    library = pytest.importorskip("laplace")
    data, models = tiny.records(50, seed=0, missing=0.0), tiny.population(1)
    module = as_module(models.parameters, models.preprocessing, 0).double().eval()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(data.x.double(), data.y), batch_size=50
    )
    theirs = library.Laplace(
        module, "classification", subset_of_weights="last_layer", hessian_structure="full",
        prior_precision=2.0,
    )  # fmt: skip
    theirs.fit(loader)
    _, covariance = theirs._glm_predictive_distribution(data.x.double())
    lead = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
    ours = laplace(models, data, everybody(data), 2.0).double().variance(data.x[None].double())[0]
    assert torch.allclose(ours, lead.double().detach(), rtol=1e-4)
