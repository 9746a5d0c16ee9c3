"""Made-up answers of three hospitals, of which one is worth nothing alone."""

import torch

from pipeline.risks.federation.measure.hospitals import Trained

PEOPLE, HOSPITALS = 360, 3
PRIVATE = ("dp_train", "federated_noisy_server")
CLAIM = {
    "epsilon": 3.0,
    "delta": 1e-4,
    "accounts": {"pld": 2.99},
    "neighbouring": "add or remove one record",
    "against": "whoever gets the model",
    "audit": {
        "epsilon_lower_bound": 2.8,
        "ceiling": 45.0,
        "bounds": {"gaussian": 2.9, "counts": 1.5},
    },
    "noise": 1.001,
}
CLAIMS = {
    "dp_train": CLAIM,
    "federated_noisy_server": {**CLAIM, "neighbouring": "add or remove one hospital"},
}


def answers(
    *, bad: int | None = 0, seed: int = 0, few: int | None = None, y: torch.Tensor | None = None
) -> Trained:
    """Everybody's margins; those of the hospital `bad` alone say nothing, `few` has five patients.

    All other trainings say the same but for noise, the last of the private ones nothing.
    """
    drawn = torch.Generator().manual_seed(seed)
    y = classes() if y is None else y
    people = len(y)
    common = 1.0 + torch.randn(2, people, generator=drawn)
    each = [common + 0.1 * torch.randn(2, people, generator=drawn) for _ in range(2 + HOSPITALS)]
    if bad is not None:
        each[2 + bad] = torch.where(y == 1, 1.0, -1.0) * torch.randn(2, people, generator=drawn)
    each.append(common + 0.1 * torch.randn(2, people, generator=drawn))
    each.append(torch.where(y == 1, 1.0, -1.0) * torch.randn(2, people, generator=drawn))
    place = torch.arange(people) % HOSPITALS
    if few is not None:
        place[(place == few).nonzero()[5:, 0]] = (few + 1) % HOSPITALS
    return Trained(
        ("north", "south", "west"),
        "mean",
        place,
        torch.arange(people),
        torch.stack(each).float(),
        torch.zeros(len(each), 2, people),
        torch.full((HOSPITALS, 2), 80.0),
        PRIVATE,
        CLAIMS,
    )


def classes() -> torch.Tensor:
    return (torch.arange(PEOPLE) // HOSPITALS) % 2
