"""What the values of a record have to do with each other, in tensors: checked, followed, repaired.

A record may break a relation of its own as far as it does: a forged version may go no further. What
is derived keeps the difference that it has from its formula as recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.config import Formula, Relation
from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.schema import Schema

SLACK = 1e-9  # of the terms of a sum: float64 may add them up to a little more


class Change(NamedTuple):
    """A formula at records as recorded, and at versions of them.

    Attributes:
        known: (...) bool, where both hold all that it needs; elsewhere its numbers mean nothing.
        before: (...) float64; not finite where it has no value.
        after: (...) float64, likewise.
    """

    known: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class Derived:
    """A value that follows from others.

    Attributes:
        place: of the feature.
        formula: how it follows.
        parents: the places of the features that it follows from, by name.
        resolution: at which it is written down; 0 = as computed.
        lower: the least value that passes for one; -inf = no limit.
        upper: the largest; inf = no limit.
    """

    place: int
    formula: Formula
    parents: Mapping[str, int]
    resolution: float
    lower: float
    upper: float

    def known(self, x: Tensor) -> Tensor:
        """(...) bool: records (..., D) that hold it and all that it follows from."""
        return ~x[..., [self.place, *self.parents.values()]].isnan().any(-1)

    def computed(self, values: Tensor, known: Tensor) -> Tensor:
        """(...) the formula at records (..., D) float64; not finite where it has no value.

        A number that means nothing where not all is `known`: no gap may reach a gradient.
        """
        parents = {
            name: torch.where(known, values[..., at], 1.0) for name, at in self.parents.items()
        }
        return self.formula.at(parents)

    def change(self, values: Tensor, x: Tensor) -> Change:
        """Its formula at records x (..., D), and when they are forged into `values`."""
        known = self.known(x) & ~values[..., list(self.parents.values())].isnan().any(-1)
        return Change(known, self.computed(x, known), self.computed(values, known))

    def follows(self, own: Tensor, change: Change) -> Tensor:
        """(...) float64: what it becomes where it is `own` (...) in the record.

        It stays where it does not follow: something is missing, or the formula has no value.
        """
        known, old, new = change
        if self.resolution:
            ticks = torch.round(new / self.resolution) - torch.round(old / self.resolution)
            moved = (torch.round(own / self.resolution) + ticks) * self.resolution
            moved = torch.where(ticks.detach() == 0, own, moved)
        else:
            moved = torch.where(new.detach() == old, own, own + (new - old))
        follows = torch.where(known & moved.detach().isfinite(), moved, own)
        if not new.requires_grad:
            return follows
        slope = torch.where(known & new.detach().isfinite(), new, 0.0)
        return follows.detach() + (slope - slope.detach())

    def wrong(self, here: Tensor, own: Tensor, change: Change) -> Tensor:
        """(...) bool: whether it may not be `here` (...) in a version of a record of `own`."""
        follows = self.follows(own, change)
        near = TICK_TOLERANCE * (self.resolution or 1.0) + 1e-6 * follows.abs()
        undefined = ~change.after.isfinite() & change.before.isfinite()
        outside = (here < own.clamp_max(self.lower) - near) | (
            here > own.clamp_min(self.upper) + near
        )
        return change.known & (undefined | outside | ((here - follows).abs() > near))


@dataclass(frozen=True)
class Relations:
    """The relations between the D features of a data set.

    Attributes:
        weights: (R, D) float64, of sums that may be at most `bounds`.
        bounds: (R,) float64.
        step: (D,) float64, the grid on which values are compared as recorded; 0 = none.
        derived: what follows from others.
    """

    weights: Tensor
    bounds: Tensor
    step: Tensor
    derived: tuple[Derived, ...]

    @classmethod
    def of_schema(
        cls, schema: Schema, step: Tensor, limits: tuple[Tensor, Tensor]
    ) -> "Relations | None":
        """Those of a schema, recorded on the grid `step` (D,) inside `limits`; None = none."""
        if not schema.relations and not schema.derived:
            return None
        names = schema.names
        weights = torch.zeros(len(schema.relations), len(names), dtype=torch.float64)
        bounds = torch.zeros(len(schema.relations), dtype=torch.float64)
        for row, relation in enumerate(map(Relation.of, schema.relations)):
            bounds[row] = relation.bound
            for name, weight in relation.weights.items():
                weights[row, names.index(name)] = weight
        derived = []
        for name, text in schema.derived:
            place, formula = names.index(name), Formula.of(text)
            unit = 0.0 if formula.decimals is None else 10.0**-formula.decimals
            parents = {parent: names.index(parent) for parent in formula.names}
            low, high = (float(end[place]) for end in limits)
            derived.append(Derived(place, formula, parents, unit or float(step[place]), low, high))
        return cls(weights, bounds, step, tuple(derived))

    @property
    def following(self) -> Tensor:
        """(D,) bool, the values that follow from others."""
        mask = torch.zeros(len(self.step), dtype=torch.bool)
        mask[[one.place for one in self.derived]] = True
        return mask

    def as_recorded(self, values: Tensor) -> Tensor:
        """Records (..., D) in float64, on the grid where they stand for a value of it."""
        values = values.double()
        step = torch.where(self.step > 0, self.step, 1.0)
        ticks = torch.round(values.detach() / step) * step
        near = (self.step > 0) & ((values - ticks).abs() <= TICK_TOLERANCE * step)
        return torch.where(near, values + (ticks - values).detach(), values)

    def sums(self, values: Tensor) -> Tensor:
        """The sums (..., R) of records (..., D) as recorded; NaN where a term is missing."""
        missing = values.isnan().double() @ (self.weights != 0).double().T > 0
        return torch.where(missing, torch.nan, values.nan_to_num() @ self.weights.T)

    def own_bounds(self, x: Tensor) -> Tensor:
        """(..., R) what each sum may be at most in versions of x (..., D); inf = does not bind."""
        own = self.as_recorded(x)
        bounds = torch.maximum(self.bounds, self.sums(own)) + self._slack(own)
        return torch.where(bounds.isnan(), torch.inf, bounds)

    def _slack(self, own: Tensor) -> Tensor:
        """(..., R) by how much float64 may add up the sums of records (..., D) to more."""
        return SLACK * (own.nan_to_num().abs() @ self.weights.abs().T + self.bounds.abs())

    def completed(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Versions `x_adv` (..., D) of records x, with what is derived as it follows.

        Gradients pass through a rounding as if there were none.
        """
        x_adv, x = torch.broadcast_tensors(x_adv, x)
        own = self.as_recorded(x)
        return self._completed(x_adv, x, own, self._changes(x_adv, own))

    def broken(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """(...) int64: how many relations versions `x_adv` (..., D) of records x break."""
        x_adv, x = torch.broadcast_tensors(x_adv, x)
        own = self.as_recorded(x)
        return self._broken(x_adv, x, own, self._changes(x_adv, own))

    def completed_and_broken(self, x_adv: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """`completed`, and how many relations that breaks.

        Each formula is computed once: no derived value is another one's parent.
        """
        x_adv, x = torch.broadcast_tensors(x_adv, x)
        own = self.as_recorded(x)
        changes = self._changes(x_adv, own)
        whole = self._completed(x_adv, x, own, changes)
        return whole, self._broken(whole, x, own, changes)

    def _changes(self, x_adv: Tensor, own: Tensor) -> list[Change]:
        values = self.as_recorded(x_adv)
        return [one.change(values, own) for one in self.derived]

    def _completed(
        self, x_adv: Tensor, x: Tensor, own: Tensor, changes: Sequence[Change]
    ) -> Tensor:
        result = x_adv.clone()
        for one, change in zip(self.derived, changes, strict=True):
            before = own[..., one.place]
            follows = one.follows(before, change)
            bits = torch.where(follows.detach() == before, x[..., one.place], follows.to(x.dtype))
            if follows.requires_grad:
                bits = bits.detach() + (follows - follows.detach()).to(x.dtype)
            result[..., one.place] = bits
        return result

    def _broken(self, x_adv: Tensor, x: Tensor, own: Tensor, changes: Sequence[Change]) -> Tensor:
        values = self.as_recorded(x_adv)
        count = (self.sums(values) > self.own_bounds(x)).sum(-1)
        for one, change in zip(self.derived, changes, strict=True):
            count = count + one.wrong(values[..., one.place], own[..., one.place], change)
        return count

    def exceptions(self, x: Tensor) -> tuple[list[int], dict[int, int]]:
        """How many records (N, D) break each sum, and by place how many differ from a formula."""
        broken, differ = self.exceptional(x)
        places = [one.place for one in self.derived]
        return broken.sum(0).tolist(), dict(zip(places, differ.sum(0).tolist(), strict=True))

    def exceptional(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Which records (N, D) break each sum, (N, R) bool, and differ from each formula, (N, F).

        Where something is missing nothing is broken.
        """
        own = self.as_recorded(x)
        broken = self.sums(own) > self.bounds + self._slack(own)
        differ = torch.zeros(len(x), len(self.derived), dtype=torch.bool)
        for column, one in enumerate(self.derived):
            known = one.known(own)
            value = one.computed(own, known)
            near = 0.51 * one.resolution + 1e-6 * value.abs()
            differ[:, column] = known & ~((own[:, one.place] - value).abs() <= near)
        return broken, differ

    def repaired(self, x_adv: Tensor, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Versions (K, D) that break fewer sums: one value after the other is solved for.

        First the value that was changed least. Nothing leaves its own range (low, high), on the
        grid.
        """
        values, bounds = self.as_recorded(x_adv), self.own_bounds(x)
        step, grid = torch.where(self.step > 0, self.step, 1.0), self.step > 0
        own = self.as_recorded(x)
        for _ in range(len(self.weights)):
            for row, weight in enumerate(self.weights):
                involved = ((weight != 0) & ~self.following).nonzero()[:, 0]
                change = ((values - own).abs() / step)[:, involved]
                for at in change.argsort(dim=1).T:
                    feature = involved[at][:, None]
                    excess = (values.nan_to_num() * weight).sum(1) - bounds[:, row]
                    here, slope = values.gather(1, feature)[:, 0], weight[feature[:, 0]]
                    solved = here - excess / slope
                    unit = step[feature[:, 0]]
                    safe = torch.where(
                        slope > 0,
                        torch.floor(solved / unit + SLACK) * unit,
                        torch.ceil(solved / unit - SLACK) * unit,
                    )
                    solved = torch.where(grid[feature[:, 0]], safe, solved)
                    first, last = (end.gather(1, feature)[:, 0].double() for end in (low, high))
                    moved = torch.minimum(torch.maximum(solved, first), last)
                    needed = (excess > 0) & excess.isfinite() & ~here.isnan()
                    values = values.scatter(1, feature, torch.where(needed, moved, here)[:, None])
        left = (values == self.as_recorded(x_adv)) | values.isnan()
        return torch.where(left, x_adv, torch.where(values == own, x, values.to(x.dtype)))
