"""What a population of self-ensembles says beside its answer: votes, and how far they disagree."""

from dataclasses import replace
from typing import TypeGuard

import torch
from torch import Tensor

from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.models.image_networks import ANSWERED_AT_ONCE, ImageNetworks
from pipeline.models.self_ensemble import THRESHOLD, SelfEnsemble


def is_ensemble(population: object) -> TypeGuard[ImageNetworks]:
    """Whether its members are self-ensembles."""
    return isinstance(population, ImageNetworks) and isinstance(
        population.architecture, SelfEnsemble
    )


def voters(population: ImageNetworks, x: Tensor) -> Tensor:
    """What each voter of each member says.

    Args:
        population: M self-ensembles of V voters.
        x: images (..., M, B, C, H, W) in grey levels.

    Returns:
        (V, ..., M, B, K) log-probabilities, the transformer's first; differentiable.
    """
    architecture = population.architecture
    assert isinstance(architecture, SelfEnsemble)
    if x.dim() > 5:
        return torch.stack([voters(population, block) for block in x], 1)
    each = []
    for number, images in enumerate(x):
        center, scale = (population.preprocessing[name][number] for name in ("center", "scale"))
        member = population.member(number)
        parts = [
            architecture.said((part - center) / scale, member)
            for part in images.split(ANSWERED_AT_ONCE)
        ]
        each.append(torch.cat(parts, 1))
    return torch.stack(each, 1)


def votes(population: ImageNetworks, x: Tensor) -> Tensor:
    """(..., M, B) int64: the class that most voters say, of images (..., M, B, C, H, W)."""
    said = voters(population, x)
    return votes_of(said).argmax(-1)


def votes_of(said: Tensor) -> Tensor:
    """(..., K) int64: how many of V voters say each class, of what they say (V, ..., K)."""
    ahead = said.argmax(-1)
    return torch.nn.functional.one_hot(ahead, said.shape[-1]).sum(0)


def inconsistency(said: Tensor) -> Tensor:
    """How far voters disagree on each image: 0 = they all say the same.

    The Frobenius norm of the matrix of Kullback-Leibler divergences of all pairs (Almalik et al.
    2022, arXiv:2208.02851).

    Args:
        said: (V, ..., K) log-probabilities.

    Returns:
        (...), in nats.
    """
    p = said.exp()
    own = (p * said).sum(-1)  # (V, ...)
    crossed = torch.einsum("i...k,j...k->ij...", p, said)
    divergence: Tensor = own[:, None] - crossed
    return divergence.square().sum((0, 1)).sqrt()


def with_detector(
    population: ImageNetworks, dataset: Dataset, plan: Plan, false_alarms: float
) -> ImageNetworks:
    """The same, reporting an image on which its voters disagree more than on almost all others.

    Args:
        population: M self-ensembles.
        dataset: the images.
        plan: who trained on whom; the images set aside choose, or else those trained on, on which
            voters agree more than on others.
        false_alarms: the share of these images that may be reported, in 0 to 1.
    """
    index, valid = rectangle(plan.train if plan.tune is None else plan.tune)
    limits = []
    for number, (rows, known) in enumerate(zip(index, valid, strict=True)):
        with torch.no_grad():
            said = voters(population.select(torch.tensor([number])), dataset.x[rows[known]][None])
        found = inconsistency(said.double()).flatten()
        limits.append(found.sort(descending=True).values[int(false_alarms * len(found))])
    own = {THRESHOLD: torch.stack(limits)}
    return replace(population, parameters={**population.parameters, **own})


def trunk_of(population: ImageNetworks) -> ImageNetworks:
    """The transformers alone, which somebody attacks who does not know of the other voters."""
    architecture = population.architecture
    assert isinstance(architecture, SelfEnsemble)
    trunk = architecture.trunk
    names = [*trunk.initialise(torch.Generator())]
    own = {name: population.parameters[name] for name in names}
    return ImageNetworks(trunk, population.preprocessing, own, population.labels)


def climbed(population: ImageNetworks, kind: type[SelfEnsemble]) -> ImageNetworks:
    """The same models, answering with what an attacker climbs to turn their vote."""
    return replace(population, architecture=kind(**vars(population.architecture)))
