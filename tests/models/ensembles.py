"""Small self-ensembles for 8 x 8 images of 16 grey levels, untrained."""

import torch

from kinds import SCANS
from pipeline.models.image_networks import ImageNetworks, initialise, range_constants
from pipeline.models.self_ensemble import SelfEnsemble
from pipeline.models.vit import transformer

TRUNK = transformer((1, 8, 8), 2, patch=2, width=16, heads=4, blocks=2)
SMALL = SelfEnsemble.on(TRUNK, 2, [8], [6])


def untrained(members=2, seed=0, architecture=SMALL) -> ImageNetworks:
    """Members whose voters disagree on many images, and whose weights are nowhere 0 or 1."""
    parameters = initialise(architecture, torch.arange(members) + seed)
    drawn = torch.Generator().manual_seed(seed)
    for name, value in parameters.items():
        if not name.startswith(("decision", "detector")):
            parameters[name] = value + 0.3 * torch.randn(value.shape, generator=drawn)
    labels = tuple(f"seed{number}" for number in range(members))
    return ImageNetworks(architecture, range_constants(SCANS, members), parameters, labels)
