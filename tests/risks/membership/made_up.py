"""Made-up membership scores, and a claim of differential privacy."""

import torch

from pipeline.data.schema import Dataset
from pipeline.risks.membership.measure.shadows import BLIND, Membership

CLAIM = {
    "epsilon": 3.0,
    "delta": 1e-4,
    "accounts": {"pld": 2.9},
    "composition": {
        "models": 26,
        "models_of_a_patient": 21,
        "epsilon_all": 23.5,
        "epsilon_patient": 20.3,
        "epsilon_replace_one": 6.9,
    },
    "measured": {"checks": [{"noise": {"measured": 0.998}}]},
    "noise": "seeded: not for release",
    "audit": {
        "epsilon_lower_bound": 2.4,
        "ceiling": 47.0,
        "bounds": {"gaussian": 2.7, "counts": 1.3},
    },
}


def made_up_leak(dataset: Dataset, *, targets: int, effect: float, seed: int = 0) -> Membership:
    """Scores are standard normal, and for members higher by `effect`; the control sees nothing."""
    generator = torch.Generator().manual_seed(seed)
    shape = (targets, len(dataset.y))
    member = torch.rand(shape, generator=generator) < 0.5
    found, nothing = (torch.randn(shape, generator=generator) for _ in range(2))
    found = found + effect * member
    return Membership({"loss": found, "lira": 2 * found, BLIND: nothing}, member, found.clone(), {})
