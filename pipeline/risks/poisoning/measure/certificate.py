"""How many poisoned records a certified defense bears, patient by patient."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.decision import check_decision
from pipeline.defenses.partition import certified_records
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Population, networks_of

CERTIFICATE = "certificate"  # in the facts of a population whose recipe has one
FILE = "certificate.safetensors"


@dataclass(frozen=True)
class Certificate:
    """What is certified of one defense. S repetitions x N patients.

    Attributes:
        y: (N,) int64, class indices.
        records: (S, N) int64, so many training records may be inserted, removed or relabelled
            without changing the right answer; -1 = the answer is wrong as it is.
    """

    y: Tensor
    records: Tensor

    def save(self, folder: Path) -> None:
        """Writes `certificate.safetensors` into a new folder."""
        folder.mkdir(parents=True)
        write_artifact(folder / FILE, self)

    @classmethod
    def load(cls, folder: Path) -> "Certificate":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro` to make it"
        return read_artifact(folder / FILE, cls, what="certified records", advice=advice)


def certify(population: Population, dataset: Dataset, plan: Plan) -> Certificate | None:
    """What is certified of a population, out of fold; None if its recipe has no certificate."""
    if CERTIFICATE not in population.facts:
        return None
    check_decision(population.facts, CERTIFICATE)
    scored = plan.scored()
    population, plan = population.select(scored), plan.select(scored)
    grid, (index, valid) = OutOfFold(plan, [0.0]), plan.held_out_index()
    certified = certified_records(networks_of(population), dataset.x[index], dataset.y[index])
    return Certificate(dataset.y[grid.patients], grid.scatter(certified[None], index, valid)[0])
