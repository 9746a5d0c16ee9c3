"""A small cohort, models for it, and made-up results of safeguards."""

import torch

import tiny
from pipeline.risks.safeguards.measure.cohort import Cohort
from pipeline.risks.safeguards.measure.covered import Sets
from pipeline.risks.safeguards.measure.referred import Referrals
from pipeline.risks.safeguards.measure.sanitised import Margins

RADII = [0.0, 0.2, 0.6]


def cohort(n=60, *, radii=RADII, threat=tiny.CLINICAL, seed=0, steps=8):
    """Records, and two repetitions of three folds."""
    data = tiny.records(n, seed=seed)
    return Cohort(data, tiny.plan(data), threat, radii, steps, 2, seed)


def models(who, seed=0):
    """Untrained networks, their answers far apart."""
    return tiny.untrained(who.plan, who.dataset, seed=seed)


def margins(n=200, *, gains=None, seed=0):
    """Of nothing, a sanitiser that only seems to help, one that helps, and a recipe beside."""
    drawn = torch.Generator().manual_seed(seed)
    eps, y = [0.0, 0.1, 0.3], torch.arange(n) % 2
    base = torch.randn(2, n, generator=drawn) + 1.5
    gains = gains or {"none": (0.0, 0.0), "mask": (1.0, 0.0), "help": (1.5, 1.2), "adv": (1.3, 1.3)}
    falls = torch.tensor(eps)[:, None, None] * 6
    found = {"clean": {}, "chance": {}, "ignoring": {}, "adaptive": {}}
    for name, (seeming, true) in gains.items():
        found["clean"][name] = base.clone()
        found["chance"][name] = base - falls / 4
        found["ignoring"][name] = base - (falls - seeming).clamp(min=0)
        found["adaptive"][name] = base - (falls - true).clamp(min=0)
    return Margins(eps, torch.arange(n), y, **found)


def referrals(n=200, *, seed=0):
    """Two rules of the undefended models, and both of a recipe; one doubts at random."""
    drawn = torch.Generator().manual_seed(seed)
    eps, y = [0.1, 0.3], torch.arange(n) % 2
    found = {"margin": {}, "doubt": {}}
    for rule in ("margin", "random", "proved radius", "adv: margin"):
        clean = torch.randn(2, n, generator=drawn, dtype=torch.float64) + 1.5
        for kind, size in (("clean", None), ("ignoring", 4.0), ("adaptive", 6.0)):
            falls = 0.0 if size is None else size * torch.tensor(eps)[:, None, None]
            each = clean[None] - falls
            doubt = -each.abs()
            if rule == "random":
                doubt = -torch.rand(each.shape, generator=drawn, dtype=torch.float64)
            found["margin"][f"{kind}/{rule}"] = each
            found["doubt"][f"{kind}/{rule}"] = doubt
    return Referrals(eps, torch.arange(n), y, **found)


def sets(n=200, *, seed=0):
    """P-values that an attacker lowers for the true class."""
    drawn = torch.Generator().manual_seed(seed)
    eps, y = [0.1, 0.3], torch.arange(n) % 2
    p = {}
    for number, name in enumerate(("ignoring", "adaptive"), 1):
        each = torch.rand(2, 2, n, 2, generator=drawn, dtype=torch.float64)
        true = torch.stack([y == 0, y == 1], -1)
        p[name] = torch.where(true, each / (1 + number), each)
    return Sets(eps, torch.arange(n), y, p, torch.tensor([[40, 30], [40, 31]]))
