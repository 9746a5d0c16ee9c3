"""The votes of noisy copies of each patient's image, by a model that did not train on it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.image_networks import ImageNetworks
from pipeline.models.noisy_vote import FACTS, NoisyVote
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Population
from pipeline.seeds import Stream, generator
from pipeline.verify.smoothing import voted

SMOOTHING = "smoothing.safetensors"


@dataclass(frozen=True)
class Smoothing:
    """Counted votes: S repetitions x N patients.

    Attributes:
        sigma: standard deviation of the noise, in grey levels.
        draws: copies that estimate the share of the selected class.
        alpha: the probability that a radius does not hold, of each image.
        values: pixels of an image.
        y: (N,) int64, class indices.
        selected: (S, N) int64, the class that is certified, if any is.
        hits: (S, N) int64, votes for it.
    """

    sigma: float
    draws: int
    alpha: float
    values: int
    y: Tensor
    selected: Tensor
    hits: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Smoothing":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro` to make it"
        return read_artifact(path, cls, what="votes of noisy copies", advice=advice)


def count_votes(
    population: Population, dataset: Dataset, plan: Plan, cfg: Config, block: int | None = None
) -> Smoothing | None:
    """Counts the votes of noisy copies; nothing of a population that is not asked about such.

    Args:
        population: M models.
        dataset: the images.
        plan: who trained on whom.
        cfg: its seed is that of the noise.
        block: which one of a larger cohort these are; None = these are all.
    """
    if not isinstance(population, ImageNetworks) or FACTS not in population.facts:
        return None
    settings = population.facts[FACTS]
    sigma, draws = float(settings["sigma"]), int(settings["estimation"])
    scored, own = plan.scored(), () if block is None else (block,)
    models, plan = population.select(scored), plan.select(scored)
    index, valid = plan.held_out_index()
    ballots = [
        voted(
            verdict_of(models, number),
            dataset.x[rows],
            sigma=sigma,
            selection=int(settings["selection"]),
            estimation=draws,
            generator=generator(Stream.SMOOTHING, cfg.seed, number, *own),
        )
        for number, rows in enumerate(index)
    ]
    folds = OutOfFold(plan, [0.0])
    selected, hits = (
        folds.scatter(torch.stack(each)[None], index, valid)[0]
        for each in ([one.selected for one in ballots], [one.hits for one in ballots])
    )
    values, y = dataset.x[0].numel(), dataset.y[folds.patients]
    return Smoothing(sigma, draws, float(settings["alpha"]), values, y, selected, hits)


def verdict_of(population: ImageNetworks, number: int) -> Callable[[Tensor], Tensor]:
    """What one member says of single copies: images (n, C, H, W) to (n,) bool, called ill.

    Without its own noise. The line is drawn at the probability at which the model calls ill.
    """
    architecture, member = population.architecture, population.member(number)
    assert isinstance(architecture, NoisyVote)
    center, scale = (population.preprocessing[name][number] for name in ("center", "scale"))
    slope, offset = member["decision.weight"][1, 1], member["decision.bias"]
    line = (offset[0] - offset[1]) / slope

    def called_ill(x: Tensor) -> Tensor:
        logits = architecture.base.answer((x - center) / scale, member)
        return logits[:, 1] - logits[:, 0] > line

    return called_ill
