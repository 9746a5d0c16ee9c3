"""Networks of one architecture as one population, preprocessing included; saved without pickle."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pipeline.data.schema import Schema
from pipeline.models.mlp import Architecture, backward, forward, layers_of, logits
from pipeline.models.one_hot import HOT, extended
from pipeline.models.stacked import Stacked

ANSWERED_AT_ONCE = 2**18  # records of all members together whose hidden layers exist at once
NONE_HOT = torch.zeros(0, 2, dtype=torch.int64)
LEVEL_SCALE = 0.5  # public: the largest standard deviation of what is 0 or 1


@dataclass(frozen=True)
class Networks(Stacked):
    """M models that share an architecture: a `Population` that can be differentiated and proved.

    Attributes:
        architecture: the common shape.
        preprocessing: `impute`, `center`, `scale`, each (M, D) in clinical units, fitted on the
            member's own training rows or public; where categories become H columns more, (M, D + H)
            and `hot`: see `pipeline.models.one_hot`.
        parameters: stacked weights, as `pipeline.models.mlp.initialise` lays them out.
        labels: a readable name of each member.
        facts: what the recipe says of itself, JSON-able (for example a privacy guarantee).
        cut: (M,) float64, the log-odds from which on each member calls a patient ill. It is already
            taken off the logit of class 1, so that class 1 leads exactly where a patient is called
            ill; log-odds are the lead plus the cut.
    """

    architecture: Architecture

    def __call__(self, x: Tensor) -> Tensor:
        """Logits of clinical records.

        Args:
            x: (..., M, B, D) in clinical units, NaN = missing.

        Returns:
            (..., M, B, C), differentiable in x. A missing value has gradient 0.
        """
        if x.dim() > 3:
            # One block after another: a block's hidden layers fit the cache, and its answers do not
            # depend on its neighbours.
            return torch.stack([self(block) for block in x])
        if not x.requires_grad:  # an answer is all that is asked for
            return self._answers(x)
        return logits(self.standardise(x), self.parameters)

    def _answers(self, x: Tensor) -> Tensor:
        """Logits of (M, B, D), so many records at a time that hidden layers stay small."""
        layers = layers_of(self.parameters)
        at_once = max(1, ANSWERED_AT_ONCE // max(1, self.size))
        if x.shape[1] <= at_once:
            return forward(self.standardise(x), layers)[-1]
        parts = [forward(self.standardise(part), layers)[-1] for part in x.split(at_once, 1)]
        return torch.cat(parts, 1)

    @torch.no_grad()
    def pullback(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Logits of records (M, B, D), and what turns gradients at them into gradients at x.

        The same as autograd through `self(x)`, without its bookkeeping.
        """
        layers, missing = layers_of(self.parameters), x.isnan()
        signals = forward(standardise(x, self.preprocessing, missing), layers)

        @torch.no_grad()
        def pull(grad_logits: Tensor) -> Tensor:
            first = backward(signals, layers, grad_logits)[0]
            grad = (
                torch.bmm(first, layers[0][0].transpose(1, 2))
                / self.preprocessing["scale"][:, None]
            )
            return grad[..., : x.shape[-1]].masked_fill(missing, 0)

        return signals[-1], pull

    def standardise(self, x: Tensor) -> Tensor:
        """What the first layer receives: (M, B, D + H), imputed, centred and scaled."""
        return standardise(x, self.preprocessing)

    def decide_at(self, cut: Tensor) -> "Networks":
        """The same networks of two classes, calling ill from other log-odds on.

        Args:
            cut: (M,) log-odds; kept as far as float32 can take it off a bias.
        """
        last = f"bias{len(self.architecture.hidden)}"
        bias = self.parameters[last].double()
        moved = bias.clone()
        moved[:, 0, 1] += self.cut - cut.double()
        stored = moved.to(self.parameters[last].dtype)
        exact = self.cut + (bias - stored.double())[:, 0, 1]
        return replace(self, parameters={**self.parameters, last: stored}, cut=exact)

    def recalibrate(self, slope: Tensor, intercept: Tensor) -> "Networks":
        """The same networks of two classes, with log-odds that are a line of what they were.

        Who is called ill stays, as far as float32 can keep weights times a slope.

        Args:
            slope: (M,) above 0, what log-odds are multiplied by.
            intercept: (M,), what is added then.
        """
        parameters = dict(self.parameters)
        last = len(self.architecture.hidden)
        for name in (f"weight{last}", f"bias{last}"):
            before = parameters[name]
            parameters[name] = (before.double() * slope.double()[:, None, None]).to(before.dtype)
        return replace(self, parameters=parameters, cut=self.cut * slope + intercept)

    @classmethod
    def load(cls, folder: Path) -> "Networks":
        """Reads what `save` wrote; raises as `Stacked.read`."""
        return cls.read(
            folder, lambda shape: Architecture(**{**shape, "hidden": tuple(shape["hidden"])})
        )


