"""Made-up guesses of a measurement."""

import torch

from pipeline.data.schema import Dataset
from pipeline.risks.inversion.measure.guesses import Inversion, Question

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
