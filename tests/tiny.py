"""A small clinic: five features, synthetic records on the clinic's grid, and untrained networks for them."""

from pathlib import Path

import torch
from torch import Tensor

from pipeline.config import FeatureConfig, ThreatConfig
from pipeline.data import Dataset, Schema
from pipeline.models import Architecture, initialise
from pipeline.plan import Plan
from pipeline.population import Population, fitted_preprocessing
from pipeline.threat import Threat

ROOT = Path(__file__).parents[1]


def feature(lower, upper, step, mutable, center, scale) -> FeatureConfig:
    kind = "integer" if step == 1.0 else "real"
    return FeatureConfig(
        unit="unit", kind=kind, lower=lower, upper=upper, step=step, missing=None, mutable=mutable, center=center,
        scale=scale, source="made up", error=None, error_source=None,
    )  # fmt: skip


FEATURES = {
    "glucose": feature(40.0, 450.0, 1.0, True, 120.0, 30.0),
    "bmi": feature(12.0, 80.0, 0.1, True, 30.0, 7.0),
    "ratio": feature(0.0, 10.0, None, True, 5.0, 1.0),
    "pedigree": feature(0.0, 3.0, 0.001, False, 0.5, 0.3),
    "age": feature(21.0, 100.0, 1.0, False, 40.0, 12.0),
}
SCHEMA = Schema(tuple(FEATURES), tuple(FEATURES.values()), "outcome", ("healthy", "ill"))
CLINICAL = Threat.of(SCHEMA.features, ThreatConfig(mutable_only=True, plausible_range=True, recorded_grid=True))
UNCONSTRAINED = Threat.of(SCHEMA.features, ThreatConfig(mutable_only=False, plausible_range=False, recorded_grid=False))
THREATS = {"clinical": CLINICAL, "unconstrained": UNCONSTRAINED}


def records(n: int, *, seed: int, missing: float = 0.1, signal: float = 1.5) -> Dataset:
    """Records on the clinic's grid; the mutable features carry the diagnosis, `missing` of all values are NaN."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, len(FEATURES), generator=generator)
    score = signal * (z[:, 0] + 0.7 * z[:, 1] - 0.5 * z[:, 2]) + torch.randn(n, generator=generator)
    columns = []
    for index, one in enumerate(SCHEMA.features):
        value = (one.center + one.scale * z[:, index]).double().clamp(one.lower, one.upper)
        columns.append(torch.round(value / one.step) * one.step if one.step else value)
    x = torch.stack(columns, 1).float()
    x[torch.rand(x.shape, generator=generator) < missing] = torch.nan
    return Dataset(x, (score > 0).long(), SCHEMA)


def population(
    members: int, *, hidden: tuple[int, ...] = (8, 6), classes: int = 2, seed: int = 0, boost: float = 3.0
) -> Population:
    """Untrained networks with weights large enough that their answers differ."""
    data = records(60, seed=seed + 1000)
    architecture = Architecture("mlp" if hidden else "linear", len(FEATURES), classes, hidden)
    weights = initialise(architecture, torch.arange(members) + seed)
    weights = {name: tensor * boost for name, tensor in weights.items()}
    constants = fitted_preprocessing(data.x, torch.ones(members, 60, dtype=torch.bool))
    return Population(architecture, constants, weights, tuple(f"member{m}" for m in range(members)))


def plan(dataset: Dataset, *, folds: int = 3, seeds: int = 2, release: bool = False, seed: int = 0) -> Plan:
    return Plan.cross_validation(dataset.y, folds=folds, seeds=seeds, seed=seed, release=release)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal bit for bit, missing values included."""
    return a.dtype == b.dtype and torch.equal(a.view(torch.int32), b.view(torch.int32))
