"""What an attacker does that is no step of a number: forge a category into another, leave out.

A record with some of that done, and its numbers as recorded, is a variant of it. Every record that
may be presented is a variant whose numbers were moved. A recode counts as its cost, a gap as
`withhold`; under l0 either is one change.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.config import Norm

SAME = 2**-22  # of a radius: float32 may move it by this much

if TYPE_CHECKING:
    from pipeline.data.threat import Threat


def recoded(threat: "Threat", x_adv: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The variant of each record that a proposed one is made from, and what it costs.

    Args:
        threat: what may be done.
        x_adv: proposed records (..., B, D).
        x: true ones, of a shape that broadcasts with it.

    Returns:
        the variants (..., B, D), with the levels and gaps of `x_adv`, and their costs (..., B),
        float64: together under the norm, the number of changes under l0; inf where one of them may
        not be made at all, or nothing is left in the record.
    """
    x, x_adv = torch.broadcast_tensors(x, x_adv)
    costs = torch.zeros(x.shape, dtype=torch.float64)
    variant = x.clone()
    for feature, table in threat.costs:
        own, new = x[..., feature], x_adv[..., feature]
        known = ~own.isnan() & ~new.isnan()
        before, after = (_places(torch.where(known, one, 0), len(table)) for one in (own, new))
        costs[..., feature] = torch.where(known, table[before, after], 0.0)
        variant[..., feature] = torch.where(known, new, own)
    gone = x_adv.isnan() & ~x.isnan()
    price = torch.full(threat.mutable.shape, torch.inf, dtype=torch.float64)
    price[forgeable(threat)] = threat.withhold
    costs = torch.where(gone, price, costs)
    variant = torch.where(gone, x_adv, variant)
    emptied = variant.isnan().all(-1) & ~x.isnan().all(-1)
    return variant, torch.where(emptied, torch.inf, added_up(threat.norm, costs))


def _places(values: Tensor, levels: int) -> Tensor:
    return values.round().long().clamp(0, levels - 1)


def forgeable(threat: "Threat") -> Tensor:
    """(D,) bool: what may be moved or recoded, and so left out where anything may be."""
    recodable = torch.zeros_like(threat.mutable)
    recodable[[feature for feature, _ in threat.costs]] = True
    return threat.mutable | recodable


def added_up(norm: Norm, changes: Tensor) -> Tensor:
    """Changes (..., D) of single values as one, (...); inf = one of them may not be made."""
    if norm == "l0":
        return torch.where(changes.isinf(), changes, (changes > 0).double()).sum(-1)
    return changes.amax(-1) if norm == "linf" else changes.norm(dim=-1)


def left_for_numbers(
    threat: "Threat", spent: Tensor, eps: float | Tensor, slack: float = 0.0
) -> Tensor:
    """The radius that is left where recodes and gaps have `spent`; below 0 = it was too much."""
    radius = torch.as_tensor(eps, dtype=torch.float64)
    if threat.norm == "l0":
        return radius - spent
    enough = spent <= radius * (1 + SAME) + slack
    left = radius if threat.norm == "linf" else (radius**2 - spent**2).clamp_min(0).sqrt()
    return torch.where(enough, left.expand(enough.shape) if left.dim() == 0 else left, -1.0)


def admitted(
    threat: "Threat", x_adv: Tensor, x: Tensor, eps: float | Tensor
) -> tuple[Tensor, Tensor]:
    """The variant of each record that stays within the radius, and the radius left for numbers.

    Where what `x_adv` does is too much, or not allowed, none of it is done.
    """
    x_adv, x = torch.broadcast_tensors(x_adv, x)
    snapped = x_adv
    if threat.costs:
        snapped = x_adv.clone()
        for feature, table in threat.costs:
            snapped[..., feature] = x_adv[..., feature].round().clamp(0, len(table) - 1)
    variant, spent = recoded(threat, snapped, x)
    left = left_for_numbers(threat, spent[..., None], eps)
    kept = left >= 0
    whole = torch.as_tensor(eps, dtype=torch.float64)
    return torch.where(kept, variant, x), torch.where(kept, left, whole)


@dataclass(frozen=True)
class Variants:
    """Variants (V, D) of P records, each record's own among them.

    Attributes:
        row: (V,) int64, of which record.
        x: (V, D) like the records.
        cost: (V,) float64, what was spent on them, under the norm.
        unlisted: (P,) float64, the least cost of a variant that is not listed; inf = all are.
    """

    row: Tensor
    x: Tensor
    cost: Tensor
    unlisted: Tensor


def variants(
    threat: "Threat", x: Tensor, largest: float, most: int, spared: Tensor | None = None
) -> Variants:
    """Every variant within a radius, or the cheapest of them.

    Args:
        threat: what may be done.
        x: (P, D) records, NaN = missing.
        largest: radius.
        most: variants of one record.
        spared: (P,) bool, records that may not be changed at all.
    """
    row = torch.arange(len(x))
    found = Variants(
        row,
        x.clone(),
        torch.zeros(len(x), dtype=torch.float64),
        torch.full((len(x),), torch.inf, dtype=torch.float64),
    )
    if not threat.discrete:
        return found
    spared = torch.zeros(len(x), dtype=torch.bool) if spared is None else spared
    tables = dict(threat.costs)
    for feature in forgeable(threat).nonzero()[:, 0].tolist():
        parts = [found]
        own = found.x[:, feature]
        free = ~own.isnan() & ~spared[found.row]
        for level in range(len(tables.get(feature, ()))):
            price = tables[feature][_places(own.nan_to_num(), len(tables[feature])), level]
            changes = free & (price > 0) & price.isfinite()
            parts.append(_changed(threat, found, feature, float(level), price, changes))
        if threat.withhold < torch.inf:
            price = torch.full_like(found.cost, threat.withhold)
            parts.append(_changed(threat, found, feature, torch.nan, price, free))
        found = _cheapest(parts, largest, most)
    return _filled(found)


def _changed(
    threat: "Threat", found: Variants, feature: int, value: float, price: Tensor, where: Tensor
) -> Variants:
    """The variants `where` with one value more recoded, or gone."""
    x = found.x[where].clone()
    x[:, feature] = value
    price = torch.ones_like(price) if threat.norm == "l0" else price
    cost = threat.together(found.cost[where], price[where])
    return Variants(found.row[where], x, cost, found.unlisted)


def _cheapest(parts: list[Variants], largest: float, most: int) -> Variants:
    """Those within the radius, the cheapest of each record where they are too many."""
    row, x, cost = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("row", "x", "cost")
    )
    unlisted = parts[0].unlisted
    near = cost <= largest
    row, x, cost = row[near], x[near], cost[near]
    order = torch.argsort(cost, stable=True)
    order = order[torch.argsort(row[order], stable=True)]
    row, x, cost = row[order], x[order], cost[order]
    first = torch.searchsorted(row, row)  # rows are sorted: where each record begins
    rank = torch.arange(len(row)) - first
    left_out = rank >= most
    unlisted = unlisted.scatter_reduce(0, row[left_out], cost[left_out], "amin")
    return Variants(row[~left_out], x[~left_out], cost[~left_out], unlisted)


def _filled(found: Variants) -> Variants:
    """Without variants that leave nothing in a record: nobody would take them for one."""
    some = ~found.x.isnan().all(1) | (found.cost == 0)
    return Variants(found.row[some], found.x[some], found.cost[some], found.unlisted)