def standardise(
    x: Tensor, preprocessing: dict[str, Tensor], missing: Tensor | None = None
) -> Tensor:
    """Imputes, centres and scales records (M, B, D) with constants; `missing` = x.isnan().

    Categories become a column for each level behind the D: (M, B, D + H).
    """
    if HOT in preprocessing:
        hot = preprocessing[HOT]
        if not len(hot):  # of no member: two folds have no inner ones
            return x.new_zeros(*x.shape[:-1], preprocessing["impute"].shape[-1])
        x, missing = extended(x, hot[0]), None
    impute, center, scale = (preprocessing[name][:, None] for name in ("impute", "center", "scale"))
    return (torch.where(x.isnan() if missing is None else missing, impute, x) - center) / scale


def fitted_preprocessing(x: Tensor, train: Tensor, hot: Tensor = NONE_HOT) -> dict[str, Tensor]:
    """Medians, means and standard deviations of each member's own training rows.

    Args:
        x: (N, D) records, NaN = missing.
        train: (M, N) bool.
        hot: (H, 2) int64, `Schema.hot`.

    Returns:
        `impute`, `center`, `scale`, each (M, D + H) float32, and `hot` where H > 0. A feature that
        never varies among a member's rows gets scale inf: whatever a record holds there, the first
        layer receives 0, so that no weight counts which nothing trained; so does the place of a
        category's level. One that is never measured is imputed as 0, a level by its share.
    """
    inputs = extended(x.double(), hot)
    each = [_fitted(inputs, rows, x.shape[1]) for rows in train]  # all at once: M copies of x
    found = {
        name: torch.stack(values).float()
        for name, values in zip(("impute", "center", "scale"), zip(*each, strict=True), strict=True)
    }
    return _with_levels(found, hot)


def _with_levels(constants: dict[str, Tensor], hot: Tensor) -> dict[str, Tensor]:
    """The constants of D + H inputs, with those of levels; a category's own place counts for 0."""
    if not len(hot):
        return constants
    scale = constants["scale"]
    scale[:, hot[:, 0]] = torch.inf
    return {**constants, HOT: hot.float().expand(len(scale), -1, -1).clone()}


def _fitted(x: Tensor, rows: Tensor, features: int) -> tuple[Tensor, Tensor, Tensor]:
    """What stands in, mean and standard deviation (E,) of the rows (N,) of one member.

    The first so many of the E are features, with their median; the others are levels.
    """
    known = x[rows]
    impute = known.nanmedian(0).values
    impute[features:] = known[:, features:].nanmean(0)
    impute = impute.nan_to_num(nan=0.0)
    filled = torch.where(known.isnan(), impute, known)
    center = filled.mean(0)
    spread = (filled - center).square().mean(0).sqrt()
    varies = (filled != filled[:1]).any(0)
    return impute, center, torch.where(varies, spread, torch.inf)


def public_preprocessing(schema: Schema, members: int) -> dict[str, Tensor]:
    """Public constants for every member: nothing is learned from a record.

    The schema's centres and scales; of a category of K levels, each level is centred at 1 / K, as
    if all were as frequent.
    """
    hot = schema.hot
    levels = torch.tensor([1 / schema.features[place].columns for place in hot[:, 0].tolist()])
    center, scale = (
        torch.cat([schema.column(name).float(), values]).expand(members, -1)
        for name, values in (("center", levels), ("scale", torch.full_like(levels, LEVEL_SCALE)))
    )
    constants = {"impute": center.clone(), "center": center.clone(), "scale": scale.clone()}
    return _with_levels(constants, hot)
