"""What networks and their updates give away of images, as data."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.reconstruction import Update, class_image, correlation, image_behind
from pipeline.config import Config
from pipeline.data.halves import learned_from
from pipeline.data.schema import Dataset
from pipeline.defenses.budget import PrivacyBudget, calibrate
from pipeline.files import NotApplicable
from pipeline.models.population import ImageNetworks, Population
from pipeline.risks.inversion.measure.settings import InversionSettings
from pipeline.seeds import Stream, generator

FILE = "images.safetensors"
ILL = 1
PRIVATE = "dp_train"  # the recipe whose clipping and noise are put on an update


@dataclass(frozen=True)
class Reconstruction:
    """What is reported of one recipe; every figure is a function of it.

    V victims, T images of each, images (C, H, W).

    Attributes:
        typical: (V, *event) float32, what each victim finds most typical of disease.
        similar: each (V,) float64, correlations of that image: `to_class_mean`, with the mean of
            the ill whom the victim trained on; `public_to_class_mean`, of `public`, which needs
            no model, with it; `to_nearest_member` and `to_nearest_non_member`, with the most
            similar image that it trained on, and of equally many others.
        index: (V, T) int64, training images whose updates were inverted.
        rebuilt: by kind of update, `plain` or `private`, (V, T, *event) float32.
        public: (V, *event) float32, the control: the mean of all who are no members, of those whom
            the recipe learns from.
        member: (V, N) bool, who trained each victim.
        noise: (2,) float64: noise multiplier and largest norm of the private update; NaN = none.
    """

    typical: Tensor
    similar: dict[str, Tensor]
    index: Tensor
    rebuilt: dict[str, Tensor]
    public: Tensor
    member: Tensor
    noise: Tensor

    def save(self, folder: Path) -> None:
        """Writes `images.safetensors` into a new folder."""
        folder.mkdir(parents=True)
        write_artifact(folder / FILE, self)

    @classmethod
    def load(cls, folder: Path) -> "Reconstruction":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro` to make it"
        return read_artifact(folder / FILE, cls, what="images read off networks", advice=advice)


def reconstruct_images(
    population: Population, member: Tensor, dataset: Dataset, cfg: Config
) -> Reconstruction:
    """Asks the first `victims` networks for the typical ill image, and inverts single updates.

    Args:
        population: the networks; `member` (M, N) says who trained each.
        member: bool.
        dataset: the N images; under an official split those beside its training images are no
            control, as they may differ from them as such.
        cfg: how many victims, and images of each; the noise of the private recipe; the plan.

    Raises:
        NotApplicable: they are no networks of images.
    """
    if not isinstance(population, ImageNetworks):
        raise NotApplicable("images are read off networks that can be differentiated alone")
    numbers = cfg.section(InversionSettings)
    first = torch.arange(population.size) < numbers.victims
    victims, member = population.select(first), member[first]
    typical = class_image(victims, dataset.schema, ILL)
    others = learned_from(dataset, cfg.plan) & ~member
    public = torch.stack([dataset.x[rows].double().mean(0) for rows in others])
    drawn = generator(Stream.UPDATES, cfg.seed)
    index = torch.stack([_some(own, numbers.images, drawn) for own in member])
    noise = private_noise(cfg)
    rebuilt: dict[str, list[Tensor]] = {}
    for victim, chosen in enumerate(index.tolist()):
        for one in chosen:
            update = Update.of(victims, victim, dataset.x[one], dataset.y[one])
            kinds = {"plain": update}
            if not noise.isnan().any():
                sigma, norm = noise.tolist()
                kinds["private"] = update.private(norm, sigma, drawn)
            for kind, sent in kinds.items():
                found = image_behind(victims, victim, sent, dataset.schema)
                rebuilt.setdefault(kind, []).append(found.float())
    event = dataset.x.shape[1:]
    return Reconstruction(
        typical.float(),
        _similar(typical, public, member, others, dataset),
        index,
        {kind: torch.stack(found).view(*index.shape, *event) for kind, found in rebuilt.items()},
        public.float(),
        member,
        noise,
    )


def private_noise(cfg: Config) -> Tensor:
    """(2,): noise multiplier and largest norm of the private recipe; NaN = it is not configured."""
    options = cfg.defenses.get(PRIVATE)
    if options is None:
        return torch.full((2,), torch.nan, dtype=torch.float64)
    spent = (options[name] for name in ("epsilon", "delta", "sample_rate", "steps"))
    claim = calibrate(PrivacyBudget(*spent), PRIVATE)
    return torch.tensor([claim["noise_multiplier"], options["max_grad_norm"]], dtype=torch.float64)


def _some(own: Tensor, count: int, drawn: torch.Generator) -> Tensor:
    rows = own.nonzero()[:, 0]
    return rows[torch.randperm(len(rows), generator=drawn)[:count]]


def _similar(
    typical: Tensor, public: Tensor, member: Tensor, others: Tensor, dataset: Dataset
) -> dict[str, Tensor]:
    found: dict[str, list[Tensor]] = {}
    for image, mean, own, other in zip(typical, public, member, others, strict=True):
        of_class = dataset.x[own & (dataset.y == ILL)].double().mean(0)
        each = correlation(image, dataset.x)
        sides = [each[own], each[other]]
        few = min(map(len, sides))  # the most similar of more is more similar
        for name, value in (
            ("to_class_mean", correlation(image, of_class)),
            ("public_to_class_mean", correlation(mean, of_class)),
            ("to_nearest_member", sides[0][:few].amax()),
            ("to_nearest_non_member", sides[1][:few].amax()),
        ):
            found.setdefault(name, []).append(value)
    return {name: torch.stack(values) for name, values in found.items()}
