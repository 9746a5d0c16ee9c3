"""Made-up copies."""

import pandas as pd
import torch

from pipeline.risks.theft.measure.copies import TRUE_LABELS
from pipeline.risks.theft.measure.stolen import Theft
from pipeline.risks.theft.measure.victims import PLAIN


def made_up(agreement: float, *, patients: int = 400, seed: int = 0) -> Theft:
    """Victims that know a little, and copies by two attackers that agree on so many patients."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (patients,), generator=generator)
    victim = 2.0 * y - 1 + 2 * torch.randn(2, patients, generator=generator)
    coins = torch.rand(2, patients, generator=generator)
    member, test = coins < 0.5, coins > 0.75
    copy = torch.where(torch.rand(2, patients, generator=generator) < agreement, victim, -victim)
    attacker = {
        "strategy": "public",
        "api": PLAIN,
        "access": "labels",
        "surrogate": "mlp",
        "budget": 100,
        "queries": 100,
    }
    other = {
        **attacker,
        "strategy": TRUE_LABELS,
        "api": "none",
        "access": "diagnoses",
        "queries": 0,
    }
    rows = pd.DataFrame([{**one, "victim": v} for one in (attacker, other) for v in (0, 1)])
    broken = (torch.rand(4, patients, generator=generator) < 0.5) & test.repeat(2, 1)
    told = {
        f"{PLAIN}/labels": (victim > 0).float(),
        f"{PLAIN}/probabilities": torch.sigmoid(victim),
    }
    agrees = torch.rand(4, 500, generator=generator) < agreement
    return Theft(
        rows,
        copy.repeat(2, 1),
        broken,
        agrees,
        member,
        test,
        y,
        {PLAIN: victim},
        {PLAIN: broken[:2].clone()},
        told,
    )
