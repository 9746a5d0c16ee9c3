"""Sanitisers under attack: by who attacks the bare model, and by who attacks through them.

The adaptive attacker also presents what the other one made, so he never breaks fewer, and within a
radius lies what was made within a smaller one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.evasion.records import LogitsFn
from pipeline.defenses.sanitising import Configured, Sanitised
from pipeline.models.answers import margin
from pipeline.models.population import Population
from pipeline.risks.safeguards.measure.cohort import Cohort

NOTHING = "none"  # the sanitiser that does nothing


@dataclass(frozen=True)
class Margins:
    """Margins of the true class behind each sanitiser: E radii x S repetitions x N patients.

    Attributes:
        eps: radii, in units of the headline threat's scale; the first is 0.
        patients: (N,) int64, rows of the data set.
        y: (N,) class indices.
        clean: by sanitiser (S, N) float32, of unchanged records.
        chance: by sanitiser (E, S, N) float32, the worst of some random changes of the same size.
        ignoring: likewise, of what was made against the bare model.
        adaptive: likewise, the least of that and of what was made through the sanitiser.
    """

    eps: list[float]
    patients: Tensor
    y: Tensor
    clean: dict[str, Tensor]
    chance: dict[str, Tensor]
    ignoring: dict[str, Tensor]
    adaptive: dict[str, Tensor]

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Margins":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro safeguards`"
        return read_artifact(path, cls, what="margins behind sanitisers", advice=advice)


def attack_sanitised(
    cohort: Cohort,
    population: Population,
    sanitisers: Mapping[str, Configured],
    beside: Mapping[str, Population],
) -> Margins:
    """Attacks the undefended models with and without each sanitiser, and the more robust models.

    Args:
        cohort: whom they hold out, and how they are attacked.
        population: the undefended models, one for each row of the cohort's plan.
        sanitisers: that are put in front of them.
        beside: more robust models, likewise.
    """
    made = cohort.climbed(population, 0)
    found: dict[str, dict[str, Tensor]] = {
        kind: {} for kind in ("clean", "chance", "ignoring", "adaptive")
    }

    def keep(name: str, judge: LogitsFn, asked: LogitsFn, number: int, each: list[Tensor]) -> None:
        count = partial(margins_of, cohort, judge)
        ignoring = falling(count(each[0]))
        found["clean"][name] = count(cohort.x[None])[0]
        found["chance"][name] = falling(count(cohort.by_chance(asked, number, 1)))
        found["ignoring"][name] = ignoring
        found["adaptive"][name] = falling(
            torch.stack([ignoring, *(count(one) for one in each[1:])]).amin(0)
        )

    keep(NOTHING, population.double(), population, 0, [made])
    for number, (name, one) in enumerate(sanitisers.items(), 1):
        through = ways_through(population, one, cohort, number)
        adaptive = [cohort.climbed(way, number, 2 + at) for at, way in enumerate(through)]
        keep(name, deployed(population, one, cohort, number), through[0], number, [made, *adaptive])
    for number, (name, models) in enumerate(beside.items(), 1 + len(sanitisers)):
        own = cohort.climbed(models, number)
        keep(name, models.double(), models, number, [own])
    patients = cohort.folds.patients
    return Margins(cohort.radii, patients, cohort.dataset.y[patients], **found)


def deployed(population: Population, one: Configured, cohort: Cohort, number: int) -> Sanitised:
    """What answers: in float64, with a single draw of noise, the same whatever is presented."""
    noise = (lambda: [cohort.drawn(number, 0)]) if one.entry.random else None
    return Sanitised(population.double(), one.clean, noise=noise)


def ways_through(
    population: Population, one: Configured, cohort: Cohort, number: int
) -> list[Sanitised]:
    """What is attacked: the sanitiser with each of its stand-ins, and with draws of its own."""
    drawn = cohort.drawn(number, 9)
    noise = (lambda: [drawn] * cohort.draws) if one.entry.random else None
    return [Sanitised(population, one.clean, way, noise) for way in one.entry.stand_ins]


def margins_of(cohort: Cohort, judge: LogitsFn, x_adv: Tensor) -> Tensor:
    """(E, S, N) float32: margins of the true class, of records (E, M, B, *event)."""
    with torch.no_grad():
        each = [margin(judge(one.double()), cohort.y) for one in x_adv]
    return cohort.by_patient(torch.stack(each)).float()


def falling(margins: Tensor) -> Tensor:
    """The least margin within each radius and every smaller one, (E, ...)."""
    return margins.cummin(0).values
