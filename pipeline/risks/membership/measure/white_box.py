"""An auditor who sees every noisy gradient of DP-SGD, and knows everything but a canary's coin.

The attacker that differential privacy assumes. The mechanism runs as it is, on canaries alone and
at fixed initial weights (a learning rate of 0: what Adam makes of a noisy gradient costs no
privacy), so that each canary, a record far from everybody, adds the same clipped gradient in every
step it joins. The auditor adds up the noisy gradients, takes out what is known, and looks along the
part of a canary's gradient that is orthogonal to those before it (Nasr et al. 2023,
arXiv:2302.07956; Andrew et al. 2023, arXiv:2302.03098). Along orthogonal directions Gaussian noise
is independent, so each canary of a run is a slot of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.defenses.privacy import NoisySteps, noisy_fit
from pipeline.defenses.second_look import clipped_each, flat
from pipeline.defenses.self_measurement import FALSE_ALARM
from pipeline.models.designs import AnyArchitecture
from pipeline.models.mlp import Architecture, Parameters
from pipeline.models.training import Batch, Preprocessing
from pipeline.seeds import Stream, of
from pipeline.statistics.epsilon_bounds import Slots, bounds

FAR = 1000.0  # of a canary's one value, in scales from the centre: the claim is of any record
STRONG = 0.5  # share of the clipping bound along its own direction that makes a canary a slot
PIXELS = 7  # of an image, at most so many rows and columns of single pixels: canaries far apart
CLEAR = 0.8  # from which on slots bound epsilon, if there are any; all of them may refuse a claim
AT_ONCE = 320_000  # weights of all runs that take a step together: what fits the cache


@dataclass(frozen=True)
class AuditSize:
    """How much is audited.

    Attributes:
        canaries: slots of all runs together, about.
        weights: of all runs together, at most (but for two runs), which limits large models.
    """

    canaries: int
    weights: int

    def runs(self, architecture: AnyArchitecture) -> int:
        """How many runs of such a model that makes."""
        wanted = -(-self.canaries // slots_of(architecture))
        return max(2, min(wanted, self.weights // weights_of(architecture)))


def slots_of(architecture: AnyArchitecture) -> int:
    """How many canaries of one run have, or may have, a direction of their own."""
    if isinstance(architecture, Architecture):
        return architecture.features * (2 if architecture.hidden else 1)
    return 2 * len(_places(architecture.image))


def weights_of(architecture: AnyArchitecture) -> int:
    """How many weights one model has."""
    if isinstance(architecture, Architecture):
        return sum((inputs + 1) * outputs for inputs, outputs in pairwise(architecture.widths))
    return sum(value.numel() for value in architecture.initialise(torch.Generator()).values())


def white_box_audit(
    schema: Schema,
    architecture: AnyArchitecture,
    how: NoisySteps,
    size: AuditSize,
    *,
    seed: int,
    delta: float,
    confidence: float,
    train: Callable[..., object] = noisy_fit,
) -> dict[str, Any]:
    """Lower bounds of the epsilon that `how` spends.

    Args:
        schema: of the records or images; its public constants.
        architecture: of the models.
        how: the mechanism, one noise for all.
        size: how much is audited.
        seed: of the coins, the initial weights and the noise.
        delta: of the claim.
        confidence: of each bound.
        train: runs the mechanism; called as `noisy_fit`.

    Returns:
        `epsilon_lower_bound` and its `ceiling`: by guessing where every step takes everybody
        (sample rate 1: a Gaussian mechanism is claimed), else by counts; `bounds`, all of
        `epsilon_bounds.bounds`; `surely`, the largest bound at a confidence that a true claim fails
        once in a million audits; `runs`.
    """
    found = slots(schema, architecture, how, size, seed, train)
    shown = shown_by(found, delta, confidence, gaussian=how.sample_rate == 1)
    return {**shown, "runs": size.runs(architecture)}


def shown_by(found: Slots, delta: float, confidence: float, *, gaussian: bool) -> dict[str, Any]:
    """What slots show of epsilon, as `white_box_audit`.

    Args:
        found: the slots.
        delta: of the claim.
        confidence: of each bound.
        gaussian: whether a Gaussian mechanism is claimed.
    """
    clear = clearest(found)
    shown = bounds(clear, delta, confidence, gaussian)
    kinds = ("guessing", "gaussian", "counts") if gaussian else ("counts",)
    readings = len(kinds) * 2
    strict = [bounds(one, delta, 1 - FALSE_ALARM / readings, gaussian) for one in (found, clear)]
    headline = "guessing" if gaussian else "counts"
    return {
        "epsilon_lower_bound": shown[headline],
        "ceiling": shown[f"{headline}_ceiling"],
        "bounds": shown,
        "surely": max(one[kind] for one in strict for kind in kinds),
    }


def clearest(found: Slots) -> Slots:
    """The slots whose canary has `CLEAR` of the bound to itself; all where none has.

    Strength hangs on weights and records, never on a coin or the noise, so this chooses nothing.
    """
    clear = found.strength > CLEAR
    if not clear.any():
        return found
    return Slots(found.score[clear], found.member[clear], found.strength[clear], found.mu)


def slots(
    schema: Schema,
    architecture: AnyArchitecture,
    how: NoisySteps,
    size: AuditSize,
    seed: int,
    train: Callable[..., object] = noisy_fit,
) -> Slots:
    """What the auditor sees of all runs."""
    runs, records = size.runs(architecture), canaries(schema)
    plan = Plan.random_halves(len(records.y), models=runs, seed=of(Stream.CANARY_RUNS, seed))
    at_once = max(1, AT_ONCE // weights_of(architecture))
    seen = [
        _look(records, plan.select(rows), architecture, how, train)
        for rows in torch.arange(runs).split(at_once)
    ]
    score, member, strength = (torch.cat(part).double().numpy() for part in zip(*seen, strict=True))
    unit = float(how.noise) or 1.0
    scale = unit * how.max_grad_norm * how.steps**0.5
    mu = how.sample_rate * how.steps**0.5 / unit
    return Slots(score / scale, member > 0.5, strength, mu)


def _look(
    records: Dataset,
    plan: Plan,
    architecture: AnyArchitecture,
    how: NoisySteps,
    train: Callable[..., object],
) -> tuple[Tensor, Tensor, Tensor]:
    """Score (in units of a gradient), coin and strength of each slot of some runs, each (n,)."""
    eye = _Eye(how.expected_batch)
    still = replace(how, learning_rate=0.0)
    train(records, plan, architecture, still, watch=eye.see, name="audit")
    each = clipped_each(
        eye.weights, eye.constants, records, how.max_grad_norm, architecture
    )  # (M, K, P)
    expected = how.steps * how.sample_rate
    coins = plan.train.float()
    # Of the two diagnoses of a canary the one that its model finds wrong moves it more.
    norms = each.norm(dim=2).unflatten(1, (2, -1))
    moving = norms.argmax(1) * norms.shape[2] + torch.arange(norms.shape[2])
    idle = torch.ones_like(coins).scatter_(1, moving, 0.0)
    rest = eye.total - expected * torch.einsum("mk,mkp->mp", coins * idle, each)
    chosen = each.gather(1, moving[..., None].expand(-1, -1, each.shape[2]))
    basis, triangle = torch.linalg.qr(chosen.transpose(1, 2).double())
    own = coins.gather(1, moving).double()
    along = torch.einsum("mpk,mp->mk", basis, rest.double())
    diagonal = triangle.diagonal(dim1=1, dim2=2)
    # The others' coins are known: what they add along this direction is taken out.
    along -= expected * torch.einsum("mkj,mj->mk", triangle.triu(1), own)
    strength = diagonal.abs() / how.max_grad_norm
    strong = strength > STRONG
    return (along * diagonal.sign())[strong], own[strong], strength[strong]


class _Eye:
    """Adds up noisy gradients, and keeps the weights, which do not move."""

    def __init__(self, denominator: float) -> None:
        self.denominator = denominator
        self.total = torch.zeros(0)
        self.weights: Parameters = {}
        self.constants: Preprocessing = {}

    def see(
        self, parameters: Parameters, preprocessing: Preprocessing, batch: Batch, grads: Parameters
    ) -> None:
        step = flat(grads) * self.denominator
        self.total = self.total + step if len(self.total) else step
        self.weights, self.constants = parameters, preprocessing


def canaries(schema: Schema) -> Dataset:
    """Records that differ from the public centre by one value, `FAR` to either side.

    Of images so do some pixels, evenly spread, in units of a quarter of the range, as networks of
    images standardise them: what a convolution sees of one pixel it sees of no other of them.

    Returns:
        (4 D,) records: all of them called healthy, then all of them ill; of images of D pixels.
    """
    if schema.image:
        (pixel,) = schema.features
        places = _places(schema.image)
        offsets = torch.zeros(len(places), *schema.image)
        offsets[(torch.arange(len(places)), *places.T)] = FAR * (pixel.upper - pixel.lower) / 4
        center = torch.full(schema.image, (pixel.lower + pixel.upper) / 2)
    else:
        center, scale = schema.column("center").float(), schema.column("scale").float()
        offsets = torch.diag(FAR * scale)
    x = center + torch.cat([offsets, -offsets])
    twice = x.repeat(2, *[1] * (x.dim() - 1))
    return Dataset(twice, torch.arange(2).repeat_interleave(len(x)), schema)


def _places(image: Sequence[int]) -> Tensor:
    """(P, 3) channel, row and column of pixels of an image, evenly spread."""
    axes = [
        ((torch.arange(count) + 0.5) * side / count).long()
        for side in image[1:]
        for count in [max(1, min(PIXELS, side // 2))]
    ]
    return torch.cartesian_prod(torch.arange(1), *axes)
