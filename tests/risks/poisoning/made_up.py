"""Made-up results of poisoning, of filters, and of a certificate."""

import pandas as pd
import torch
from torch import Tensor

from pipeline.attacks.poisoning import ATTACKS, POISONS
from pipeline.risks.poisoning.measure.filtering import Filtered
from pipeline.risks.poisoning.measure.recipes import Harm


def made_up_harm(patients: int, *, doses: int | dict[str, int], harm: float, seed: int = 0) -> Harm:
    """Margins of two repetitions that fall by up to `harm` as the dose rises.

    Every fifth patient lacks the trigger."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, patients)
    y = torch.arange(patients) % 3 % 2
    clean = 1.5 + torch.randn(shape, generator=generator)
    each = doses if isinstance(doses, dict) else dict.fromkeys(ATTACKS, doses)
    doses = max(each.values())
    falls = harm * torch.linspace(0.1, 1, doses)[:, None, None]
    crowd = [name for name in ATTACKS if name != "one_patient"]
    margins = {
        name: (clean - falls + 0.3 * torch.randn(doses, *shape, generator=generator))[: each[name]]
        for name in crowd
    }
    margins = {"none": clean[None], **margins}
    triggered = (
        torch.cat(
            [clean[None], clean - 2 * falls + 0.3 * torch.randn(doses, *shape, generator=generator)]
        )
        - 0.5
    )
    triggered[..., ::5] = torch.nan
    cuts = {name: torch.full_like(values, -0.3) for name, values in margins.items()}
    targets = (y == 1).nonzero()[:4, 0]
    counts = {name: torch.arange(1, each[name] + 1).float() for name in ATTACKS}
    return Harm(
        y=y,
        margins=margins,
        cuts=cuts,
        proved={name: values > 0.5 for name, values in margins.items()},
        triggered=triggered,
        targets=targets,
        target_margins=triggered.nan_to_num(1.0)[..., targets],
        poisoned=counts,
        share={name: count / patients for name, count in counts.items()},
    )


def made_up_filtered(
    harmed: Harm, *, filters: tuple[str, ...], gain: float, seed: int = 0
) -> dict[str, Filtered]:
    """Margins by attack that filtering raises by about `gain`, and rates of two sets.

    Clean sets hold no poison."""
    generator = torch.Generator().manual_seed(seed)

    def raised(margins: Tensor) -> Tensor:
        return margins + gain * torch.rand(margins.shape, generator=generator)

    def rates(doses: int) -> dict[str, Tensor]:
        return {
            name: torch.rand(doses, 2, generator=generator, dtype=torch.float64) for name in filters
        }

    found = {}
    for attack, margins in harmed.margins.items():
        if attack not in ("none", *POISONS):
            continue
        triggered = {
            name: raised(harmed.triggered[1:]) if attack == "backdoor" else torch.zeros(0)
            for name in filters
        }
        recall = {
            name: rate if attack != "none" else rate * torch.nan
            for name, rate in rates(len(margins)).items()
        }
        others = [rates(len(margins)) for _ in range(3)]
        found[attack] = Filtered(
            {name: raised(margins) for name in filters}, triggered, *others[:2], recall, others[2]
        )
    return found


CERTIFICATE = pd.DataFrame(
    {
        "defense": "partition",
        "records": [0, 1, 2],
        "changed": [0, 0, 1],
        "certified_accuracy": [0.75, 0.5, 0.0],
        "certified_accuracy_low": [0.7, 0.4, 0.0],
        "certified_accuracy_high": [0.8, 0.6, 0.0],
        "certified_sensitivity": [0.6, 0.3, 0.0],
        "certified_sensitivity_low": [0.5, 0.2, 0.0],
        "certified_sensitivity_high": [0.7, 0.4, 0.0],
    }
)
