"""Relations between the values of a record, over boxes: what they rule out, and what follows.

A value that is derived is no side of a box: it lies where its formula can lie over the box, and the
linear bound of the margin is carried over to what it follows from (mean value form, Moore 1966). A
relation rules boxes and parts of them out, and is added to the bound with the multiplier that lifts
it most (Lagrange); any multiplier of at least 0 would be sound.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.data.relations import Derived, Relations
from pipeline.verify.intervals import Enclosure

if TYPE_CHECKING:
    from pipeline.verify.bounds import Linear
    from pipeline.verify.problem import Boxes, Problem

ROUNDING = 2.0**-23  # of a value: how far its float32 may lie from it, with room
ARITHMETIC = 1e-12  # relative: what float64 may make of a sum of a few terms
LARGE = 1e150  # in place of what has no limit, where only the order counts


@dataclass(frozen=True)
class Line:
    """derived value = base + sum of slopes times (x - centre) +- error, and in [low, high].

    Attributes:
        base: (B,).
        slopes: (B, E), 0 but for what it follows from.
        centre: (B, E).
        share: (B, E) of the error, what hangs on the width of each value.
        pull: (B, E) how far it moves with each value over the box, at most.
        error: (B,).
        low: (B,), all that is known of it; `high`: likewise.
    """

    base: Tensor
    slopes: Tensor
    centre: Tensor
    share: Tensor
    pull: Tensor
    error: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Kept:
    """What versions of P records keep.

    Attributes:
        relations: of the D features; of E inputs the others are levels of categories.
        record: (P, D) float32, the records.
        bounds: (P, R) what each sum may be at most; inf = does not bind.
        shift: (P, K) what each derived value is beyond its formula.
        spare: (P, K) how far it may lie from that, by how it is written down.
        follows: (P, K) bool, whether it follows; otherwise it stays.
    """

    relations: Relations
    record: Tensor
    bounds: Tensor
    shift: Tensor
    spare: Tensor
    follows: Tensor

    @classmethod
    def of(cls, relations: Relations, record: Tensor) -> "Kept":
        """Of records (P, D)."""
        own = relations.as_recorded(record)
        shift, spare = own.new_zeros(2, len(own), len(relations.derived))
        follows = torch.zeros(shift.shape, dtype=torch.bool)
        for place, one in enumerate(relations.derived):
            shift[:, place], spare[:, place], follows[:, place] = _offset(one, own)
        return cls(relations, record, relations.own_bounds(record), shift, spare, follows)

    def where(self, rows: Tensor) -> "Kept":
        """Of some of the records."""
        parts = (self.bounds, self.shift, self.spare, self.follows)
        return Kept(self.relations, self.record[rows], *(part[rows] for part in parts))

    def completed(self, index: Tensor, records: Tensor) -> Tensor:
        """Float32 inputs (B, E) of records `index`, with what is derived as it follows."""
        features = self.record.shape[1]
        whole = self.relations.completed(records[:, :features], self.record[index])
        return torch.cat([whole, records[:, features:]], 1)

    def holds(self, index: Tensor, records: Tensor) -> Tensor:
        """(B,) bool: whether inputs (B, E) keep what records `index` do."""
        features = self.record.shape[1]
        return self.relations.broken(records[:, :features], self.record[index]) == 0

    def uncounted(self, change: Tensor) -> Tensor:
        """Changes (B, E) without those of what follows."""
        features = self.record.shape[1]
        change = change.clone()
        change[:, :features][:, self.relations.following] = 0.0
        return change

    def spread(self, boxes: "Boxes") -> tuple[Tensor, Tensor, list[Line]]:
        """Corners (B, E) of boxes with where derived values can lie, and a line for each."""
        low, high, lines = boxes.low.clone(), boxes.high.clone(), []
        for number, one in enumerate(self.relations.derived):
            follows = self.follows[boxes.index, number]
            line = _line(
                one, boxes, self.shift[boxes.index, number], self.spare[boxes.index, number]
            )
            own = boxes.x[:, one.place]
            bottom = torch.maximum(line.low, own.clamp_max(one.lower))
            top = torch.minimum(line.high, own.clamp_min(one.upper))
            low[:, one.place] = torch.where(follows, bottom, low[:, one.place])
            high[:, one.place] = torch.where(follows, top, high[:, one.place])
            lines.append(replace(line, low=bottom, high=top))
        return low, high, lines

    def narrowed(self, boxes: "Boxes", problem: "Problem") -> tuple["Boxes", Tensor]:
        """What of boxes can keep the relations, and which hold anything that may."""
        low, high, _ = self.spread(boxes)
        possible = ~(low > high).any(1)
        free = ~boxes.keeps_stray(problem)
        free[:, : self.record.shape[1]] &= ~self.relations.following
        first, last = boxes.low.clone(), boxes.high.clone()
        for row, weight in enumerate(self.relations.weights):
            involved = (weight != 0).nonzero()[:, 0]
            ends = torch.stack([low[:, involved], high[:, involved]]) * weight[involved]
            least, bound = ends.amin(0), self.bounds[boxes.index, row]
            slack = 1e-6 * (least.abs().sum(1) + bound.abs())
            spare = bound - least.sum(1) + torch.where(bound.isfinite(), slack, 0.0)
            possible &= ~(spare < 0)
            for at, feature in enumerate(involved.tolist()):
                room = (least[:, at] + spare.clamp_min(0)) / weight[feature]
                sign = torch.sign(weight[feature])  # -1: a lower limit, mirrored into an upper one
                step, room = problem.step[feature], sign * room
                limit = torch.where(
                    problem.gridded[feature],
                    torch.floor(room / step + 1e-6) * step,
                    room + ROUNDING * room.abs(),
                )
                limit = torch.where(free[:, feature] & limit.isfinite(), limit, torch.inf)
                end = last if sign > 0 else first
                end[:, feature] = sign * torch.minimum(sign * end[:, feature], limit)
        possible &= (first <= last).all(1)
        return type(boxes)(boxes.index, boxes.x, first, last), possible

    def bounded(self, bound: "Linear", boxes: "Boxes", lines: list[Line]) -> "Linear":
        """A linear bound over boxes whose derived values lie on lines, in terms of the others."""
        slope, offset, loose = bound.slope.clone(), bound.offset, bound.looseness
        for number, (one, line) in enumerate(zip(self.relations.derived, lines, strict=True)):
            follows = self.follows[boxes.index, number]
            steep = torch.where(follows, slope[:, one.place], 0.0)
            base = line.base - (line.slopes * line.centre).sum(1)
            carried = steep * base - steep.abs() * line.error
            # where the line is of no use, the ends of the interval still are
            ends = torch.where(steep > 0, line.low, line.high) * steep
            straight = line.error.isfinite()
            offset = offset + torch.where(
                steep == 0, 0.0, torch.where(straight, carried, ends).nan_to_num(neginf=-torch.inf)
            )
            slope = slope + torch.where(straight, steep, 0.0)[:, None] * line.slopes
            gap = torch.where(follows, loose[:, one.place], 0.0)[:, None]
            part = line.pull / line.pull.sum(1, keepdim=True).clamp_min(1e-300)
            loose = loose + gap * part + steep.abs()[:, None] * line.share.clamp_max(LARGE)
            loose[:, one.place] = 0.0
            slope[:, one.place] = torch.where(follows, 0.0, slope[:, one.place])
        bound = replace(bound, slope=slope, offset=offset, looseness=loose)
        for row, weight in enumerate(self.relations.weights):
            if not bool((self.relations.following & (weight != 0)).any()):
                bound = self._lifted(bound, boxes, row, weight)
        return bound

    def _lifted(self, bound: "Linear", boxes: "Boxes", row: int, weight: Tensor) -> "Linear":
        """With a relation added, times the multiplier that lifts the least value most."""
        slope, offset = bound.slope, bound.offset
        whole = torch.cat([weight, weight.new_zeros(slope.shape[1] - len(weight))])
        involved = (whole != 0).nonzero()[:, 0]
        limit = self.bounds[boxes.index, row]
        binds = limit.isfinite()
        limit = torch.where(binds, limit, 0.0)

        def times(turn: Tensor, spare: Tensor | float = 0.0) -> "Linear":
            lifted = offset - turn * (limit + spare)
            return replace(bound, slope=slope + turn[:, None] * whole, offset=lifted)

        turns = (-slope[:, involved] / whole[involved]).clamp_min(0)
        best, least = torch.zeros_like(offset), bound.least(boxes)
        for one in turns.T:
            turn = torch.where(binds, one, 0.0)
            lifted = times(turn).least(boxes)
            better = lifted > least
            least, best = torch.where(better, lifted, least), torch.where(better, turn, best)
        largest = torch.maximum(boxes.low.abs(), boxes.high.abs())
        terms = limit.abs() + (largest * whole.abs()).sum(1)
        return times(best, ARITHMETIC * terms)


def _offset(one: Derived, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(P,) each: what it is beyond its formula, how far it may lie from that, if it follows."""
    known, value = one.known(own), own[:, one.place]
    computed = one.computed(own, known)
    follows = known & computed.isfinite()
    if not one.resolution:
        shift, spare = value - computed, torch.zeros_like(value)
    else:
        unit = one.resolution
        written = torch.round(value / unit) * unit
        shift = written - torch.round(computed / unit) * unit
        spare = unit / 2 + (value - written).abs()
    return (torch.where(follows, shift, 0.0), torch.where(follows, spare, 0.0), follows)


