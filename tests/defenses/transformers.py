"""Tiny transformers for 8 x 8 images, and whom they train on."""

import torch

import tiny
from kinds import official_split, scans
from pipeline import params
from pipeline.config import ModelConfig, TrainConfig

LIMITS = {"mutable_only": True, "plausible_range": True, "recorded_grid": True}


def configured(values):
    """The configuration of such a transformer, a few epochs."""
    small = params.parse(values, "conf")
    model = ModelConfig(name="vit", hidden=[], patch=2, width=16, heads=4, blocks=2)
    training = TrainConfig(epochs=20, batch_size=16, learning_rate=0.005, weight_decay=0.0)
    threats = {**small.threat, "pixels": tiny.threat_config(**LIMITS)}
    return small.model_copy(update={"model": model, "train": training, "threat": threats})


def setting(seed=0, n=120):
    """Images, and a plan of one model."""
    dataset = scans(n, seed=seed)
    return dataset, official_split(dataset, train=80, seeds=1).select(torch.arange(1))
