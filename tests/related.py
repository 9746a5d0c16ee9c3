"""A clinic whose values have to do with each other, and every record that it could hold."""

from itertools import product

import torch
from torch import Tensor

import mixed
from pipeline.data.schema import Dataset, Schema
from pipeline.data.threat import Threat
from pipeline.models.networks import Networks
from tiny import feature, threat_config

FEATURES = {
    "systolic": feature(80.0, 160.0, 5.0, True, 120.0, 20.0),
    "diastolic": feature(40.0, 120.0, 5.0, True, 80.0, 15.0),
    "weight": feature(40.0, 120.0, 5.0, True, 80.0, 15.0),
    "height": feature(150.0, 200.0, 10.0, True, 170.0, 20.0),
    "bmi": feature(12.0, 45.0, 0.1, True, 27.0, 5.0),
    "age": feature(21.0, 100.0, 1.0, False, 40.0, 12.0),
}
RELATIONS = ("diastolic + 15 <= systolic", "weight - 0.5 * height <= 20")
DERIVED = (("bmi", "round(weight / (height / 100) ** 2, 1)"),)
SCHEMA = Schema(
    tuple(FEATURES),
    tuple(FEATURES.values()),
    "outcome",
    ("healthy", "ill"),
    relations=RELATIONS,
    derived=DERIVED,
)
SYSTOLIC, DIASTOLIC, WEIGHT, HEIGHT, BMI, AGE = range(6)


def threat(**changes) -> Threat:
    return Threat.of(SCHEMA, threat_config(**changes))


def records(n: int, *, seed: int, missing: float = 0.1, wrong: float = 0.2) -> Dataset:
    """Records on the grid; the share `wrong` breaks a relation, or has a body mass of its own."""
    drawn = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int, step: int) -> Tensor:
        return step * torch.randint(low // step, high // step + 1, (n,), generator=drawn).double()

    systolic, weight, height = whole(90, 150, 5), whole(50, 105, 5), whole(150, 200, 10)
    diastolic = systolic - whole(15, 50, 5)
    slips = torch.rand(n, generator=drawn) < wrong
    diastolic = torch.where(slips, systolic - 5, diastolic)
    bmi = torch.round(weight / (height / 100) ** 2 * 10) / 10 + 0.3 * slips
    x = torch.stack([systolic, diastolic, weight, height, bmi, whole(21, 90, 1)], 1).float()
    score = (x[:, 0] - 120) / 20 + (x[:, 4] - 27) / 5 + torch.randn(n, generator=drawn)
    x[torch.rand(x.shape, generator=drawn) < missing] = torch.nan
    return Dataset(x, (score > 0).long(), SCHEMA)


def models(members: int, *, hidden: tuple[int, ...] = (8, 6), seed: int = 0) -> Networks:
    """Untrained networks of this clinic."""
    return mixed.untrained(records(80, seed=seed + 1000), members, hidden=hidden, seed=seed)


def everything(record: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Every record (K, D) that a forger could present, and the change (K, D) of each value.

    By the words of the relations, value by value, without the program; changes in units of eps.
    """
    own = [float(value) for value in record]
    choices = []
    for value, one in zip(own, FEATURES.values(), strict=True):
        ends = [one.lower, one.upper] + [value] * (value == value)  # it may come nearer
        first, last = round(min(ends) / one.step), round(max(ends) / one.step)
        grid = [tick * one.step for tick in range(first, last + 1)]
        near = [v for v in grid if abs(v - value) <= largest * one.scale + 1e-9]
        moves = one.mutable and value == value and one is not FEATURES["bmi"]
        choices.append([value, *(v for v in near if v != value)] if moves else [value])
    made, changes = [], []
    for some in product(*choices):
        version = list(some)
        if all(value == value for value in own[WEIGHT : BMI + 1]):
            old, new = (round(w / (h / 100) ** 2, 1) for w, h in (own[2:4], some[2:4]))
            if old != new:
                version[BMI] = round(round(own[BMI], 1) + new - old, 1)
        if _allowed(version, own):
            made.append(version)
            changes.append(
                [
                    0.0 if name == "bmi" or b != b else abs(a - b) / FEATURES[name].scale
                    for name, a, b in zip(FEATURES, version, own, strict=True)
                ]
            )
    return torch.tensor(made), torch.tensor(changes, dtype=torch.float64)


def _allowed(version: list[float], own: list[float]) -> bool:
    sums = [
        (v[DIASTOLIC] + 15 - v[SYSTOLIC], v[WEIGHT] - 0.5 * v[HEIGHT] - 20) for v in (version, own)
    ]
    if any(now > max(0, then) + 1e-6 for now, then in zip(*sums, strict=True)):
        return False
    bmi = FEATURES["bmi"]
    too_low = version[BMI] < min(bmi.lower, own[BMI]) - 1e-3
    return not too_low and not version[BMI] > max(bmi.upper, own[BMI]) + 1e-3
