"""A small clinic: five features, synthetic records on its grid, untrained networks for them.

It imports the floors below the risks alone: a broken risk must not break every test.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.config import FeatureConfig, ThreatConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.models import mlp
from pipeline.models.answers import log_odds
from pipeline.models.mlp import Architecture, initialise
from pipeline.models.networks import Networks, fitted_preprocessing
from pipeline.models.population import Population
from pipeline.statistics.intervals import Sampling

ROOT = Path(__file__).parents[1]


def feature(lower, upper, step, mutable, center, scale) -> FeatureConfig:
    kind = "integer" if step == 1.0 else "real"
    return FeatureConfig(
        unit="unit",
        kind=kind,
        lower=lower,
        upper=upper,
        step=step,
        missing=[],
        mutable=mutable,
        private=mutable,
        center=center,
        scale=scale,
        source="made up",
        error=None,
        error_source=None,
    )


def sampling(audit, seed=0, patient=None) -> Sampling:
    """Intervals as an audit's section of the configuration asks for."""
    return Sampling(audit.resamples, audit.confidence, seed, patient)


FEATURES = {
    "glucose": feature(40.0, 450.0, 1.0, True, 120.0, 30.0),
    "bmi": feature(12.0, 80.0, 0.1, True, 30.0, 7.0),
    "ratio": feature(0.0, 10.0, None, True, 5.0, 1.0),
    "pedigree": feature(0.0, 3.0, 0.001, False, 0.5, 0.3),
    "age": feature(21.0, 100.0, 1.0, False, 40.0, 12.0),
}
SCHEMA = Schema(tuple(FEATURES), tuple(FEATURES.values()), "outcome", ("healthy", "ill"))
LIMITS = {
    "mutable_only": True,
    "plausible_range": True,
    "recorded_grid": True,
    "consistent": True,
    "norm": "linf",
    "within": None,
    "withhold": None,
    "unit": "scale",
    "goal": "any",
    "eps": None,
    "exact_to": None,
    "boxes": 2000,
}
NO_LIMITS = {"mutable_only": False, "plausible_range": False, "recorded_grid": False}


def threat_config(**changes) -> ThreatConfig:
    """All limits, L-infinity, any goal, but for `changes`."""
    return ThreatConfig(**{**LIMITS, **changes})


CLINICAL = Threat.of(SCHEMA, threat_config())
UNCONSTRAINED = Threat.of(SCHEMA, threat_config(**NO_LIMITS))
THREATS = {"clinical": CLINICAL, "unconstrained": UNCONSTRAINED}
EUCLIDEAN = Threat.of(SCHEMA, threat_config(norm="l2"))
BALL = Threat.of(SCHEMA, threat_config(norm="l2", **NO_LIMITS))
SPARSE = Threat.of(SCHEMA, threat_config(norm="l0", eps=[0, 1, 2]))


def records(n: int, *, seed: int, missing: float = 0.1, signal: float = 1.5) -> Dataset:
    """Records on the clinic's grid; mutable features carry the diagnosis.

    Of all values the share `missing` is NaN.
    """
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


def drawn(architecture: Architecture, seeds: Tensor) -> dict[str, Tensor]:
    """Weights as `initialise` makes them, of streams that start at the seeds themselves.

    What a test asks of a network must not hang on how a run parts its streams.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlp, "generator", lambda _, seed: torch.Generator().manual_seed(seed))
        return initialise(architecture, seeds)


def population(
    members: int,
    *,
    hidden: tuple[int, ...] = (8, 6),
    classes: int = 2,
    seed: int = 0,
    boost: float = 3.0,
) -> Population:
    """Untrained networks with weights large enough that their answers differ."""
    data = records(60, seed=seed + 1000)
    architecture = Architecture("mlp" if hidden else "linear", len(FEATURES), classes, hidden)
    weights = drawn(architecture, torch.arange(members) + seed)
    weights = {name: tensor * boost for name, tensor in weights.items()}
    constants = fitted_preprocessing(data.x, torch.ones(members, 60, dtype=torch.bool))
    return Networks(architecture, constants, weights, tuple(f"member{m}" for m in range(members)))


def untrained(
    plan: Plan, dataset: Dataset, *, hidden: tuple[int, ...] = (6,), seed: int = 0
) -> Population:
    """A model for each row of the plan: as it was before training, its answers far apart."""
    architecture = Architecture("mlp" if hidden else "linear", len(FEATURES), 2, hidden)
    weights = {
        name: 3 * value for name, value in initialise(architecture, plan.seeds + seed).items()
    }
    return Networks(architecture, fitted_preprocessing(dataset.x, plan.train), weights, plan.labels)


def plan(
    dataset: Dataset, *, folds: int = 3, seeds: int = 2, release: bool = False, seed: int = 0
) -> Plan:
    return Plan.cross_validation(dataset.y, folds=folds, seeds=seeds, seed=seed, release=release)


def scores(population: Population, dataset: Dataset) -> Tensor:
    """(M, N): log-odds of everybody, by every member."""
    return log_odds(population, dataset.x.expand(population.size, -1, -1))


def at_sites(dataset: Dataset, site: Tensor, names: tuple[str, ...]) -> Dataset:
    """The same records, made at these sites (N,), as a cohort with `data.site` has them."""
    return replace(dataset, site=site, schema=replace(dataset.schema, sites=names))


def without(plan: Plan, patients: Tensor) -> Plan:
    """The plan that scores nobody of these."""
    return Plan(plan.train, plan.held_out & ~patients, plan.repetition, plan.seeds, plan.labels)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal bit for bit, missing values included."""
    bytes_of = [one.detach().numpy().tobytes() for one in (a, b)]
    return a.dtype == b.dtype and a.shape == b.shape and bytes_of[0] == bytes_of[1]


def slope(models: Population, y: Tensor, threat: Threat) -> Tensor:
    """(M, B, D): how much a linear model's margin changes per unit of `eps` along each feature.

    The margin of the true class `y`.
    """
    weight = models.parameters["weight0"] / models.preprocessing["scale"][..., None]
    across = (weight[..., 1] - weight[..., 0])[:, None]
    return torch.where(y[..., None] == 1, across, -across) * threat.scale.float()
