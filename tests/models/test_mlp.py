"""Hand-written passes over stacked weights are the textbook network's, member by member."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.files import BadInput
from pipeline.models.mlp import (
    MODELS,
    Architecture,
    as_module,
    initialise,
    linear,
    logits,
    parameters_of,
    perceptron,
)
from tiny import population, records

SHAPES = [(), (7,), (8, 6), (5, 4, 3)]


def stack(hidden, members=3, classes=2, features=4):
    return initialise(Architecture("mlp", features, classes, hidden), torch.arange(members) + 11)


def plain(parameters, member):
    """The same network without imputation, as `nn.Linear` layers."""
    identity = {
        "impute": torch.zeros(99, 4),
        "center": torch.zeros(99, 4),
        "scale": torch.ones(99, 4),
    }
    return as_module(parameters, identity, member)


@pytest.mark.parametrize("hidden", SHAPES)
@pytest.mark.parametrize("classes", [2, 5])
def test_forward_and_every_gradient_equal_autograd_through_nn_linear(hidden, classes):
    parameters = {
        name: tensor.requires_grad_() for name, tensor in stack(hidden, classes=classes).items()
    }
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 20, 4, generator=generator).requires_grad_()
    y = torch.randint(classes, (3, 20), generator=generator)
    out = logits(x, parameters)
    loss = cross_entropy(out.flatten(0, 1), y.flatten(), reduction="sum")
    grads = dict(
        zip(["x", *parameters], torch.autograd.grad(loss, [x, *parameters.values()]), strict=True)
    )
    for member in range(3):
        module, records = plain(parameters, member), x[member].detach().requires_grad_()
        theirs = module(records)
        torch.testing.assert_close(out[member], theirs, rtol=1e-6, atol=1e-6)
        cross_entropy(theirs, y[member], reduction="sum").backward()
        torch.testing.assert_close(grads["x"][member], records.grad, rtol=1e-5, atol=1e-6)
        for layer, part in enumerate(part for part in module if isinstance(part, nn.Linear)):
            torch.testing.assert_close(
                grads[f"weight{layer}"][member], part.weight.grad.T, rtol=1e-5, atol=1e-6
            )
            torch.testing.assert_close(
                grads[f"bias{layer}"][member, 0], part.bias.grad, rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("hidden", SHAPES)
def test_gradients_equal_finite_differences(hidden):
    parameters = {
        name: tensor.double().requires_grad_() for name, tensor in stack(hidden, members=2).items()
    }
    x = torch.randn(
        2, 3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    ).requires_grad_()
    names = list(parameters)

    def function(x, *flat):
        return logits(x, dict(zip(names, flat, strict=True)))

    assert torch.autograd.gradcheck(function, (x, *parameters.values()))


def test_gradients_of_the_input_alone_leave_the_weights_alone():
    parameters = {name: tensor.requires_grad_() for name, tensor in stack((8,)).items()}
    x = torch.randn(3, 5, 4).requires_grad_()
    torch.autograd.grad(logits(x, parameters).sum(), x)
    assert all(tensor.grad is None for tensor in parameters.values())


def test_a_second_derivative_is_refused_rather_than_wrong():
    x = torch.randn(3, 5, 4).requires_grad_()
    first = torch.autograd.grad(logits(x, stack((8,))).square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first.sum(), x)


def test_a_members_weights_depend_on_its_own_seed_alone():
    architecture = Architecture("mlp", 4, 2, (8,))
    together, alone = (
        initialise(architecture, torch.tensor([5, 6, 7])),
        initialise(architecture, torch.tensor([6])),
    )
    for name, tensor in together.items():
        assert torch.equal(tensor[1], alone[name][0])
        assert not torch.equal(tensor[0], tensor[1])


def test_initial_weights_have_the_spread_of_a_new_nn_linear():
    weights = initialise(Architecture("mlp", 100, 2, (200,)), torch.tensor([0]))
    assert weights["weight0"].abs().max() <= 0.1
    assert weights["weight0"].std() == pytest.approx(0.1 / 3**0.5, rel=0.02)


def test_as_module_takes_clinical_records_and_returns_the_members_logits():
    models, x = population(3), records(40, seed=1).x
    for member in range(3):
        module = as_module(models.parameters, models.preprocessing, member)
        torch.testing.assert_close(
            module(x), models(x.expand(3, -1, -1))[member], rtol=1e-6, atol=1e-6
        )
        assert all(not buffer.requires_grad for buffer in module.buffers())


def test_as_module_is_a_copy_and_parameters_of_is_its_inverse():
    models = population(3)
    module = as_module(models.parameters, models.preprocessing, 1)
    back = parameters_of(module)
    assert list(back) == list(models.parameters)
    for name, tensor in back.items():
        assert torch.equal(tensor[0], models.parameters[name][1])
    before = models.parameters["weight0"].clone()
    with torch.no_grad():
        module[1].weight.zero_()
    assert torch.equal(models.parameters["weight0"], before)


def test_the_registry_builds_what_its_names_say():
    assert perceptron(8, 2, [64, 64]).widths == (8, 64, 64, 2)
    assert linear(8, 2, []).widths == (8, 2)
    assert MODELS["linear"] is linear
    with pytest.raises(BadInput, match=r"model\.hidden: a linear model has no hidden layers"):
        linear(8, 2, [3])
