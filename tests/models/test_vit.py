"""A vision transformer equals torch's own layers, and a loop over images, on the same weights."""

import pytest
import torch
from torch import nn

from pipeline.files import BadInput
from pipeline.models.vit import cut_up, transformer

TINY = transformer((1, 8, 8), 2, patch=2, width=16, heads=4, blocks=2)


def member(architecture=TINY, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    weights = architecture.initialise(drawn)
    # nothing stays at 0 or 1, where a fault would not show
    return {
        name: one + 0.3 * torch.randn(one.shape, generator=drawn) for name, one in weights.items()
    }


def images(count=5, shape=(1, 8, 8), seed=1):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


class OfTorch(nn.Module):
    """The same network out of torch's modules, one image at a time."""

    def __init__(self, architecture, weights):
        super().__init__()
        self.of, self.weights = architecture, weights

    def block(self, number, signal):
        own = {
            name.removeprefix(f"block{number}."): value
            for name, value in self.weights.items()
            if name.startswith(f"block{number}.")
        }
        width = self.of.width
        attention = nn.MultiheadAttention(width, self.of.heads, batch_first=True)
        attention.load_state_dict(
            {
                "in_proj_weight": own["attention.weight"],
                "in_proj_bias": own["attention.bias"],
                "out_proj.weight": own["together.weight"],
                "out_proj.bias": own["together.bias"],
            }
        )
        seen = normal(signal, own["norm0.weight"], own["norm0.bias"])
        signal = signal + attention(seen, seen, seen, need_weights=False)[0]
        seen = normal(signal, own["norm1.weight"], own["norm1.bias"])
        wide = seen @ own["wide.weight"].T + own["wide.bias"]
        wide = wide * 0.5 * (1 + torch.erf(wide / 2**0.5))  # GELU as its authors define it
        return signal + wide @ own["narrow.weight"].T + own["narrow.bias"]

    def forward(self, image):
        side, own = self.of.patch, self.weights
        rows, columns = self.of.grid
        tokens = [own["token"]]
        for row in range(rows):
            for column in range(columns):
                square = image[
                    :, row * side : (row + 1) * side, column * side : (column + 1) * side
                ]
                tokens.append(own["patches.weight"] @ square.reshape(-1) + own["patches.bias"])
        signal = torch.stack(tokens)[None] + own["positions"]
        for number in range(self.of.blocks):
            signal = self.block(number, signal)
        seen = normal(signal[:, 0], own["norm.weight"], own["norm.bias"])
        return (seen @ own["head.weight"].T + own["head.bias"])[0]


def normal(signal, weight, bias):
    center = signal - signal.mean(-1, keepdim=True)
    return center / (center.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


@pytest.mark.parametrize(
    "architecture", [TINY, transformer((3, 12, 8), 3, patch=4, width=12, heads=3, blocks=3)]
)
def test_it_answers_as_torchs_layers_do_one_image_at_a_time(architecture):
    weights = member(architecture)
    x = images(shape=architecture.image)
    expected = torch.stack([OfTorch(architecture, weights)(image) for image in x])
    torch.testing.assert_close(architecture.answer(x, weights), expected, rtol=1e-5, atol=1e-5)


def test_no_image_looks_at_another_one():
    x, weights = images(), member()
    alone = torch.cat([TINY.answer(image[None], weights) for image in x])
    torch.testing.assert_close(TINY.answer(x, weights), alone, rtol=1e-5, atol=1e-6)


def test_without_positions_patches_may_change_places_with_them_they_may_not():
    x, weights = images(), member()
    turned = x.flip(-1).unfold(3, 2, 2).flip(-1).flatten(3)  # columns of patches, other way round
    with_places = (TINY.answer(x, weights) - TINY.answer(turned, weights)).abs().max()
    weights["positions"] = torch.zeros_like(weights["positions"])
    without = (TINY.answer(x, weights) - TINY.answer(turned, weights)).abs().max()
    assert without < 1e-5 < 1e-2 < with_places


def test_patches_come_row_by_row_as_a_convolution_sees_them():
    x = images(shape=(3, 8, 8))
    weight = torch.randn(7, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    expected = torch.nn.functional.conv2d(x, weight, stride=4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(cut_up(x, 4) @ weight.flatten(1).T, expected, rtol=1e-4, atol=1e-4)


def test_it_is_as_large_as_its_shape_says():
    usual = transformer((1, 28, 28), 2, patch=7, width=64, heads=4, blocks=6)
    weights = usual.initialise(torch.Generator().manual_seed(0))
    assert sum(one.numel() for one in weights.values()) == 205_442
    assert weights["positions"].shape == (17, 64)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch": 3}, "model.patch: 3 pixels do not fill 8 x 8; take one of 1, 2, 4, 8"),
        ({"patch": 0}, "model.patch: a vit needs it, a whole number from 1 up"),
        ({"heads": 3}, "model.heads: 3 heads cannot share a width of 16 evenly"),
        ({"blocks": 0}, "model.blocks: a vit needs it, a whole number from 1 up"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(changes, said):
    numbers = {"patch": 2, "width": 16, "heads": 4, "blocks": 2, **changes}
    with pytest.raises(BadInput, match=f"^{said}$"):
        transformer((1, 8, 8), 2, **numbers)
