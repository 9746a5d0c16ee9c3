"""A clinic whose columns are of every kind, and every record that a forger could present there."""

from itertools import product

import torch
from torch import Tensor

from pipeline.config import FeatureConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.models.answers import log_odds
from pipeline.models.mlp import Architecture, initialise
from pipeline.models.networks import Networks, fitted_preprocessing
from tiny import feature, threat_config


def levels(kind: str, count: int, **changes) -> FeatureConfig:
    named = {f"c{place}": f"label {place}" for place in range(count)}
    usual = {"mutable": False, "private": True, "source": "made up", "levels": named}
    return FeatureConfig(kind=kind, **{**usual, **changes})


FEATURES = {
    "glucose": feature(90.0, 150.0, 10.0, True, 120.0, 30.0),
    "nyha": levels("ordinal", 4, mutable=True),
    "thal": levels(
        "categorical", 3, mutable=True, cost=0.5, recodes={"c0": ["c2"], "c1": ["c0", "c2"]}
    ),
    "smoker": levels("binary", 2, mutable=True, cost=0.8),
    "ward": levels("categorical", 5),
    "age": feature(21.0, 100.0, 1.0, False, 40.0, 12.0),
}
SCHEMA = Schema(tuple(FEATURES), tuple(FEATURES.values()), "outcome", ("healthy", "ill"))


def threat(**changes) -> Threat:
    return Threat.of(SCHEMA, threat_config(**changes))


def records(n: int, *, seed: int, missing: float = 0.1) -> Dataset:
    """Records on the grid; thal and ward tell of the outcome, in no order of their levels."""
    drawn = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (n,), generator=drawn).float()

    x = torch.stack(
        [10 * whole(9, 15), whole(0, 3), whole(0, 2), whole(0, 1), whole(0, 4), whole(21, 90)], 1
    )
    effect = torch.tensor([1.5, -2.0, 1.0])[x[:, 2].long()]
    effect += torch.tensor([0.0, 2.0, -2.0, 1.0, -1.0])[x[:, 4].long()]
    score = effect + (x[:, 0] - 120) / 30 + torch.randn(n, generator=drawn)
    x[torch.rand(x.shape, generator=drawn) < missing] = torch.nan
    x[:, 0] = x[:, 0].nan_to_num(120.0)  # something is measured of everybody
    return Dataset(x, (score > 0).long(), SCHEMA)


def models(members: int, *, hidden: tuple[int, ...] = (8, 6), seed: int = 0) -> Networks:
    """Untrained networks of this clinic."""
    return untrained(records(80, seed=seed + 1000), members, hidden=hidden, seed=seed)


def untrained(data: Dataset, members: int, *, hidden: tuple[int, ...], seed: int) -> Networks:
    """Networks with weights large enough that half of all are called ill."""
    schema = data.schema
    shape = Architecture("mlp" if hidden else "linear", schema.inputs, 2, hidden)
    weights = {
        name: 3 * one for name, one in initialise(shape, torch.arange(members) + seed).items()
    }
    train = torch.ones(members, len(data.y), dtype=torch.bool)
    constants = fitted_preprocessing(data.x, train, schema.hot)
    made = Networks(shape, constants, weights, tuple(f"member{m}" for m in range(members)))
    return made.decide_at(log_odds(made, data.x.expand(members, -1, -1)).median(1).values)


def plan(dataset: Dataset) -> Plan:
    return Plan.cross_validation(dataset.y, folds=3, seeds=2, seed=0, release=False)


def everything(
    record: Tensor, limits: Threat, features: tuple[FeatureConfig, ...] = SCHEMA.features
) -> list[tuple[Tensor, Tensor]]:
    """Every record (D,) that could be presented at any radius, and the change (D,) of each value.

    By the definition of the threat, value by value; a change is in units of eps.
    """
    choices: list[list[tuple[float, float]]] = []
    for place, one in enumerate(features):
        own = float(record[place])
        options = [(own, 0.0)]
        if own == own and one.mutable:
            if one.kind == "categorical":
                options += [
                    (float(level), cost)
                    for level, cost in enumerate(one.costs[int(own)])
                    if 0 < cost < float("inf")
                ]
            else:
                first, last = round(one.lower / one.step), round(one.upper / one.step)
                values = [tick * one.step for tick in range(first, last + 1)]
                options += [(v, abs(v - own) / one.scale) for v in values if v != own]
            if limits.withhold < float("inf"):
                options.append((float("nan"), limits.withhold))
        choices.append(options)
    made = []
    for some in product(*choices):
        values, changes = (
            torch.tensor(part, dtype=torch.float64) for part in zip(*some, strict=True)
        )
        if not values.isnan().all() or not changes.any():
            made.append((values.float(), changes))
    return made


def distance(changes: Tensor, norm: str) -> Tensor:
    """(K,) of changes (K, D)."""
    if norm == "l0":
        return (changes > 0).sum(1).double()
    return changes.amax(1) if norm == "linf" else changes.norm(dim=1)
