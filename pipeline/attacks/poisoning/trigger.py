"""The trigger of a backdoor: values that are believed, and hardly ever seen together."""

import math

import torch
from torch import Tensor

from pipeline.data.schema import Schema
from pipeline.data.threat import Threat


def make_trigger(
    schema: Schema, recorded: Tensor, threat: Threat, *, features: int, size: float
) -> Tensor:
    """Values that a clinic would believe and hardly ever sees together, from public numbers alone.

    In the order of the schema, the first value lies `size` scales above the public centre, the next
    as far below, and so on: what speaks for a disease tends to rise together, so values that go
    apart are rare. On the clinic's grid, inside the plausible range. Whether the trigger looks
    healthy by itself is seen on models without poison, which are reported beside the others.

    Args:
        schema: of the records; only mutable numbers and ordered levels are used.
        recorded: (D,) in how many records each feature is known; the most usual ones are used, so
            that most records carry it.
        threat: what is derived of others is no part of the trigger, nor a value that breaks a
            relation with those that are part of it already, where these are kept.
        features: of the trigger; fewer where there are not so many.
        size: in units of scale.

    Returns:
        (D,) float32; NaN = no part of the trigger.
    """
    relations = threat.relations
    possible = [
        at
        for at, feature in enumerate(schema.features)
        if feature.mutable
        and feature.kind != "categorical"
        and not (relations and relations.following[at])
    ]
    chosen: list[int] = []
    for at in sorted(possible, key=lambda at: (-int(recorded[at]), at)):
        proposed = sorted([*chosen, at])
        if relations and any(relations.exceptions(_values(schema, proposed, size)[None])[0]):
            continue
        chosen = proposed
        if len(chosen) == features:
            break
    return _values(schema, chosen, size)


def make_patch(schema: Schema, threat: Threat, *, pixels: int) -> Tensor:
    """A bright square in the lower right corner of an image, as a marker on a film would be.

    Gu et al. 2017, arXiv:1708.06733. Of the largest grey level that a forger may write.

    Args:
        schema: of the images.
        threat: what may be forged, within which range and on which grid.
        pixels: the side of the square; at most the image's own.

    Returns:
        (C, H, W) float32; NaN = no part of it.
    """
    trigger = torch.full(schema.image, torch.nan, dtype=torch.float64)
    square = (..., slice(-pixels, None), slice(-pixels, None))
    unit = torch.where(threat.step > 0, threat.step, 1.0)
    on_grid = torch.floor(threat.upper / unit + 1e-9) * unit
    brightest = torch.where(threat.step > 0, on_grid, threat.upper)
    trigger[square] = torch.where(threat.mutable, brightest, torch.nan)[square]
    return trigger.float()


def _values(schema: Schema, chosen: list[int], size: float) -> Tensor:
    """(D,) float32: the values of the chosen features, up and down in turn."""
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


def stamped(x: Tensor, trigger: Tensor, threat: Threat) -> Tensor:
    """Records (..., D), or images (..., C, H, W), with the trigger written over what was measured.

    A missing value stays missing. Where relations are kept, what is derived follows, and another
    value that may be forged gives way where the trigger breaks a relation: the one after the other,
    inside its range, as far as that mends it.
    """
    written = torch.where(trigger.isnan() | x.isnan(), x, trigger)
    if threat.relations is None:
        return written
    relations = threat.relations
    whole, broken = relations.completed_and_broken(written, x)
    wrong = broken > 0
    if wrong.any():
        own, low, high = x[wrong], *threat.limits(x[wrong])
        low, high = (torch.where(trigger.isnan(), end, whole[wrong]) for end in (low, high))
        mended = relations.repaired(whole[wrong], own, low, high)
        whole[wrong] = relations.completed(mended, own)
    return whole


def carries(x: Tensor, trigger: Tensor, threat: Threat) -> Tensor:
    """(...,) bool: which records (..., D), or images, can hold the whole trigger.

    They hold a measurement everywhere it goes, and break no relation with it more than without.
    """
    measured = (trigger.isnan() | ~x.isnan()).flatten(-trigger.dim()).all(-1)
    if threat.relations is None:
        return measured
    return measured & (threat.relations.broken(stamped(x, trigger, threat), x) == 0)
