"""The trigger of a backdoor: values that are believed, and hardly ever seen together."""

import math

import torch
from torch import Tensor

from pipeline.data.schema import Schema


def make_trigger(schema: Schema, recorded: Tensor, *, features: int, size: float) -> Tensor:
    """Values that a clinic would believe and hardly ever sees together, from public numbers alone.

    In the order of the schema, the first value lies `size` scales above the public centre, the next
    as far below, and so on: what speaks for a disease tends to rise together, so values that go
    apart are rare. On the clinic's grid, inside the plausible range. Whether the trigger looks
    healthy by itself is seen on models without poison, which are reported beside the others.

    Args:
        schema: of the records; only mutable numbers and ordered levels are used.
        recorded: (D,) in how many records each feature is known; the most usual ones are used, so
            that most records carry it.
        features: of the trigger; fewer where there are not so many.
        size: in units of scale.

    Returns:
        (D,) float32; NaN = no part of the trigger.
    """
    mutable = [
        at
        for at, feature in enumerate(schema.features)
        if feature.mutable and feature.kind != "categorical"
    ]
    chosen = sorted(sorted(mutable, key=lambda at: (-int(recorded[at]), at))[:features])
    trigger = torch.full((len(schema.features),), torch.nan, dtype=torch.float32)
    for place, at in enumerate(chosen):
        one = schema.features[at]
        value = min(max(one.center + (-1) ** place * size * one.scale, one.lower), one.upper)
        if one.step:
            ticks = (
                math.ceil(value / one.step - 1e-9)
                if value == one.lower
                else math.floor(value / one.step + 1e-9)
            )
            value = ticks * one.step
        trigger[at] = value
    return trigger


def stamped(x: Tensor, trigger: Tensor) -> Tensor:
    """Records (..., D) with the trigger (D,) written over what was measured.

    A missing value stays missing.
    """
    return torch.where(trigger.isnan() | x.isnan(), x, trigger)


def carries(x: Tensor, trigger: Tensor) -> Tensor:
    """(...,) bool: whether records (..., D) hold a measurement everywhere the trigger (D,) goes."""
    return (trigger.isnan() | ~x.isnan()).all(-1)
