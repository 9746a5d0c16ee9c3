"""What the models of one defense answer to scans that were forged."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.models.population import Population
from pipeline.risks.forgery.measure.detector import block_of
from pipeline.risks.forgery.measure.forged import ForgedScans


@dataclass(frozen=True)
class Answers:
    """Answers of one defense.

    Attributes:
        margin: (F, S, N) float64, of the recorded diagnosis, by models that did not train on the
            scan; forgeries and scans as in `ForgedScans`.
    """

    margin: Tensor

    def save(self, path: Path) -> None:
        """Writes one file of tensors."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Answers":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing or damaged.
        """
        advice = "run `dvc repro forgery`"
        return read_artifact(path, cls, what="answers to forged scans", advice=advice)


def answers_to(found: ForgedScans, population: Population, dataset: Dataset, plan: Plan) -> Answers:
    """Asks every model about the forged scans that it holds out, in blocks that fit into memory."""
    blocks = []
    for places in torch.arange(len(found.rows)).split(block_of(dataset.x)):
        rows = found.rows[places]
        part = Plan(
            plan.train[:, rows], plan.held_out[:, rows], plan.repetition, plan.seeds, plan.labels
        )
        each = [
            margins_out_of_fold(
                population,
                Dataset(found.scans(name, dataset, places), dataset.y[rows], dataset.schema),
                part,
            )[0]
            for name in found.forgeries
        ]
        blocks.append(torch.cat(each))
    return Answers(torch.cat(blocks, -1))