def _enclosed(one: Derived, low: Tensor, high: Tensor) -> Enclosure:
    """Where the formula of a derived value lies between two corners (B, E), and its slopes."""
    parents = one.parents.items()
    return one.formula.at(
        {name: Enclosure.of(name, low[:, at], high[:, at]) for name, at in parents}
    )


def _line(one: Derived, boxes: "Boxes", shift: Tensor, spare: Tensor) -> Line:
    """Where a derived value lies over boxes."""
    centre, width = (boxes.low + boxes.high) / 2, (boxes.high - boxes.low) / 2
    over = _enclosed(one, boxes.low, boxes.high)
    middle = _enclosed(one, centre, centre).value
    slopes, share, pull = (torch.zeros_like(centre) for _ in range(3))
    for name, at in one.parents.items():
        slope = over.slopes[name]
        mean, reach = (slope.low + slope.high) / 2, (slope.high - slope.low) / 2
        straight = mean.isfinite() & reach.isfinite()
        slopes[:, at] = torch.where(straight, mean, 0.0)
        wide = width[:, at] > 0
        share[:, at] = torch.where(wide, torch.where(straight, reach * width[:, at], torch.inf), 0)
        pull[:, at] = (slopes[:, at].abs() * width[:, at] + share[:, at]).clamp_max(LARGE)
    base = (middle.low + middle.high) / 2 + shift
    written = spare + ROUNDING * (
        torch.maximum(over.value.low.abs(), over.value.high.abs()) + shift.abs()
    )
    terms = base.abs() + (slopes * centre).abs().sum(1)
    error = (middle.high - middle.low) / 2 + share.sum(1) + written + ARITHMETIC * terms
    error = torch.where(base.isfinite() & error.isfinite(), error, torch.inf)
    low, high = over.value.low + shift - written, over.value.high + shift + written
    return Line(
        base.nan_to_num(),
        slopes,
        centre,
        share,
        pull,
        error,
        torch.where(low.isnan(), -torch.inf, low),
        torch.where(high.isnan(), torch.inf, high),
    )
