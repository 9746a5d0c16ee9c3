"""Made-up guesses of a measurement."""

import torch

import kinds
from pipeline.data.schema import Dataset
from pipeline.risks.inversion.measure.guesses import Inversion, Question
from pipeline.risks.inversion.measure.images import Reconstruction

DISTANCES = (
    "to_class_mean",
    "center_to_class_mean",
    "to_nearest_member",
    "to_nearest_non_member",
    "between_people",
)


def told(dataset: Dataset) -> Inversion:
    """One question; errors: 1 scale without a model, 0.8 by one of the patient, 0.9 by others."""
    alone = torch.ones(1, 2, len(dataset.y))
    typical = dataset.schema.column("center").expand(2, -1).clone()
    distances = {name: torch.tensor([1.0, 2.0], dtype=torch.float64) for name in DISTANCES}
    gain = torch.tensor([0.2, 0.1])[:, None]
    question = Question("glucose", True, "scores", "learned")
    return Inversion((question,), alone, alone - gain, typical, distances)


SCANS = kinds.scans(8, seed=0)


def seen() -> Reconstruction:
    index = torch.tensor([[0, 1], [2, 3]])
    public = SCANS.x.mean(0).expand(2, 1, 8, 8)
    similar = {
        name: torch.tensor([0.25, 0.75])
        for name in (
            "to_class_mean",
            "public_to_class_mean",
            "to_nearest_member",
            "to_nearest_non_member",
        )
    }
    rebuilt = {"plain": SCANS.x[index] + 1, "private": -SCANS.x[index]}
    noise = torch.tensor([2.0, 1.0], dtype=torch.float64)
    member = torch.zeros(2, 8, dtype=torch.bool)
    member[0, :4], member[1, 2:6] = True, True
    return Reconstruction(public, similar, index, rebuilt, public, member, noise)
