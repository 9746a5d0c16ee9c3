"""A linear model, stolen to the last digit by solving equations."""

import torch
from torch import Tensor

from pipeline.attacks.oracle import Oracle
from pipeline.data.schema import Schema
from pipeline.models.mlp import Architecture
from pipeline.models.networks import Networks
from pipeline.models.one_hot import HOT

LIMIT = 36.0  # log-odds beyond which a float64 probability is 0 or 1


def answers_needed(schema: Schema) -> int:
    """How many answers `steal_linear` asks for."""
    return 1 + len(_differing(schema)) + len(schema.features)


def _differing(schema: Schema) -> list[tuple[int, float]]:
    """The records that differ from the centre in one value: which one, and what it is then.

    A number by its scale, a category by each of its other levels.
    """
    categories = set(schema.hot[:, 0].tolist())
    one_scale = [
        (place, feature.center + feature.scale)
        for place, feature in enumerate(schema.features)
        if place not in categories
    ]
    levels = [(place, float(level)) for place, level in schema.hot.tolist()]
    return one_scale + [
        (place, level) for place, level in levels if level != schema.features[place].center
    ]


def steal_linear(oracle: Oracle, schema: Schema, victims: int) -> Networks:
    """Logistic regression to the last digit, by solving equations.

    Tramer et al. 2016, arXiv:1609.02943. Without categories D + 1 probabilities give the weights
    and the intercept: those of the record at the schema's centres, and of the records that differ
    from it in one value; of a category, in each other level. D more, with that value missing, give
    what the victim imputes.

    Args:
        oracle: shows probabilities in full, and has `answers_needed` left.
        schema: centre and scale of each feature.
        victims: V.

    Returns:
        V linear models in float64 that answer as the victims do, missing values included. What a
        victim that gives a value no weight imputes does not matter, and is the centre.
    """
    center, scale, hot = schema.column("center"), schema.column("scale"), schema.hot
    features, asked = len(center), _differing(schema)
    moved = center.repeat(1 + len(asked), 1)
    for row, (place, value) in enumerate(asked, start=1):
        moved[row, place] = value
    odds = _odds(oracle(moved.expand(victims, -1, -1)))
    inputs = {(place, level): features + at for at, (place, level) in enumerate(hot.tolist())}
    weight = torch.zeros(victims, schema.inputs, dtype=torch.float64)
    for row, (place, value) in enumerate(asked, start=1):
        weight[:, inputs.get((place, int(value)), place)] = odds[:, row] - odds[:, 0]
    gone = torch.where(torch.eye(features, dtype=torch.bool), torch.nan, center)
    change = _odds(oracle(gone.expand(victims, -1, -1))) - odds[:, :1]
    constants = {
        "center": torch.cat([center, torch.zeros(len(hot))]).expand(victims, -1).clone(),
        "scale": torch.cat([scale, torch.ones(len(hot))]).expand(victims, -1).clone(),
    }
    constants["scale"][:, hot[:, 0]] = torch.inf
    constants["impute"] = constants["center"].clone()
    everyone = torch.arange(victims)
    for place in range(features):
        # one input takes all that a gap does: the value's own, or the level's that weighs most
        own = [at for (feature, _), at in inputs.items() if feature == place] or [place]
        taker = torch.tensor(own)[weight[:, own].abs().argmax(1)]
        heavy = weight[everyone, taker]
        share = torch.where(heavy.abs() > 1e-9, change[:, place] / heavy, 0.0)
        constants["impute"][everyone, taker] += constants["scale"][everyone, taker] * share
    if len(hot):
        constants[HOT] = hot.double().expand(victims, -1, -1).clone()
    parameters = {  # two classes: their difference is the log-odds, half of it each
        "weight0": torch.stack([-weight / 2, weight / 2], -1),
        "bias0": torch.stack([-odds[:, :1] / 2, odds[:, :1] / 2], -1),
    }
    labels = tuple(f"solved{victim}" for victim in range(victims))
    return Networks(Architecture("linear", schema.inputs, 2, ()), constants, parameters, labels)


def _odds(chance: Tensor) -> Tensor:
    return torch.logit(chance).clamp(-LIMIT, LIMIT)
