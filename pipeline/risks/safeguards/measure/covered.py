"""Conformal sets of patients who were not attacked, and of those who were."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.referring import class_p_values, close_to_the_line, lead_of
from pipeline.models.population import Population
from pipeline.risks.safeguards.measure.cohort import Cohort, answer_alone, answer_and_doubt
from pipeline.risks.safeguards.measure.referred import first_wrong, least_doubted


@dataclass(frozen=True)
class Sets:
    """How usual each class would be, out of fold: E radii x S repetitions x N patients.

    Attributes:
        eps: radii, in units of the headline threat's scale; the first is 0.
        patients: (N,) int64, rows of the data set.
        y: (N,) class indices.
        p: by attacker (E, S, N, 2) float64; a class is left out of the set where it is at most
            alpha.
        calibrated: (S, 2) int64, the fewest records of each class that a model was calibrated on.
    """

    eps: list[float]
    patients: Tensor
    y: Tensor
    p: dict[str, Tensor]
    calibrated: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Sets":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro safeguards`"
        return read_artifact(path, cls, what="conformal sets", advice=advice)


def calibrated_on(
    population: Population, dataset: Dataset, plan: Plan
) -> list[tuple[Tensor, Tensor]]:
    """Of each model the leads and the classes of those whom the plan sets aside for it.

    Raises:
        ValueError: the plan sets nobody aside.
    """
    if plan.tune is None:
        raise ValueError("the plan sets nobody aside to calibrate on")
    found = []
    with torch.no_grad():
        for member, rows in enumerate(plan.tune):
            one = population.select(torch.tensor([member])).double()
            found.append((lead_of(one, dataset.x[rows][None].double())[0], dataset.y[rows]))
    return found


def attack_sets(
    cohort: Cohort, population: Population, calibrated: list[tuple[Tensor, Tensor]]
) -> Sets:
    """How usual each class is of records as they are, and of what either attacker presents.

    The true class is the less usual the further the answer is on the wrong side, so who attacks
    the answer with all that he has attacks the sets.

    Args:
        cohort: whom the models hold out; its plan sets others aside.
        population: a model for each row of it.
        calibrated: `calibrated_on` them.
    """
    plain = close_to_the_line(population)
    clean = plain.exact(cohort.x)
    careless = cohort.climbed(answer_alone(plain.soft, cohort.y), 0, 0)
    strong = cohort.climbed(answer_and_doubt(plain.soft, cohort.y), 0, 1)
    seen = [[plain.exact(one) for one in made] for made in (careless, strong)]
    leads = {
        "ignoring": first_wrong(clean, seen[0], cohort.y).lead,
        "adaptive": least_doubted(clean, seen, cohort.y).lead,
    }
    index, valid = cohort.plan.held_out_index()
    p = {
        name: cohort.folds.scatter(
            class_p_values(lead, calibrated).movedim(0, -1).contiguous(), index, valid
        )
        for name, lead in leads.items()
    }
    counts = torch.stack([torch.stack([(y == one).sum() for one in (0, 1)]) for _, y in calibrated])
    fewest = [
        counts[cohort.plan.repetition == one].amin(0)
        for one in range(int(cohort.plan.repetition.max()) + 1)
    ]
    patients = cohort.folds.patients
    return Sets(cohort.radii, patients, cohort.dataset.y[patients], p, torch.stack(fewest))
