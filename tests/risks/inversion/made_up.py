"""Made-up guesses of a measurement."""

import torch

from pipeline.data.schema import Dataset
from pipeline.risks.inversion.measure.guesses import Question, Reconstruction


def told(dataset: Dataset) -> Reconstruction:
    """Of one question: guesses are 1 scale off without a model, 0.8 by a model that trained on the patient, 0.9 by others."""
    alone = torch.ones(1, 2, len(dataset.y))
    typical = dataset.schema.column("center").expand(2, -1).clone()
    names = (
        "to_class_mean",
        "center_to_class_mean",
        "to_nearest_member",
        "to_nearest_non_member",
        "between_people",
    )
    distances = {name: torch.tensor([1.0, 2.0], dtype=torch.float64) for name in names}
    gain = torch.tensor([0.2, 0.1])[:, None]
    return Reconstruction(
        (Question("glucose", True, "scores", "learned"),), alone, alone - gain, typical, distances
    )
