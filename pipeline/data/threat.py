"""What an attacker may do to a record, as data: five tensors, a norm and a goal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.config import FeatureConfig, Goal, Norm, ThreatConfig, Unit
from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.recodes import added_up, admitted, left_for_numbers, recoded
from pipeline.data.relations import Relations
from pipeline.data.schema import Schema

LESS = (0.75, 0.5, 0.25)  # of a change that breaks a relation and cannot be repaired
ROUNDING = 2**-22  # of a value: float32 may move it by this much when a record is written down


@dataclass(frozen=True)
class Threat:
    """A threat model in clinical units.

    The tensors have the shape of one event: (D,) for a record, (C, H, W) for an image. Where a
    docstring says (..., B, D), an image is (..., B, C, H, W), and a radius then has three trailing
    axes of one element.

    The radius eps bounds the change dx of the values that are mutable and recorded (not missing):
        linf: |dx_i| <= eps * scale_i for every value.
        l2: sum_i (dx_i / scale_i)^2 <= eps^2.
        l0: at most eps values, a whole number, become anything in their range: |dx_i| <= within *
            scale_i.

    A value recorded outside its range may stay there, or come nearer.

    Attributes:
        mutable: (D,) bool, what the attacker may change at all.
        lower: (D,) float64, the least plausible value; -inf = no limit.
        upper: (D,) float64, the largest plausible value; inf = no limit.
        step: (D,) float64, the resolution at which the clinic records the feature; 0 = any value.
        scale: (D,) float64, the change that `eps = 1` allows, in multiples of `unit`.
        norm: how changes of several values add up.
        goal: which wrong answers the attacker wants; see `attackable`.
        unit: what `scale` is: the scale of each feature, or the error of its measurement.
        within: how far one value may move under l0, in units of `scale`; inf = anywhere.
        costs: of each category that may be forged, its feature and what it costs to make each of
            its K levels into each, (K, K) float64; inf = cannot be. See `pipeline.data.recodes`.
        withhold: what it costs to leave out a value that may be changed; inf = cannot be.
        relations: what a forged record keeps, and what follows from what is forged: of that nothing
            is `mutable`, and no change of it counts. None = every value is forged by itself.
    """

    mutable: Tensor
    lower: Tensor
    upper: Tensor
    step: Tensor
    scale: Tensor
    norm: Norm = "linf"
    goal: Goal = "any"
    unit: Unit = "scale"
    within: float = torch.inf
    costs: tuple[tuple[int, Tensor], ...] = ()
    withhold: float = torch.inf
    relations: Relations | None = None

    @classmethod
    def of(cls, schema: Schema, cfg: ThreatConfig) -> "Threat":
        """The threat that `cfg` describes on a schema's features, or on every value of an image."""
        features, image = schema.features, schema.image

        def column(values: Sequence[float], kind: torch.dtype = torch.float64) -> Tensor:
            each = torch.tensor(values, dtype=kind)
            return each.expand(image).clone() if image else each

        grid = cfg.recorded_grid
        lower, upper = map(
            column, zip(*(_believed(feature, cfg) for feature in features), strict=True)
        )
        step = column([(f.step or 0.0) if grid or f.levels else 0.0 for f in features])
        mutable = column([cfg.moves(f) for f in features], torch.bool)
        relations = Relations.of_schema(schema, step, (lower, upper)) if cfg.consistent else None
        return cls(
            mutable=mutable & ~relations.following if relations else mutable,
            lower=lower,
            upper=upper,
            step=step,
            scale=column([(f.error if cfg.unit == "error" else None) or f.scale for f in features]),
            norm=cfg.norm,
            goal=cfg.goal,
            unit=cfg.unit,
            within=torch.inf if cfg.within is None else cfg.within,
            costs=tuple(
                (place, torch.tensor(feature.costs, dtype=torch.float64))
                for place, feature in enumerate(features)
                if cfg.forges(feature)
            ),
            withhold=torch.inf if cfg.withhold is None else cfg.withhold,
            relations=relations,
        )

    @property
    def recorded(self) -> bool:
        """Whether any feature is held to the clinic's grid."""
        return bool((self.step > 0).any())

    @property
    def discrete(self) -> bool:
        """Whether it lets an attacker do what is no step of a number: recode, or withhold."""
        return bool(self.costs) or self.withhold < torch.inf

    @property
    def portable(self) -> bool:
        """Whether tensors are all that it is made of, so that it can be asked on any device."""
        return not self.discrete and self.relations is None

    def to(self, device: str) -> "Threat":
        """The same threat on a device, where it is `portable`."""
        if self.scale.device.type == device:
            return self
        names = ("mutable", "lower", "upper", "step", "scale")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    @property
    def of_numbers(self) -> "Threat":
        """The same without recodes and gaps: categories and what is missing stay as they are."""
        return replace(self, costs=(), withhold=torch.inf)

    def together(self, numbers: Tensor, spent: Tensor) -> Tensor:
        """The distance of a record by its numbers, and by what recodes and gaps cost, as one."""
        if self.norm == "l0":
            return numbers + spent
        return torch.maximum(numbers, spent) if self.norm == "linf" else numbers.hypot(spent)

    def attackable(self, y: Tensor) -> Tensor:
        """Whom the goal names; nobody gains by forging the others, so they get radius 0.

        Args:
            y: class indices, of any shape; class 0 = healthy, every other one a disease.

        Returns:
            bool like y: `any` everybody, `miss` the ill (a disease is to be missed), `alarm` the
            healthy (a false alarm).
        """
        if self.goal == "any":
            return torch.ones_like(y, dtype=torch.bool)
        return y >= 1 if self.goal == "miss" else y == 0

    def distance(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """The smallest radius whose ball holds `x_adv`, by the norm alone; (..., B), float64."""
        event, spent = self.mutable.dim(), torch.zeros(())
        if self.discrete:
            x, spent = recoded(self, x_adv, x)
        if self.relations:
            x_adv = torch.where(self.relations.following, x, x_adv)
        change = ((x_adv.double() - x.double()) / self.scale).nan_to_num().abs().flatten(-event)
        numbers = added_up(self.norm, change)
        return self.together(numbers, spent) if self.discrete else numbers

    def limits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and the largest value of each feature, whatever radius and grid; like x."""
        low, high = (
            torch.minimum(self.lower.to(x.dtype), x),
            torch.maximum(self.upper.to(x.dtype), x),
        )
        return torch.where(self.mutable, low, x), torch.where(self.mutable, high, x)

    def box(self, x: Tensor, eps: float | Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and the largest value within reach, each feature alone, both on the grid.

        Under linf every record between the corners can be reached; under l2 and l0 the box only
        bounds what can.

        Args:
            x: records (..., B, D) in clinical units; NaN = missing.
            eps: radius in units of `scale` (l0: a number of values); a float, or a tensor that
                broadcasts over (..., B, D).

        Returns:
            lower and upper corner, float64, of the shape that x and eps broadcast to. Immutable
            values are points. Missing values stay NaN.
        """
        x = x.double()
        low, high = self._ball(x, eps)
        if not self.recorded:
            return low, high
        step = torch.where(self.step > 0, self.step, 1.0)
        low_on_grid = torch.ceil(low / step - TICK_TOLERANCE) * step
        high_on_grid = torch.floor(high / step + TICK_TOLERANCE) * step
        # A value that itself lies off the grid, with no grid point in reach, cannot be changed.
        free = (low < high) & (low_on_grid <= high_on_grid)
        gridded = self.step > 0
        low = torch.where(gridded, torch.where(free, low_on_grid, x), low)
        high = torch.where(gridded, torch.where(free, high_on_grid, x), high)
        return low, high

    def _ball(self, x: Tensor, eps: float | Tensor) -> tuple[Tensor, Tensor]:
        """Both corners of what is in reach, whatever the grid, of the type of x."""
        if self.norm == "l0":
            free, (low, high) = torch.as_tensor(eps >= 1), self.limits(x)
            reach = (self.within * self.scale).to(x.dtype)
            return (
                torch.where(free, torch.maximum(low, x - reach), x),
                torch.where(free, torch.minimum(high, x + reach), x),
            )
        reach = torch.where(self.mutable, self.scale, 0.0).to(x.dtype) * eps
        low = torch.maximum(x - reach, torch.minimum(self.lower.to(x.dtype), x))
        high = torch.minimum(x + reach, torch.maximum(self.upper.to(x.dtype), x))
        return low, high

    def project(self, x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
        """A record near `x_adv` that the attacker may present instead of `x`.

        linf: the nearest one. l2: cut at the range, then drawn toward x until it is in the ball,
        each value rounded to the
        grid on the side of x. l0: of the values that differ, each the nearest in its range, the
        largest changes in units of `scale`; the others are undone.

        Args:
            x_adv: proposed records, of the shape that x and eps broadcast to.
            x: true records (..., B, D).
            eps: as for `box`.

        Returns:
            records like `x_adv`; a value that the attacker leaves alone equals that of x bit for
            bit.
        """
        if self.discrete:
            x, eps = admitted(self, x_adv, x, eps)
            x_adv = torch.where(x_adv.isnan(), x, x_adv)  # a gap that is not admitted is undone
        inside = self._project_numbers(x_adv, x, eps)
        return self._related(inside, x, eps) if self.relations else inside

    def _project_numbers(self, x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
        """Numbers alone, whatever they have to do with each other."""
        if self.norm == "l2":
            return self._project_l2(x_adv, x, eps)
        inside = self._project_values(x_adv, x, eps)
        return self._largest_changes(inside, x, eps) if self.norm == "l0" else inside

    def _related(self, x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
        """What is derived filled in, broken relations repaired, or less of the change made."""
        assert self.relations is not None
        relations = self.relations
        x_adv, wrong = relations.completed_and_broken(x_adv, x)
        x, broken = x.expand_as(x_adv), wrong > 0
        if not broken.any():
            return x_adv
        own, proposed = x[broken], x_adv[broken]
        radius = torch.as_tensor(eps, dtype=torch.float64)
        radius = radius.expand(*x.shape[:-1], 1)[broken] if radius.dim() else radius
        low, high = torch.minimum(own, proposed), torch.maximum(own, proposed)
        if self.norm == "linf":  # there each value may move, whatever the others do
            low, high = self.box(own, radius)
        mended, wrong = relations.completed_and_broken(
            relations.repaired(proposed, own, low, high), own
        )
        left = wrong > 0
        for share in LESS:
            less = self._project_numbers(own + share * (proposed - own), own, radius)
            less, wrong = relations.completed_and_broken(less.to(x.dtype), own)
            holds = left & (wrong == 0)
            mended = torch.where(holds[:, None], less, mended)
            left &= ~holds
        result = x_adv.clone()
        result[broken] = torch.where(left[:, None], own, mended)
        return result

    def _project_values(self, x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
        """Each value on its own: the nearest that it may become, or its true one if nearer."""
        if (
            not self.recorded and self.norm == "linf"
        ):  # without a grid to hit, the precision of the record itself is enough
            low, high = self._ball(x, eps)
            return torch.where(x.isnan(), x, torch.clamp(x_adv, low, high))
        low, high = self.box(x, eps)
        inside = torch.clamp(x_adv.double(), low, high)
        step = torch.where(self.step > 0, self.step, 1.0)
        inside = torch.where(
            (self.step > 0) & (low < high), torch.round(inside / step) * step, inside
        )
        # The nearest grid point of a recorded value is that value: take its own bits, not a
        # rounding of them.
        unchanged = (inside - x.double()).abs() <= TICK_TOLERANCE * self.step
        # A value recorded off the grid may stay as it is, although no other value there may be
        # presented.
        unchanged |= (x_adv.double() - x.double()).abs() <= (x_adv.double() - inside).abs()
        return torch.where(unchanged | x.isnan(), x.double(), inside).to(x.dtype)

    def _largest_changes(self, inside: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
        event = self.mutable.dim()
        change = ((inside.double() - x.double()) / self.scale).nan_to_num().abs().flatten(-event)
        rank = (
            change.argsort(stable=True, dim=-1, descending=True)
            .argsort(-1)
            .unflatten(-1, self.mutable.shape)
        )
        return torch.where(rank + 1 <= eps, inside, x)

    def _project_l2(self, x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
        true = x.double()
        change = (torch.clamp(x_adv.double(), *self.limits(true)) - true).nan_to_num()
        # What float32 makes of a point of the sphere counts as inside, or no projection would be
        # its own projection.
        rounding = ROUNDING * (true.nan_to_num().abs() + change.abs())
        size, excess = (
            self._length(one) for one in (change, (change.abs() - rounding).clamp(min=0))
        )
        radius = torch.as_tensor(eps, dtype=torch.float64)
        change = torch.where(excess > radius, change * (radius / size), change)
        if self.recorded:
            step = torch.where(self.step > 0, self.step, 1.0)
            ticks = (true + change) / step
            near = TICK_TOLERANCE + ROUNDING * ticks.abs()
            inward = (
                torch.where(change > 0, torch.floor(ticks + near), torch.ceil(ticks - near)) * step
            )
            moved = inward - true
            ahead = (moved * change > 0) & (moved.abs() > TICK_TOLERANCE * step)
            change = torch.where(self.step > 0, torch.where(ahead, moved, 0.0), change)
        moved_at_all = (change != 0) & (radius > 0)
        return torch.where(moved_at_all, true + change, true).to(x.dtype)

    def _length(self, change: Tensor) -> Tensor:
        """Euclidean length in units of `scale`, with the axes of the event kept."""
        event = tuple(range(-self.mutable.dim(), 0))
        return (change / self.scale).square().sum(event, keepdim=True).sqrt()

    def violations(self, x_adv: Tensor, x: Tensor, eps: float | Tensor) -> int:
        """How many values of `x_adv` break this threat model, by its definition, not by `box`.

        Of a record that leaves an l2 or l0 ball, every changed value counts.
        """
        x, x_adv = x.double(), x_adv.double()
        x, x_adv = torch.broadcast_tensors(x, x_adv)
        refused = 0
        if self.discrete:
            variant, spent = recoded(self, x_adv, x)
            eps = left_for_numbers(self, spent[..., None], eps, slack=1e-9)
            different = (variant != x) & ~(variant.isnan() & x.isnan())
            refused, x = int((different & (eps < 0)).sum()), variant
        if self.relations:
            refused += int(self.relations.broken(x_adv, x).sum())
            x_adv = torch.where(self.relations.following, x, x_adv)
        missing = x.isnan()
        slack = (
            1e-5 * self.scale + 1e-6 * x.nan_to_num().abs()
        )  # float32 rounding of the record itself
        change = (x_adv - x).abs()
        outside_ball = self._outside_ball(change, slack, eps)
        forbidden = ~self.mutable & (change != 0)
        outside_range = (change != 0) & (
            (x_adv < torch.minimum(self.lower, x) - slack)
            | (x_adv > torch.maximum(self.upper, x) + slack)
        )
        off_grid = (change != 0) & self.off_grid(x_adv)
        broken = (outside_ball | forbidden | outside_range | off_grid) & ~missing
        return refused + int((broken | (missing != x_adv.isnan())).sum())

    def off_grid(self, x: Tensor) -> Tensor:
        """(...) bool: which values (float64) lie between the steps that the clinic records."""
        step = torch.where(self.step > 0, self.step, 1.0)
        apart = (x - torch.round(x / step) * step).abs()
        return (self.step > 0) & (apart > 10 * TICK_TOLERANCE * step + 1e-7 * x.abs())

    def no_way_back(self, names: Sequence[str]) -> str:
        """What may be done to a value of the named columns and not be undone; empty = nothing."""
        if self.withhold < torch.inf:
            return "a value may be left out, but not put back; withhold: null"
        for place, table in self.costs:
            if not torch.equal(table, table.T):
                return f"{names[place]!r} may be recoded one way at another cost than back"
        return ""

    def _outside_ball(self, change: Tensor, slack: Tensor, eps: float | Tensor) -> Tensor:
        if self.norm == "linf":
            return change > self.scale * eps + slack
        event = tuple(range(-self.mutable.dim(), 0))
        changed = change.nan_to_num() > 0
        if self.norm == "l0":
            too_far = change > self.within * self.scale + slack
            return too_far | (changed & (changed.sum(event, keepdim=True) > eps))
        certain = (
            ((change - slack - TICK_TOLERANCE * self.step) / self.scale).nan_to_num().clamp(min=0)
        )
        return changed & (
            certain.square().sum(event, keepdim=True) > torch.as_tensor(eps).double() ** 2
        )


def _believed(feature: FeatureConfig, cfg: ThreatConfig) -> tuple[float, float]:
    """The least and the largest value that passes for one of this feature."""
    if not cfg.plausible_range and not feature.levels:
        return -torch.inf, torch.inf
    reach = torch.inf if cfg.within is None else cfg.within * feature.scale
    return max(feature.lower, feature.center - reach), min(feature.upper, feature.center + reach)
