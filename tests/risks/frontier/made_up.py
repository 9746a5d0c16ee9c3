"""A made-up privacy frontier."""

import torch

import tiny
from pipeline.risks.frontier.measure.epsilons import Frontier
from risks.membership.made_up import made_up_leak


def claim(epsilon):
    audit = {"epsilon_lower_bound": 0.4, "ceiling": 3.8, "bounds": {"gaussian": 0.5}}
    accounts = None if epsilon is None else {"pld": epsilon + 0.001}
    return {
        "epsilon": epsilon,
        "delta": 1e-4,
        "accounts": accounts,
        "noise_multiplier": 0.0 if epsilon is None else 9.0,
        "audit": audit,
    }


def made_up() -> Frontier:
    """Two kinds, two epsilons: the first errs on every fourth, the second calls none ill."""
    y = torch.arange(80) % 2
    careful = torch.where(torch.arange(80) % 4 == 0, -1.0, 1.0).double().expand(2, 2, -1)
    nobody = torch.where(y == 0, 1.0, -1.0).double().expand(2, 2, -1)
    margin = torch.stack([careful, nobody])
    leak = made_up_leak(tiny.records(80, seed=2), targets=20, effect=1.0)
    proved = (margin > 0) & (torch.arange(80) >= 40)
    return Frontier(
        models=("mlp", "linear"),
        epsilons=(2.0, None),
        claims=[[claim(2.0), claim(None)]] * 2,
        threat="clinical",
        radius=0.3,
        y=y,
        margin=margin,
        proved=proved,
        broken=~proved,
        scores=leak.scores["loss"].expand(2, 2, -1, -1),
        member=leak.member,
    )
