"""Made-up membership scores."""

import torch

from pipeline.data.schema import Dataset
from pipeline.risks.membership.measure.shadows import BLIND, Leakage
from risks.inversion.made_up import told


def made_up_leak(dataset: Dataset, *, targets: int, effect: float, seed: int = 0) -> Leakage:
    """Made-up membership scores: standard normal, and for members higher by `effect`; the control sees nothing."""
    generator = torch.Generator().manual_seed(seed)
    shape = (targets, len(dataset.y))
    member = torch.rand(shape, generator=generator) < 0.5
    found, nothing = (torch.randn(shape, generator=generator) for _ in range(2))
    found = found + effect * member
    return Leakage(
        {"loss": found, "lira": 2 * found, BLIND: nothing}, member, found.clone(), {}, told(dataset)
    )
