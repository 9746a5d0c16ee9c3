"""Images behind updates and classes: exact where a closed form is, found where none is."""

import pytest
import torch

import kinds
from pipeline.attacks.reconstruction import (
    Update,
    class_image,
    correlation,
    image_behind,
    inputs_of_linear,
)
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.models.image_networks import ImageNetworks, initialise, range_constants

SCANS = kinds.scans(12, seed=0)
CNN = ConvolutionalNetwork("cnn", (1, 8, 8), 2, (8,), (16,))
LINEAR = ConvolutionalNetwork("cnn", (1, 8, 8), 2, (), ())


def networks(architecture, members=1):
    constants = range_constants(kinds.SCANS, members)
    weights = initialise(architecture, torch.arange(members))
    return ImageNetworks(architecture, constants, weights, tuple(map(str, range(members))))


def test_what_a_linear_layer_received_is_read_off_its_gradient():
    models, x = networks(LINEAR), SCANS.x[0]
    update = Update.of(models, 0, x, SCANS.y[0])
    found = inputs_of_linear(update.gradient["linear0.weight"], update.gradient["linear0.bias"])
    center, scale = (models.preprocessing[name][0].double() for name in ("center", "scale"))
    torch.testing.assert_close((found * scale + center).view(1, 8, 8), x.double())


@pytest.mark.parametrize("label", [0, 1])
def test_the_label_is_read_off_the_update(label):
    update = Update.of(networks(CNN), 0, SCANS.x[0], torch.tensor(label))
    assert update.label(CNN.last) == label


@pytest.mark.slow
def test_the_image_behind_an_update_is_found_and_behind_noise_it_is_not():
    models, drawn = networks(CNN), torch.Generator().manual_seed(0)
    for place in range(3):
        x = SCANS.x[place]
        update = Update.of(models, 0, x, SCANS.y[place])
        found = image_behind(models, 0, update, kinds.SCANS)
        assert correlation(found, x) > 0.9
        assert (found >= 0).all()
        assert (found <= kinds.LEVELS).all()
        noisy = update.private(1.0, 5.0, drawn)
        assert correlation(image_behind(models, 0, noisy, kinds.SCANS), x) < 0.6


def test_a_private_update_is_no_longer_than_its_clip_but_for_the_noise():
    update = Update.of(networks(CNN), 0, SCANS.x[0], SCANS.y[0])
    drawn = torch.Generator().manual_seed(0)

    def length(one):
        return torch.cat([part.flatten() for part in one.gradient.values()]).norm()

    whole = float(length(update))
    clipped = update.private(whole / 3, 0.0, drawn)
    assert float(length(clipped)) == pytest.approx(whole / 3)
    kept = update.private(3 * whole, 0.0, drawn)
    assert all(torch.equal(kept.gradient[name], update.gradient[name]) for name in kept.gradient)
    noise = update.private(1e-9, 1e9, drawn)  # of deviation 1, and nothing else
    values = torch.cat([part.flatten() for part in noise.gradient.values()])
    assert float(values.std()) == pytest.approx(1, abs=4 / (2 * len(values)) ** 0.5)


def test_the_class_image_of_a_linear_network_is_at_the_corner_that_its_weights_point_to():
    models = networks(LINEAR, members=2)
    found = class_image(models, kinds.SCANS, 1, steps=400)
    weight = models.parameters["linear0.weight"].double()
    slope = (weight[:, 1] - weight[:, 0]).view(2, 1, 8, 8)
    clear = slope.abs() > 0.1 * slope.abs().amax()
    corner = torch.where(slope > 0, float(kinds.LEVELS), 0.0)
    assert torch.equal(found[clear], corner[clear].double())
    other = class_image(models, kinds.SCANS, 0, steps=400)
    torch.testing.assert_close(found + other, torch.full_like(found, kinds.LEVELS))


def test_correlation_is_pearsons():
    one, other = torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8)
    for place in range(3):
        both = torch.stack([one[place].flatten(), other[place].flatten()]).double()
        torch.testing.assert_close(correlation(one, other)[place], torch.corrcoef(both)[0, 1])
    assert correlation(torch.ones(1, 8, 8), other[0]) == 0
