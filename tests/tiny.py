"""A small clinic: five features, synthetic records on the clinic's grid, and untrained networks for them."""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from pipeline.attacks import ACCESS
from pipeline.attacks.poisoning import POISONS
from pipeline.audit import EXACT, SURROGATE, TRANSFER
from pipeline.cleansing import Cleansing
from pipeline.config import Config, FeatureConfig, ThreatConfig
from pipeline.damage import Damage
from pipeline.data import Dataset, Schema
from pipeline.leakage import BLIND, Leakage
from pipeline.models import Architecture, initialise
from pipeline.plan import Plan
from pipeline.population import Population, fitted_preprocessing
from pipeline.reconstruction import Question, Reconstruction
from pipeline.standards import describe_threat
from pipeline.threat import Threat

ROOT = Path(__file__).parents[1]


def feature(lower, upper, step, mutable, center, scale) -> FeatureConfig:
    kind = "integer" if step == 1.0 else "real"
    return FeatureConfig(
        unit="unit", kind=kind, lower=lower, upper=upper, step=step, missing=None, mutable=mutable, private=mutable,
        center=center, scale=scale, source="made up", error=None, error_source=None,
    )  # fmt: skip


FEATURES = {
    "glucose": feature(40.0, 450.0, 1.0, True, 120.0, 30.0),
    "bmi": feature(12.0, 80.0, 0.1, True, 30.0, 7.0),
    "ratio": feature(0.0, 10.0, None, True, 5.0, 1.0),
    "pedigree": feature(0.0, 3.0, 0.001, False, 0.5, 0.3),
    "age": feature(21.0, 100.0, 1.0, False, 40.0, 12.0),
}
SCHEMA = Schema(tuple(FEATURES), tuple(FEATURES.values()), "outcome", ("healthy", "ill"))
LIMITS = {
    "mutable_only": True, "plausible_range": True, "recorded_grid": True, "norm": "linf", "goal": "any", "eps": None,
    "exact_to": None, "boxes": 2000,
}  # fmt: skip
NO_LIMITS = {"mutable_only": False, "plausible_range": False, "recorded_grid": False}


def threat_config(**changes) -> ThreatConfig:
    """All limits, L-infinity, any goal, but for `changes`."""
    return ThreatConfig(**{**LIMITS, **changes})


CLINICAL = Threat.of(SCHEMA.features, threat_config())
UNCONSTRAINED = Threat.of(SCHEMA.features, threat_config(**NO_LIMITS))
THREATS = {"clinical": CLINICAL, "unconstrained": UNCONSTRAINED}
EUCLIDEAN = Threat.of(SCHEMA.features, threat_config(norm="l2"))
BALL = Threat.of(SCHEMA.features, threat_config(norm="l2", **NO_LIMITS))
SPARSE = Threat.of(SCHEMA.features, threat_config(norm="l0", eps=[0, 1, 2]))

BY_GRADIENTS = ("pgd_ce", "pgd_margin", "apgd_ce", "apgd_margin", "a", "b")
KNOWS = {**ACCESS, **dict.fromkeys(BY_GRADIENTS, "gradients"), TRANSFER: "transfer", SURROGATE: "transfer", EXACT: "exact"}


def threat_columns(access: str) -> dict[str, str]:
    """What names the threat of a hand-made row, for an attacker who has this access to the model."""
    budget = 100 if access in ("scores", "labels") else None
    return describe_threat(norm="linf", goal="any", mutable=["glucose", "bmi"], access=access, query_budget=budget)


SUITE, BOXES = ("noise", "fgsm", "pgd_margin", "sparse"), 20


def small(cfg: Config) -> Config:
    """The configuration with a few cheap attacks, and little patience for proofs."""
    suite = {name: options for name, options in cfg.attack.items() if name in SUITE}
    threats = {name: threat.model_copy(update={"boxes": BOXES}) for name, threat in cfg.threat.items()}
    return cfg.model_copy(update={"attack": suite, "threat": threats})


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


def untrained(plan: Plan, dataset: Dataset, *, hidden: tuple[int, ...] = (6,), seed: int = 0) -> Population:
    """A model for each row of the plan: as it was before training, its answers far apart."""
    architecture = Architecture("mlp" if hidden else "linear", len(FEATURES), 2, hidden)
    weights = {name: 3 * value for name, value in initialise(architecture, plan.seeds + seed).items()}
    return Population(architecture, fitted_preprocessing(dataset.x, plan.train), weights, plan.labels)


