"""Randomised smoothing: a network learns under noise, and is asked about noisy copies."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.undefended import fit_as_configured
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.models.designs import Trained
from pipeline.models.image_networks import ImageNetworks
from pipeline.models.noisy_vote import FACTS, NAME, NOISE, NoisyVote, decision
from pipeline.models.training import Batch
from pipeline.models.vit import VisionTransformer
from pipeline.seeds import Stream, generator

Risked = Annotated[float, Field(gt=0, lt=0.5)]


def smoothed(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    sigma: Positive,
    copies: Count,
    selection: Count,
    estimation: Count,
    alpha: Risked,
) -> ImageNetworks:
    """Training under Gaussian noise, and answers from noisy copies (Cohen et al. 2019).

    arXiv:1902.02918. What is deployed, attacked and reported answers with the mean probability of a
    few copies whose noise is kept. What is certified is the majority of all copies there could be
    (`pipeline.verify.smoothing`), of which the deployed few are a sample. Of the network itself, on
    images without noise, nothing is reported.

    Args:
        dataset: the images.
        plan: who trains.
        cfg: model and training numbers.
        sigma: standard deviation of the noise, in units of `scale`.
        copies: of each image, that the deployed model is asked about.
        selection: copies that select a class when votes are counted.
        estimation: other copies that estimate its share.
        alpha: the probability that a radius does not hold, of each image.
    """
    grey = sigma * float(dataset.schema.features[0].scale)
    drawn = generator(Stream.NOISY_TRAINING, int(plan.seeds[0]))
    trained = fit_as_configured(dataset, plan, cfg, "smoothed", perturb=noisy(grey, drawn))
    assert isinstance(trained, ImageNetworks)
    assert isinstance(trained.architecture, ConvolutionalNetwork | VisionTransformer)
    noise = [
        torch.randn(copies, *dataset.x.shape[1:], generator=generator(Stream.NOISY_COPIES, seed))
        for seed in plan.seeds.tolist()
    ]
    scale = trained.preprocessing["scale"].view(-1, 1, 1, 1, 1)
    last = {
        name: value.expand(plan.size, *value.shape).contiguous()
        for name, value in decision(trained.architecture.classes).items()
    }
    counted = {"sigma": grey, "selection": selection, "estimation": estimation, "alpha": alpha}
    return replace(
        trained,
        architecture=NoisyVote(NAME, trained.architecture, copies),
        parameters={**trained.parameters, **last, NOISE: torch.stack(noise) * grey / scale},
        facts={FACTS: counted},
    )


def noisy(sigma: float, drawn: torch.Generator) -> Callable[[Trained, Batch], Tensor]:
    """A `perturb` for `fit`: every image under noise, in the unit of the images.

    The images at one place of the batch get the same noise in all members: so what happens to a
    member does not depend on how many others are trained beside it.
    """

    def perturb(population: Trained, batch: Batch) -> Tensor:
        return batch.x + sigma * torch.randn(batch.x.shape[1:], generator=drawn)

    return perturb
