"""Small convolutional networks, and every image within reach of one, to hold proofs against."""

import torch

from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from pipeline.models.cnn import convolutional
from pipeline.models.image_networks import ImageNetworks, initialise
from pipeline.models.mlp import Architecture
from pipeline.models.networks import Networks
from pipeline.verify.convolution import Convolutions
from tiny import feature

LEVELS = 16.0
GAIN = 2.5  # weights as drawn hardly bend
PLACES = ((1, 1), (2, 3), (3, 2), (4, 4), (2, 2))  # of the pixels that may be changed


def networks(image=(1, 6, 6), channels=(3,), hidden=(4,), *, seed=0, gain=GAIN):
    """One drawn network as a population."""
    design = convolutional(image, 2, channels, hidden)
    drawn = initialise(design, torch.tensor([seed]))
    weights = {
        name: value * (gain if name.endswith("weight") else 0.5) for name, value in drawn.items()
    }
    constants = {"center": torch.tensor([LEVELS / 2]), "scale": torch.tensor([LEVELS / 4])}
    return ImageNetworks(design, constants, weights, ("drawn",))


def schema(image=(1, 6, 6)):
    """Grey levels of 16."""
    pixel = feature(0.0, LEVELS, 1.0, True, LEVELS / 2, 1.0)
    return Schema(("pixel",), (pixel,), "diagnosis", ("healthy", "ill"), image)


def pixels(image=(1, 6, 6), places=PLACES, goal="any"):
    """A threat that changes these pixels alone; all where there are none."""
    mutable = torch.zeros(image, dtype=torch.bool)
    for row, column in places:
        mutable[:, row, column] = True
    full = torch.full(image, 1.0, dtype=torch.float64)
    return Threat(
        mutable=mutable if places else ~mutable,
        lower=0 * full,
        upper=LEVELS * full,
        step=full,
        scale=full,
        goal=goal,
    )


def images(count, population, image=(1, 6, 6), seed=0):
    """Drawn images, and what the first member calls them."""
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randint(0, int(LEVELS) + 1, (count, *image), generator=drawn).float()
    y = (population(x[None])[0].argmax(-1)).long()
    return x, y


def reachable(x, threat, eps):
    """Every image (K, C, H, W) within reach of one (C, H, W)."""
    low, high = threat.box(x[None], eps)
    return between(low[0], high[0])


def between(low, high):
    """Every image of whole grey levels between two corners (C, H, W)."""
    free = (low < high).nonzero()
    if not len(free):
        return low.float()[None]
    values = [torch.arange(low[tuple(at)], high[tuple(at)] + 1) for at in free]
    every = torch.cartesian_prod(*values).float().view(-1, len(free))
    found = low.float().expand(len(every), -1, -1, -1).clone()
    for column, at in enumerate(free.tolist()):
        found[(slice(None), *at)] = every[:, column]
    return found


def least(population, x, y, threat, eps):
    """(B,) the least margin that any image within reach leaves: each one is asked."""
    model = Convolutions.of(population, 0)
    return torch.stack(
        [
            model.margin(every, label.expand(len(every))).min()
            for image, label in zip(x, y, strict=True)
            for every in [reachable(image, threat, eps)]
        ]
    )


def unrolled(model):
    """The same network as a stack of linear layers of standardised pixels."""
    weights = {}
    for number, (layer, shape) in enumerate(zip(model.layers, model.shapes, strict=False)):
        size = shape.numel()
        start = torch.zeros(1, *shape, dtype=torch.float64)
        offset = layer(start).flatten()
        single = torch.eye(size, dtype=torch.float64).unflatten(1, shape)
        weights[f"weight{number}"] = (layer(single).flatten(1) - offset)[None]
        weights[f"bias{number}"] = offset[None, None]
    sizes = [shape.numel() for shape in model.shapes]
    design = Architecture("mlp", sizes[0], sizes[-1], tuple(sizes[1:-1]))
    ones = torch.ones(1, sizes[0])
    constants = {"impute": 0 * ones, "center": 0 * ones, "scale": ones}
    return Networks(design, constants, weights, ("unrolled",))
