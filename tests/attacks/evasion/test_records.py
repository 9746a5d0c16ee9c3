"""Images become records of their pixels and come back; radii follow."""

from dataclasses import replace

import pytest
import torch

from pipeline.attacks.evasion.records import corners, largest_radius, on_records
from tiny import CLINICAL, same_bits

NAMES = ("mutable", "lower", "upper", "step", "scale")
IMAGE = replace(CLINICAL, **{name: getattr(CLINICAL, name).view(1, 5, 1) for name in NAMES})


@on_records("linf")
def spy(logits_fn, x, y, threat, *, eps, seen):
    """Records what an attack is given; returns records of another value."""
    seen.update(x=x, threat=threat, eps=eps, logits=logits_fn(x))
    return x + 1


def model(images):
    return images.sum((-3, -1))[..., :2]


@pytest.mark.parametrize(
    "shape", [None, (), (3, 1, 1, 1, 1, 1), (2, 4, 1, 1, 1), (3, 2, 4, 1, 1, 1), (1, 1)], ids=str
)
def test_an_attack_sees_records_and_its_caller_images(shape):
    x, seen = torch.rand(2, 4, 1, 5, 1, generator=torch.Generator().manual_seed(0)), {}
    eps = 0.5 if shape is None else torch.rand(shape, generator=torch.Generator().manual_seed(1))
    x_adv = spy(model, x, torch.zeros(2, 4), IMAGE, eps=eps, seen=seen)
    assert same_bits(x_adv, x + 1)
    assert same_bits(seen["x"], x.flatten(-3))
    assert all(
        torch.equal(getattr(seen["threat"], name), getattr(CLINICAL, name)) for name in NAMES
    )
    assert torch.equal(seen["logits"], model(x))
    assert torch.equal((seen["eps"] * x.flatten(-3)).unflatten(-1, (1, 5, 1)), eps * x)


def test_records_pass_through_untouched():
    x, seen, eps = torch.ones(2, 4, 5), {}, torch.ones(3, 1, 1, 1)
    spy(lambda records: records[..., :2], x, torch.zeros(2, 4), CLINICAL, eps=eps, seen=seen)
    assert seen["x"] is x
    assert seen["threat"] is CLINICAL
    assert seen["eps"] is eps


def test_an_ordinary_network_is_given_one_batch():
    shapes = []

    class Network(torch.nn.Module):
        def forward(self, images):
            shapes.append(images.shape)
            return images.flatten(1)[:, :3]

    seen = {}
    spy(Network(), torch.ones(2, 4, 1, 5, 1), torch.zeros(2, 4), IMAGE, eps=0.5, seen=seen)
    spy(Network(), torch.ones(7, 2, 4, 5), torch.zeros(2, 4), CLINICAL, eps=0.5, seen=seen)
    assert shapes == [(8, 1, 5, 1), (56, 5)]
    assert seen["logits"].shape == (7, 2, 4, 3)


def test_the_largest_radius_of_each_record():
    x = torch.ones(2, 4, 5)
    grid, each = torch.tensor([0.1, 0.5, 0.3])[:, None, None, None], torch.arange(8.0).view(2, 4, 1)
    assert largest_radius(0.3, x) == 0.3
    assert largest_radius(each, x) is each
    assert largest_radius(grid, x).shape == (1, 1, 1)
    assert largest_radius(grid, x).item() == 0.5
    torch.testing.assert_close(largest_radius(grid * each, x), 0.5 * each)
    torch.testing.assert_close(
        largest_radius((grid * each)[None].expand(6, -1, -1, -1, -1), x), 0.5 * each
    )


def test_corners_are_those_of_the_box_in_the_precision_of_the_records():
    x = torch.tensor([[148.0, 33.6, 5.25, 0.627, 50.0]])
    for corner, exact in zip(corners(CLINICAL, x, 0.3), CLINICAL.box(x, 0.3), strict=True):
        assert same_bits(corner, exact.float())
