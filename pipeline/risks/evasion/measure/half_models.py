"""What models of random halves answer, unchanged and under attack: how much a training matters."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.evasion.gradient import pgd
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.files import NotApplicable
from pipeline.models.answers import margin
from pipeline.models.population import Population
from pipeline.risks.evasion.measure.subject import UNSEEN, Trial
from pipeline.seeds import Stream
from pipeline.seeds import generator as generator_of

HALF_MODELS = "half_models.safetensors"  # in the folder of what was measured of a defense
STEPS, STEP_SIZE = 10, 0.25  # of PGD; 5, 10 and 20 steps leave shares within 0.001 of each other
AT_ONCE = 2**18  # records of all models together that are attacked beside each other


@dataclass(frozen=True)
class HalfModels:
    """Answers of one recipe's half models.

    Attributes:
        eps: (E,) float32 radii, the first of them 0.
        train: (M, N) bool; equal rows are trainings on one half with other seeds.
        margins: (E, M, N) float32, of the true class: unchanged for everybody, under attack for
            those a model holds out, not a number for the others.
    """

    eps: Tensor
    train: Tensor
    margins: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "HalfModels":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        what, advice = "answers of half models", "run `dvc repro` to make it"
        return read_artifact(path, cls, what=what, advice=advice)


def answers_at_headline(
    population: Population, dataset: Dataset, plan: Plan, cfg: Config
) -> HalfModels:
    """`answers_of_halves` at the headline radius of the headline threat.

    Models are only asked where they give scores alone, and where PGD is no attack under the threat.
    """
    trial = Trial.of(cfg.audit.headline, dataset, cfg)
    eps = cfg.headline_radius
    attacked = eps > 0 and population.gradients and trial.threat.norm != "l0"
    return answers_of_halves(
        population,
        dataset,
        plan,
        trial.threat,
        [eps] if attacked else [],
        generator=generator_of(Stream.EVASION_OF_HALVES, cfg.seed),
    )


@torch.no_grad()
def answers_of_halves(
    population: Population,
    dataset: Dataset,
    plan: Plan,
    threat: Threat,
    radii: Sequence[float],
    *,
    generator: torch.Generator,
) -> HalfModels:
    """Asks every half model about everybody, and attacks it with PGD on those it did not see.

    Args:
        population: of `plan`, one model a row.
        dataset: the records.
        plan: random halves, some of them with a second seed (`Plan.with_second_seeds`).
        threat: what an attacker may change.
        radii: above 0, rising; none asks for no attack. Whom the threat's goal spares keeps the
            margin of the unchanged record.
        generator: of the attack.

    Raises:
        NotApplicable: radii are asked for, and the models give scores alone.
    """
    if radii and not population.gradients:
        raise NotApplicable(UNSEEN)
    x, y = dataset.x, dataset.y
    clean = margin(population(x.expand(plan.size, *x.shape)), y)
    margins = clean.new_full((1 + len(radii), *clean.shape), torch.nan)
    margins[0] = clean
    index, valid = plan.held_out_index()
    rows = torch.arange(plan.size)[:, None].expand(index.shape)
    spared = ~threat.attackable(y[index])
    for at, eps in enumerate(radii, start=1):
        left = torch.cat(
            [
                _left_by_pgd(population, x[some], y[some], threat, eps, generator)
                for some in index.split(max(1, AT_ONCE // plan.size), 1)
            ],
            1,
        )
        left[spared] = clean[rows, index][spared]
        margins[at, rows[valid], index[valid]] = left[valid]
        # what breaks at a smaller radius breaks at a larger one
        margins[at] = torch.minimum(margins[at], margins[at - 1])
    return HalfModels(torch.tensor([0.0, *radii]), plan.train, margins.float())


def _left_by_pgd(
    population: Population,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    eps: float,
    generator: torch.Generator,
) -> Tensor:
    """Margins (M, B) that PGD leaves of records (M, B, D)."""
    found = pgd(
        population, x, y, threat, eps=eps, steps=STEPS, step_size=STEP_SIZE, generator=generator
    )
    return margin(population(found), y)
