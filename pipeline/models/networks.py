"""Networks of one architecture as one population, preprocessing included; saved without pickle."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.data.plan import RELEASE
from pipeline.data.schema import Schema
from pipeline.files import BadInput, read_json, read_tensors, sha256, write_json, write_tensors
from pipeline.models.mlp import Architecture, Parameters, backward, forward, layers_of, logits
from pipeline.models.one_hot import HOT, extended

ANSWERED_AT_ONCE = 2**18  # records of all members together whose hidden layers exist at once
WEIGHTS, DESCRIPTION = "population.safetensors", "population.json"
NONE_HOT = torch.zeros(0, 2, dtype=torch.int64)
LEVEL_SCALE = 0.5  # public: the largest standard deviation of what is 0 or 1


@dataclass(frozen=True)
class Networks:
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
    preprocessing: dict[str, Tensor]
    parameters: Parameters
    labels: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    cut: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))  # all zero

    def __post_init__(self) -> None:
        """Without a cut they decide at log-odds of 0."""
        if not len(self.cut):
            object.__setattr__(self, "cut", torch.zeros(self.size, dtype=torch.float64))

    @property
    def gradients(self) -> bool:
        """They can be differentiated."""
        return True

    @property
    def size(self) -> int:
        """The number of members M."""
        return len(self.labels)

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

    def select(self, members: Tensor) -> "Networks":
        """The given members (indices or a mask) as a population of their own."""
        rows = torch.arange(self.size)[members]
        return Networks(
            self.architecture,
            {name: value[rows] for name, value in self.preprocessing.items()},
            {name: value[rows] for name, value in self.parameters.items()},
            tuple(self.labels[row] for row in rows.tolist()),
            self.facts,
            self.cut[rows],
        )

    @classmethod
    def join(cls, parts: Sequence["Networks"]) -> "Networks":
        """The members of several populations, one after another.

        Args:
            parts: at least one, all of one architecture and of the same facts: those of the first
                are kept.
        """

        def together(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {name: torch.cat([one[name] for one in tensors]) for name in tensors[0]}

        return cls(
            parts[0].architecture,
            together([part.preprocessing for part in parts]),
            together([part.parameters for part in parts]),
            tuple(label for part in parts for label in part.labels),
            parts[0].facts,
            torch.cat([part.cut for part in parts]),
        )

    def double(self) -> "Networks":
        """The same numbers in float64, for answers whose rounding does not matter."""
        constants, weights = (
            {name: value.double() for name, value in part.items()}
            for part in (self.preprocessing, self.parameters)
        )
        return replace(self, preprocessing=constants, parameters=weights)

    def release(self) -> "Networks":
        """The model that is deployed: the one trained on everyone."""
        return self.select(torch.tensor([self.labels.index(RELEASE)]))

    @cached_property
    def digest(self) -> str:
        """The sha256 of the weights file that `save` writes, and that its description carries."""
        from safetensors.torch import save

        return hashlib.sha256(save(self._tensors())).hexdigest()

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"preprocessing.{name}": value for name, value in self.preprocessing.items()}
        tensors |= {f"parameters.{name}": value for name, value in self.parameters.items()}
        tensors["decision.cut"] = self.cut
        return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}

    def save(self, folder: Path) -> None:
        """Writes the weights (safetensors) and a JSON description that carries their digest."""
        write_tensors(folder / WEIGHTS, self._tensors())
        description = {
            "architecture": asdict(self.architecture),
            "labels": list(self.labels),
            "facts": self.facts,
            "sha256": sha256(folder / WEIGHTS),
        }
        write_json(folder / DESCRIPTION, description)

    @classmethod
    def load(cls, folder: Path) -> "Networks":
        """Reads what `save` wrote, bit for bit; nothing is unpickled.

        Raises:
            BadInput: a file is missing, truncated, or not the one that its description was written
                for.
        """
        described, weights = read_json(folder / DESCRIPTION), folder / WEIGHTS
        try:
            shape, digest = described["architecture"], described["sha256"]
            architecture = Architecture(**{**shape, "hidden": tuple(shape["hidden"])})
            labels, facts = tuple(described["labels"]), described["facts"]
        except (KeyError, TypeError) as error:
            raise BadInput(
                f"{folder / DESCRIPTION}: does not describe a population ({error}); train again"
            ) from error
        tensors, _ = read_tensors(weights, advice="train again")
        if sha256(weights) != digest:
            raise BadInput(
                f"{weights}: damaged or exchanged: its sha256 is not that of {DESCRIPTION}; "
                f"train again"
            )
        preprocessing, parameters = (
            {
                name.removeprefix(part): tensor
                for name, tensor in tensors.items()
                if name.startswith(part)
            }
            for part in ("preprocessing.", "parameters.")
        )
        return cls(architecture, preprocessing, parameters, labels, facts, tensors["decision.cut"])


def standardise(
    x: Tensor, preprocessing: dict[str, Tensor], missing: Tensor | None = None
) -> Tensor:
    """Imputes, centres and scales records (M, B, D) with constants; `missing` = x.isnan().

    Categories become a column for each level behind the D: (M, B, D + H).
    """
    if HOT in preprocessing:
        x, missing = extended(x, preprocessing[HOT][0]), None
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
