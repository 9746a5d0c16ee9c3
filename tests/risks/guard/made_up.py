"""A tiny cohort behind a guard, and made-up results."""

import torch

import tiny
from pipeline.risks.guard.measure.attacked import ATTACKERS, Passed, key
from pipeline.risks.guard.measure.guarded import Guarded
from pipeline.risks.guard.measure.taken import ALONE, FULL, SHADOWS, Taken

RADII, REACH = [0.1, 0.3], [1.0, 2.0]
ACCESS = [FULL, "one_digit", "labels"]


def guard(population, *, largest=0.3, threat=tiny.CLINICAL, **changes):
    return Guarded(population, threat, largest, 200, **changes)


def passed(n=200, *, seed=0):
    """Proved radii are even in 0 to 0.6; who is turned at twice r passes where that is beyond r."""
    drawn = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    radius = torch.rand(2, n, generator=drawn, dtype=torch.float64) * 0.6
    called = torch.where(torch.rand(2, n, generator=drawn) < 0.2, 1 - y, y)
    found = {name: {} for name in ("turned", "passed", "wrong", "presented")}
    for r in RADII:
        for attacker in ATTACKERS:
            turned = torch.stack([radius <= r * reach for reach in REACH])
            through = turned & (radius > r) if attacker != "nearest" else turned & False
            honest = (called != y) & (radius > r + 1e-4)
            found["turned"][key(attacker, r)] = turned
            found["passed"][key(attacker, r)] = through
            found["wrong"][key(attacker, r)] = torch.where(called == y, through, honest)
            own = torch.where(through, 0.5, 0.0).double()
            found["presented"][key(attacker, r)] = torch.where(turned, own, torch.nan)
    score = (2 * called - 1) * (0.1 + radius)
    return Passed(RADII, REACH, torch.arange(n), y, called, score, radius, **found)


def taken(n=200, *, shadows=True, seed=0):
    """Copies are right of 9 in 10; nobody is a member of two targets' folds at once."""
    drawn = torch.Generator().manual_seed(seed)
    ways = [(FULL, 0.0), *((one, r) for one in ACCESS[1:] for r in (0.0, *RADII))]
    names = [f"{access}/{r:g}" for access, r in ways]
    tests, member = torch.arange(0, n, 2), torch.arange(n)[None] % 5 != torch.arange(5)[:, None]
    scores = {
        f"{attack}/{name}": torch.rand(5, n, generator=drawn) + 0.1 * member
        for attack in (ALONE, SHADOWS)
        for name in (names if shadows else ())
    }
    return Taken(
        ACCESS,
        [0.0, *RADII],
        [10, 1000],
        tests,
        {name: torch.rand(2, len(tests), generator=drawn) < 0.9 for name in names},
        {
            name: torch.full((5,), r, dtype=torch.float64)
            for name, (_, r) in zip(names, ways, strict=True)
        },
        torch.arange(n),
        member,
        scores,
    )
