"""Convolutional networks: shapes, weights, and answers against the textbook."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from pipeline.files import BadInput
from pipeline.models import cnn
from pipeline.models.cnn import convolutional, convolved

SHAPES = [((1, 28, 28), [16, 32], [48]), ((3, 8, 8), [4], []), ((1, 9, 11), [4, 6, 8], [5, 7])]


def as_module(network, member):
    """The same network of torch's own layers."""
    parts = []
    for layer in network.layers(member):
        weight = layer.weight
        if layer.stride:
            one = nn.Conv2d(weight.shape[1], weight.shape[0], 4, stride=2, padding=1)
        else:
            parts += [] if any(isinstance(p, nn.Flatten) for p in parts) else [nn.Flatten()]
            one = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            one.weight.copy_(weight)
            one.bias.copy_(layer.bias)
        parts += [one, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def drawn(network, seed=0):
    return network.initialise(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("image", "channels", "hidden"), SHAPES)
def test_answers_are_those_of_torchs_own_layers(image, channels, hidden):
    network = convolutional(image, 2, channels, hidden)
    member = drawn(network)
    z = torch.randn(5, *image, generator=torch.Generator().manual_seed(1))
    expected = as_module(network, member)(z)
    torch.testing.assert_close(network.answer(z, member), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("image", "channels", "hidden"), SHAPES)
def test_gradients_are_those_of_torchs_own_layers(image, channels, hidden):
    network = convolutional(image, 2, channels, hidden)
    member = {name: value.requires_grad_() for name, value in drawn(network).items()}
    module = as_module(network, member)
    z = torch.randn(5, *image, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def gradients(logits, parameters):
        return torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), [z, *parameters])

    got = gradients(network.answer(z, member), member.values())
    expected = gradients(module(z), module.parameters())
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


CONVOLVED = [(8, 1, 28, 28, 4), (6, 3, 9, 11, 5), (5, 7, 4, 7, 2)]  # records, C, H, W, O


def drawn_for(records, inputs, height, width, outputs):
    """Images, weights and biases of three members, in double precision."""
    source = torch.Generator().manual_seed(0)
    shapes = [(records, inputs, height, width), (outputs, inputs, 4, 4), (outputs,)]
    return [torch.randn(3, *one, generator=source).double().requires_grad_() for one in shapes]


def all_at_once(x, weight, bias):
    return convolved(x.permute(0, 1, 3, 4, 2), weight, bias).permute(0, 1, 4, 2, 3)


@pytest.mark.parametrize("shape", CONVOLVED)
def test_convolutions_of_all_members_are_torchs_of_each(shape):
    given = drawn_for(*shape)
    expected = torch.stack([conv2d(*one, stride=2, padding=1) for one in zip(*given, strict=True)])
    found = all_at_once(*given)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    towards = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).double()
    for one, other in zip(
        torch.autograd.grad(found, given, towards),
        torch.autograd.grad(expected, given, towards),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_their_gradients_are_the_slopes_and_so_are_those_of_their_gradients():
    given = drawn_for(2, 1, 4, 5, 1)
    assert torch.autograd.gradcheck(all_at_once, given)
    assert torch.autograd.gradgradcheck(all_at_once, given)


@pytest.mark.parametrize(("image", "channels", "hidden"), SHAPES)
def test_all_members_at_once_answer_as_each_does(image, channels, hidden):
    network = convolutional(image, 2, channels, hidden)
    members = [drawn(network, seed) for seed in range(3)]
    z = torch.randn(3, 6, *image, generator=torch.Generator().manual_seed(1))
    stacked = {name: torch.stack([one[name] for one in members]) for name in members[0]}
    expected = torch.stack([network.answer(*one) for one in zip(z, members, strict=True)])
    torch.testing.assert_close(network.answers(z, stacked), expected, rtol=1e-5, atol=1e-6)


def test_gradients_at_a_convolution_lie_in_the_order_of_what_it_puts_out(monkeypatch):
    """Else ReLU's gradient runs over two orders at once, many times slower."""
    before, after = [], []

    def watched(gradient):
        before.append(gradient.is_contiguous(memory_format=torch.channels_last))
        after.append(ordered(gradient))
        return after[-1]

    ordered = cnn.channels_last
    monkeypatch.setattr(cnn, "channels_last", watched)
    monkeypatch.setattr(cnn, "FEW", 0)
    network = convolutional((1, 8, 8), 2, [4, 6], [5])
    member = {name: value.requires_grad_() for name, value in drawn(network).items()}
    network.answer(torch.randn(3, 1, 8, 8), member).sum().backward()
    assert not all(before), "nothing to put in order"
    assert [one.is_contiguous(memory_format=torch.channels_last) for one in after] == [True, True]


def test_the_default_network_has_84_thousand_weights():
    network = convolutional((1, 28, 28), 2, [16, 32], [48])
    assert sum(value.numel() for value in drawn(network).values()) == 83_906


def test_weights_are_a_function_of_the_seed():
    network = convolutional((1, 8, 8), 2, [4], [3])
    one, same, other = (drawn(network, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert all(not torch.equal(one[name], other[name]) for name in one)
    assert all(
        value.abs().max() <= value[0].numel() ** -0.5
        for name, value in one.items()
        if name.endswith("weight")
    )


def test_the_last_layer_is_named():
    network = convolutional((1, 8, 8), 2, [4], [3, 5])
    assert drawn(network)[f"{network.last}.weight"].shape == (2, 5)
    assert drawn(network)[f"{network.last}.bias"].shape == (2,)


def test_more_halvings_than_there_are_pixels_are_refused():
    with pytest.raises(BadInput, match=r"model.channels: 4 convolutions halve 8 pixels away; at m"):
        convolutional((1, 8, 8), 2, [2, 2, 2, 2], [])
    with pytest.raises(BadInput, match=r"model.channels: a cnn has at least one convolution"):
        convolutional((1, 8, 8), 2, [], [3])
