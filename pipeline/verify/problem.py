"""What is asked about each record, and the geometry of boxes of records. No network here."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pipeline.config import Norm
from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.threat import Threat
from pipeline.verify.network import Network
from pipeline.verify.related import Kept

FLOAT32_ROUNDING = 2.0**-24  # relative; records are float32
TOLERANCE = 1e-4  # of a radius: float32 records lie a little off the distance that they stand for
GRID_SLACK = 1e-9  # of a step, for float64 division


@dataclass(frozen=True)
class Problem:
    """One question per row: the nearest record for which `other` is at least as likely as `own`.

    Distance is the largest change of any value in units of its `scale` (linf), or the Euclidean
    length of all changes (l2).

    Attributes:
        record: (P, D) float32, the patient's record; NaN = missing.
        x: (P, D) float64, the same with missing values imputed; a value on the clinic's grid is an
            exact multiple of its step.
        low: (P, D) float64, least value that may be presented; `high`: the largest. Both on the
            grid, or x.
        blur: (P, D) how far a float32 record may lie from the grid point that it stands for.
        own: (P,) class indices; `other` likewise.
        step: (D,) grid, 1 where there is none; `gridded`: (D,) where there is one; `scale`: (D,)
            unit of distance.
        norm: of the distance.
        largest: distance up to which to look.
        kept: the relations that every version keeps; None = there are none.
    """

    record: Tensor
    x: Tensor
    low: Tensor
    high: Tensor
    blur: Tensor
    own: Tensor
    other: Tensor
    step: Tensor
    gridded: Tensor
    scale: Tensor
    norm: Norm
    largest: float
    kept: Kept | None = None

    @classmethod
    def of(
        cls,
        network: Network,
        record: Tensor,
        corners: tuple[Tensor, Tensor],
        classes: tuple[Tensor, Tensor],
        threat: Threat,
        largest: float = torch.inf,
    ) -> "Problem":
        """Problems of records (P, D), between the corners (low, high), of (own, other)."""
        kept = Kept.of(threat.relations, record) if threat.relations else None
        low, high = (network.filled(corner) for corner in corners)
        record, x = network.inputs(record), network.filled(record)
        # a level's column is no value of its own: it stands as the category does
        levels = threat.step.new_ones(len(network.hot))
        gridded = torch.cat([threat.step > 0, levels < 0])
        step = torch.where(gridded, torch.cat([threat.step, levels]), 1.0)
        scale = torch.cat([threat.scale, levels])

        def presentable(values: Tensor) -> Tensor:
            ticks = torch.round(values / step) * step
            exact = torch.where((values - ticks).abs() <= TICK_TOLERANCE * step, ticks, values)
            return torch.where(gridded, exact, values.float().double())

        tick = presentable(x)
        still = ((low == x) & (high == x)) | ((low == tick) & (high == tick))
        x = torch.where(still, x, tick)
        # A value off the grid may stay, even where the only grid points in reach lie on one side of
        # it.
        low = torch.where(still, x, torch.minimum(presentable(low), x))
        high = torch.where(still, x, torch.maximum(presentable(high), x))
        blur = torch.maximum(
            FLOAT32_ROUNDING * torch.maximum(low.abs(), high.abs()), (record.double() - x).abs()
        )
        blur = torch.where(gridded & ~still, blur, 0.0)
        norm: Norm = "l2" if threat.norm == "l2" else "linf"
        return cls(record, x, low, high, blur, *classes, step, gridded, scale, norm, largest, kept)

    def __len__(self) -> int:
        return len(self.x)

    def split(self, count: int) -> "list[Problem]":
        """The same problems, at most `count` in each part."""
        own = ("record", "x", "low", "high", "blur", "own", "other")
        return [
            replace(
                self,
                **{name: getattr(self, name)[rows] for name in own},
                kept=self.kept and self.kept.where(rows),
            )
            for rows in torch.arange(len(self)).split(count)
        ]

    @cached_property
    def size(self) -> Tensor:
        """(P, D): the largest absolute value that may be presented of each feature."""
        low, high = self.low, self.high
        if self.kept:
            low, high, _ = self.kept.spread(self.boxes())
        return torch.maximum(low.abs(), high.abs())

    @cached_property
    def stray(self) -> Tensor:
        """(P, D): own values off the grid that may stay where they are, or move to the grid."""
        ticks = torch.round(self.x / self.step) * self.step
        off_grid = (self.x - ticks).abs() > GRID_SLACK * self.step
        return self.gridded & (self.low < self.high) & off_grid

    @cached_property
    def strays(self) -> bool:
        """Whether there are any."""
        return bool(self.stray.any())

    def boxes(self) -> "Boxes":
        """One box per problem: all that may be presented lies in it.

        A value off the grid is not divided from the grid here, as so many boxes would be three to
        the power of such values; `halves` does it where it matters.
        """
        return Boxes(torch.arange(len(self)), self.x, self.low, self.high)

    def on_grid(self, values: Tensor) -> Tensor:
        """The float64 values that float32 values stand for."""
        return torch.where(self.gridded, torch.round(values / self.step) * self.step, values)

    def distance(self, index: Tensor, records: Tensor) -> Tensor:
        """(B,): how far float32 records (B, D) are from those of problems `index`."""
        change = (self.on_grid(records.double()) - self.x[index]).abs().nan_to_num(0.0) / self.scale
        change = torch.where(records == self.record[index], 0.0, change)
        return self.length(self.kept.uncounted(change) if self.kept else change)

    def holds(self, index: Tensor, records: Tensor) -> Tensor:
        """(B,) bool: whether float32 records (B, D) keep what problems `index` ask to be kept."""
        if self.kept is None:
            return torch.ones(len(index), dtype=torch.bool)
        return self.kept.holds(index, records)

    def length(self, change: Tensor) -> Tensor:
        """(...): the norm of changes (..., D) in units of scale."""
        return change.norm(dim=-1) if self.norm == "l2" else change.abs().amax(-1)

    def as_records(self, index: Tensor, points: Tensor) -> Tensor:
        """The float32 records that float64 values stand for; values left alone keep their bits."""
        record = self.record[index]
        alone = (points - self.x[index]).abs() <= torch.where(
            self.gridded, GRID_SLACK * self.step, 0.0
        )
        records = torch.where(alone | record.isnan(), record, points.float())
        return self.kept.completed(index, records) if self.kept else records


@dataclass(frozen=True)
class Boxes:
    """Boxes of records. `index` (B,): problems; `x` (B, D): records; `low`, `high`: corners.

    What may be presented of a box are, where there is a grid, its grid points and the patient's own
    value, if that lies in it.
    """

    index: Tensor
    x: Tensor
    low: Tensor
    high: Tensor

    def __len__(self) -> int:
        return len(self.index)

    @staticmethod
    def join(parts: "list[Boxes]") -> "Boxes":
        """All boxes of all parts."""
        return Boxes(
            *(
                torch.cat([getattr(part, name) for part in parts])
                for name in ("index", "x", "low", "high")
            )
        )

    def where(self, chosen: Tensor) -> "Boxes":
        """The boxes of a mask, or of indices."""
        return Boxes(self.index[chosen], self.x[chosen], self.low[chosen], self.high[chosen])

    def keeps_stray(self, problem: Problem) -> Tensor:
        """(B, D): where a box that is no point holds the patient's own value, off the grid."""
        inside = (self.low <= self.x) & (self.x <= self.high) & (self.low < self.high)
        return problem.stray[self.index] & inside

    def distance(self, problem: Problem) -> Tensor:
        """(B,): of the nearest point of each box."""
        x = self.x
        return problem.length(
            torch.maximum(self.low - x, x - self.high).clamp_min(0) / problem.scale
        )

    def nearer(self, problem: Problem, than: Tensor) -> "Boxes":
        """What of each box lies strictly nearer than a distance (B,); low > high = nothing."""
        x, known = (
            self.x,
            than.isfinite()[:, None],
        )  # no value moves by more than the whole record does
        reach = torch.where(known, than[:, None] * problem.scale, 0.0)
        top = torch.where(
            problem.gridded,
            (torch.ceil((x + reach) / problem.step - GRID_SLACK) - 1) * problem.step,
            x + reach,
        )
        bottom = torch.where(
            problem.gridded,
            (torch.floor((x - reach) / problem.step + GRID_SLACK) + 1) * problem.step,
            x - reach,
        )
        shrinks = known & (self.low < self.high)
        if problem.strays:  # the patient's own value is as near as can be
            kept = self.keeps_stray(problem)
            bottom = torch.where(kept, torch.minimum(bottom, x), bottom)
            top = torch.where(kept, torch.maximum(top, x), top)
        low = torch.where(shrinks, torch.maximum(self.low, bottom), self.low)
        return Boxes(
            self.index, self.x, low, torch.where(shrinks, torch.minimum(self.high, top), self.high)
        )

    def narrowed(self, problem: Problem) -> tuple["Boxes", Tensor]:
        """What of each box relations leave, and which boxes hold anything at all."""
        if problem.kept is None:
            return self, (self.low <= self.high).all(1)
        return problem.kept.narrowed(self, problem)

    def outward(self, problem: Problem, slope: Tensor, points: Tensor) -> Tensor:
        """Points (B, D) moved to the grid, in the direction in which `slope` falls, inside."""
        down = torch.floor(points / problem.step + GRID_SLACK) * problem.step
        up = torch.ceil(points / problem.step - GRID_SLACK) * problem.step
        moved = torch.where(
            problem.gridded & (self.low < self.high), torch.where(slope > 0, down, up), points
        )
        return torch.minimum(torch.maximum(moved, self.low), self.high)

    def halves(self, problem: Problem, weight: Tensor) -> "Boxes":
        """Two boxes of each, cut across the feature of the largest weight; lower halves first.

        A value off the grid first parts from the grid points below it, then from those above.
        """
        width = self.high - self.low
        rank = torch.where(width > 0, weight + 1e-12 * width / problem.scale, -1.0)
        feature = rank.argmax(1, keepdim=True)
        low, high = self.low.gather(1, feature), self.high.gather(1, feature)
        step, gridded = problem.step[feature], problem.gridded[feature]
        # Multiples of the step, not sums of multiples: an ulp too much would empty a box of one
        # tick.
        ticks = torch.round(low / step) + torch.floor((high - low) / step / 2 + GRID_SLACK)
        middle = torch.where(gridded, ticks * step, (low + high) / 2)
        then = torch.where(gridded, (ticks + 1) * step, middle)
        if problem.strays:
            at, stray = (part.gather(1, feature) for part in (self.x, self.keeps_stray(problem)))
            first = low < at
            grid_below, grid_above = torch.floor(at / step) * step, torch.ceil(at / step) * step
            middle = torch.where(stray, torch.where(first, grid_below, at), middle)
            then = torch.where(stray, torch.where(first, at, grid_above), then)
        below = Boxes(self.index, self.x, self.low, self.high.scatter(1, feature, middle))
        above = Boxes(self.index, self.x, self.low.scatter(1, feature, then), self.high)
        return Boxes.join([below, above])