def leak(dataset: Dataset, *, targets: int, effect: float, seed: int = 0) -> Leakage:
    """Made-up membership scores: standard normal, and for members higher by `effect`; the control sees nothing."""
    generator = torch.Generator().manual_seed(seed)
    shape = (targets, len(dataset.y))
    member = torch.rand(shape, generator=generator) < 0.5
    found, nothing = (torch.randn(shape, generator=generator) for _ in range(2))
    found = found + effect * member
    return Leakage({"loss": found, "lira": 2 * found, BLIND: nothing}, member, found.clone(), {}, told(dataset))


def told(dataset: Dataset) -> Reconstruction:
    """Of one question: guesses are 1 scale off without a model, 0.8 by a model that trained on the patient, 0.9 by others."""
    alone = torch.ones(1, 2, len(dataset.y))
    typical = dataset.schema.column("center").expand(2, -1).clone()
    names = ("to_class_mean", "center_to_class_mean", "to_nearest_member", "to_nearest_non_member", "between_people")
    distances = {name: torch.tensor([1.0, 2.0], dtype=torch.float64) for name in names}
    gain = torch.tensor([0.2, 0.1])[:, None]
    return Reconstruction((Question("glucose", True, "scores", "learned"),), alone, alone - gain, typical, distances)


def damage(patients: int, *, doses: int, harm: float, seed: int = 0) -> Damage:
    """Made-up margins of two repetitions that fall by up to `harm` as the dose rises; every fifth patient lacks the trigger."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, patients)
    y = torch.arange(patients) % 3 % 2
    clean = 1.5 + torch.randn(shape, generator=generator)
    falls = harm * torch.linspace(0.1, 1, doses)[:, None, None]
    crowd = [name for name in POISONS if name != "one_patient"]
    margins = {name: clean - falls + 0.3 * torch.randn(doses, *shape, generator=generator) for name in crowd}
    margins = {"none": clean[None], **margins}
    triggered = torch.cat([clean[None], clean - 2 * falls + 0.3 * torch.randn(doses, *shape, generator=generator)]) - 0.5
    triggered[..., ::5] = torch.nan
    targets = (y == 1).nonzero()[:4, 0]
    counts = {name: torch.arange(1, doses + 1).float() for name in POISONS}
    return Damage(
        y=y, margins=margins, proved={name: values > 0.5 for name, values in margins.items()}, triggered=triggered,
        targets=targets, target_margins=triggered.nan_to_num(1.0)[..., targets], poisoned=counts,
        share={name: count / patients for name, count in counts.items()},
    )  # fmt: skip


def cleansings(harmed: Damage, *, filters: tuple[str, ...], gain: float, seed: int = 0) -> dict[str, Cleansing]:
    """Made-up margins by attack that cleaning raises by about `gain`, and rates of two sets; clean ones hold no poison."""
    generator = torch.Generator().manual_seed(seed)

    def raised(margins: Tensor) -> Tensor:
        return margins + gain * torch.rand(margins.shape, generator=generator)

    def rates(doses: int) -> dict[str, Tensor]:
        return {name: torch.rand(doses, 2, generator=generator, dtype=torch.float64) for name in filters}

    found = {}
    for attack, margins in harmed.margins.items():
        triggered = {name: raised(harmed.triggered[1:]) if attack == "backdoor" else torch.zeros(0) for name in filters}
        recall = {name: rate if attack != "none" else rate * torch.nan for name, rate in rates(len(margins)).items()}
        others = [rates(len(margins)) for _ in range(3)]
        found[attack] = Cleansing({name: raised(margins) for name in filters}, triggered, *others[:2], recall, others[2])
    return found


CERTIFICATE = pd.DataFrame({
    "defense": "partition", "records": [0, 1, 2], "changed": [0, 0, 1],
    "certified_accuracy": [0.75, 0.5, 0.0], "certified_accuracy_low": [0.7, 0.4, 0.0], "certified_accuracy_high": [0.8, 0.6, 0.0],
    "certified_sensitivity": [0.6, 0.3, 0.0], "certified_sensitivity_low": [0.5, 0.2, 0.0],
    "certified_sensitivity_high": [0.7, 0.4, 0.0],
})  # fmt: skip


def plan(dataset: Dataset, *, folds: int = 3, seeds: int = 2, release: bool = False, seed: int = 0) -> Plan:
    return Plan.cross_validation(dataset.y, folds=folds, seeds=seeds, seed=seed, release=release)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal bit for bit, missing values included."""
    return a.dtype == b.dtype and torch.equal(a.view(torch.int32), b.view(torch.int32))


def slope(models: Population, y: Tensor, threat: Threat) -> Tensor:
    """(M, B, D): of linear models, by how much the margin of the true class changes per unit of `eps` along each feature."""
    weight = models.parameters["weight0"] / models.preprocessing["scale"][..., None]
    across = (weight[..., 1] - weight[..., 0])[:, None]
    return torch.where(y[..., None] == 1, across, -across) * threat.scale.float()
