"""Small votes of noisy copies for 8 x 8 images of 16 grey levels, untrained."""

import torch

from kinds import SCANS, SIDE
from pipeline.models.cnn import convolutional
from pipeline.models.image_networks import ImageNetworks, initialise, range_constants
from pipeline.models.noisy_vote import NAME, NoisyVote
from pipeline.models.vit import transformer

IMAGE = (1, SIDE, SIDE)
BASES = {
    "cnn": convolutional(IMAGE, 2, [4], [6]),
    "vit": transformer(IMAGE, 2, patch=2, width=8, heads=2, blocks=1),
}


def votes(base, members=2, copies=3) -> ImageNetworks:
    design = NoisyVote(NAME, BASES[base], copies)
    parameters = initialise(design, torch.arange(members))
    labels = tuple(f"seed{number}" for number in range(members))
    return ImageNetworks(design, range_constants(SCANS, members), parameters, labels)
