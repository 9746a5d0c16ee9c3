"""What models tell about a patient's measurement and about a typical patient, as data."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.inversion import attribute_inference, by_side
from pipeline.attacks.typical import compare_with_people, typical_record
from pipeline.config import Config
from pipeline.data.schema import Dataset
from pipeline.files import NotApplicable
from pipeline.models.population import Networks, Population
from pipeline.risks.inversion.measure.settings import InversionSettings
from pipeline.seeds import Stream, generator

FILE = "guesses.safetensors"
ILL = 1
STEPS, LEARNING_RATE = 200, 1.0  # of the ascent to the typical record; a step too long is halved


@dataclass(frozen=True)
class Question:
    """Who guesses what: see `pipeline.attacks.inversion.Guess`."""

    attribute: str
    diagnosis: bool
    access: str
    attacker: str


@dataclass(frozen=True)
class Inversion:
    """What is reported of one recipe; every figure is a function of it.

    G questions, N patients, V victims, D features.

    Attributes:
        questions: G.
        alone: (G, 2, N) float32, mean absolute error of the guess without a model, in units of the
            feature's scale: over the victims that were trained on the patient, and over the others;
            NaN = nothing to guess.
        aided: (G, 2, N) float32, the same with the victim's answers.
        typical: (V, D) float64, the record that each victim finds most typical of disease, in
            clinical units; NaN where no gradient leads to it.
        distances: each (V,) float64, of `pipeline.attacks.inversion.compare_with_people`.
    """

    questions: tuple[Question, ...]
    alone: Tensor
    aided: Tensor
    typical: Tensor
    distances: dict[str, Tensor]

    def save(self, folder: Path) -> None:
        """Writes `guesses.safetensors` into a new folder."""
        folder.mkdir(parents=True)
        write_artifact(folder / FILE, self)

    @classmethod
    def load(cls, folder: Path) -> "Inversion":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro` to make it"
        return read_artifact(folder / FILE, cls, what="guesses of measurements", advice=advice)


def guess_measurements(
    population: Population, member: Tensor, dataset: Dataset, cfg: Config
) -> Inversion:
    """Asks the first `victims` models for every private measurement, and for the typical patient.

    Args:
        population: the models; `member` (M, N) says who trained each.
        member: bool.
        dataset: the N patients.
        cfg: how many victims and candidates.
    """
    if dataset.schema.image:
        raise NotApplicable("an image holds no measurement that is missing and could be guessed")
    first = torch.arange(population.size) < cfg.section(InversionSettings).victims
    victims, member = population.select(first), member[first]
    private = [
        name
        for name, feature in zip(dataset.schema.names, dataset.schema.features, strict=True)
        if feature.private
    ]
    guesses = attribute_inference(
        victims,
        dataset,
        member,
        private,
        candidates=cfg.section(InversionSettings).candidates,
        generator=generator(Stream.INVERSION_HALVES, cfg.seed),
    )
    # question x (alone, aided) x (members, others) x patient
    errors = torch.zeros(len(guesses), 2, 2, len(dataset.y))
    for row, guess in enumerate(guesses):
        errors[row] = torch.stack(
            [by_side(guess.imputation, member), by_side(guess.model, member)]
        ).float()
    questions = tuple(
        Question(guess.attribute, guess.diagnosis, guess.access, guess.attacker)
        for guess in guesses
    )
    typical, distances = torch.full((victims.size, dataset.x.shape[1]), torch.nan), {}
    if isinstance(victims, Networks):
        typical = typical_record(
            victims, dataset.schema, ILL, steps=STEPS, learning_rate=LEARNING_RATE
        )
        distances = compare_with_people(typical, dataset, member, ILL)
    return Inversion(
        questions, errors[:, 0].contiguous(), errors[:, 1].contiguous(), typical, distances
    )
