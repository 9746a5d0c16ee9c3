"""The one training loop: all members of a population take each step together."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding
from tqdm import tqdm

from pipeline.config import TrainConfig
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.kernels import CPU, CUDA, chosen_device
from pipeline.models.designs import (
    AnyArchitecture,
    Trained,
    answers_of,
    initialised,
    own_constants,
    population_of,
)
from pipeline.models.mlp import Parameters
from pipeline.models.replay import Replayed
from pipeline.models.shuffles import Shuffles

Preprocessing = dict[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """One step's records of every member.

    Attributes:
        x: (M, B, *event) clinical units.
        y: (M, B) class indices.
        index: (M, B) which patients they are.
        weight: (M, B) 1 = in the batch, 0 = filler (a member drew fewer records than its
            neighbour).
    """

    x: Tensor
    y: Tensor
    index: Tensor
    weight: Tensor

    def split(self, count: int) -> "list[Batch]":
        """The same records, at most `count` of each member in each part."""
        parts = (part.split(count, 1) for part in (self.x, self.y, self.index, self.weight))
        return [Batch(*one) for one in zip(*parts, strict=True)]


Gradient = Callable[[Parameters, Preprocessing, Batch], dict[str, Tensor]]
Loss = Callable[[Tensor, Batch], Tensor]
Perturb = Callable[[Trained, Batch], Tensor]
Draw = Callable[[Tensor, Tensor], Iterator[tuple[Tensor, Tensor]]]
Watch = Callable[[Parameters, Preprocessing, Batch, dict[str, Tensor]], None]
WARM_UP, LEAST_RATE = 0.3, 0.04  # of one cycle: the share of steps that rise, and where they start


def supervised(out: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy (M, B) of logits (M, B, C) against the recorded diagnosis."""
    return cross_entropy(out.flatten(0, 1), batch.y.flatten(), reduction="none").view(batch.y.shape)


def mean_gradient(architecture: AnyArchitecture, loss: Loss = supervised) -> Gradient:
    """The gradient of the mean loss over each member's batch."""

    def gradient(
        parameters: Parameters, preprocessing: Preprocessing, batch: Batch
    ) -> dict[str, Tensor]:
        out = answers_of(architecture, batch.x, preprocessing, parameters)
        each = loss(out, batch) * batch.weight
        # Members do not share weights, so the gradient of the sum is each member's own gradient.
        total = (each.sum(1) / batch.weight.sum(1)).sum()
        grads = torch.autograd.grad(total, list(parameters.values()))
        # those of convolutions come with channels last, and Adam wants them as the weights lie
        return dict(zip(parameters, (grad.contiguous() for grad in grads), strict=True))

    return gradient


def shuffled(cfg: TrainConfig) -> Draw:
    """Full batches, without replacement inside a pass, from each member's own endless shuffle.

    The number of steps is `epochs` passes over the smallest member's rows, the same for all
    members.
    """

    def draw(train: Tensor, seeds: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        rows, valid = rectangle(train)
        wanted = steps_in_pass(train, cfg) * cfg.batch_size
        shuffles = Shuffles(valid.sum(1), seeds, cfg.epochs, chosen_device())
        rows = rows.to(shuffles.device)
        weight = torch.ones(len(seeds), cfg.batch_size, device=shuffles.device)
        for done in range(0, cfg.epochs, shuffles.at_once):
            now = min(shuffles.at_once, cfg.epochs - done)
            drawn = rows.gather(1, shuffles.take(now * wanted))
            for index in drawn.split(cfg.batch_size, 1):
                yield index, weight

    return draw


def steps_in_pass(train: Tensor, cfg: TrainConfig) -> int:
    """How many batches a pass over the smallest member's rows is; train (M, N)."""
    return -(-int(train.sum(1).min()) // cfg.batch_size)


def rates(train: Tensor, cfg: TrainConfig) -> Sequence[float]:
    """The learning rate of each step of `shuffled`, by the configured schedule.

    `one_cycle` (Smith and Topin 2019, arXiv:1708.07120): up along a cosine for the first 30 % of
    the steps, then down to a four-hundredth of where it started.
    """
    steps, peak = cfg.epochs * steps_in_pass(train, cfg), cfg.learning_rate
    if cfg.schedule == "constant":
        return [peak] * steps
    turn = max(1, round(WARM_UP * steps))

    def between(start: float, end: float, share: float) -> float:
        return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

    return [
        between(LEAST_RATE * peak, peak, step / turn)
        if step < turn
        else between(peak, LEAST_RATE * peak / 400, (step - turn) / max(1, steps - turn - 1))
        for step in range(steps)
    ]


def shifted(most: int, drawn: torch.Generator) -> Callable[[Batch], Batch]:
    """Moves each image of a batch by up to so many pixels each way; edges are repeated.

    The images at one place of the batch move alike in all members: so what happens to a member does
    not depend on how many others are trained beside it.

    Args:
        most: pixels, above 0.
        drawn: of the moves, one for each image and axis.
    """

    def move(batch: Batch) -> Batch:
        _, records, _, height, width = batch.x.shape
        by = torch.randint(-most, most + 1, (2, 1, records), generator=drawn)
        rows = (torch.arange(height) + by[0][..., None]).clamp(0, height - 1).to(batch.x.device)
        columns = (torch.arange(width) + by[1][..., None]).clamp(0, width - 1).to(batch.x.device)
        x = batch.x.gather(3, rows[:, :, None, :, None].expand_as(batch.x))
        x = x.gather(4, columns[:, :, None, None, :].expand_as(batch.x))
        return Batch(x, batch.y, batch.index, batch.weight)

    return move


def fit(
    dataset: Dataset,
    plan: Plan,
    architecture: AnyArchitecture,
    *,
    draw: Draw,
    gradient: Gradient,
    learning_rate: float | Sequence[float],
    weight_decay: float = 0.0,
    preprocessing: Preprocessing | None = None,
    perturb: Perturb | None = None,
    augment: Callable[[Batch], Batch] | None = None,
    watch: Watch | None = None,
    start: Parameters | None = None,
    steady: bool = False,
    name: str = "training",
    device: str | None = None,
) -> Trained:
    """Trains one population with Adam.

    Args:
        dataset: the records, or images.
        plan: M members; a member sees only the rows that `plan.train` gives it.
        architecture: of every member.
        draw: yields, for each step, patients (M, B) and weights (M, B).
        gradient: maps weights and a batch to the gradient of each weight.
        learning_rate: of Adam; one for all steps, or one for each.
        weight_decay: L2 penalty.
        preprocessing: constants to use; by default fitted on each member's own training rows, of
            images public.
        perturb: replaces the records of a batch before the gradient (adversarial training).
        augment: replaces a batch before that, as chance would have it.
        watch: sees weights, constants, batch and gradient of each step before it is taken.
        start: weights to begin with; None = drawn from the plan's seeds. Those of which the
            gradient says nothing stay as they are.
        steady: the gradient does the same with tensors of one shape at each step, and nobody
            watches: a GPU records it once.
        name: shown beside the progress bar.
        device: that takes the steps; None = the one of this process. Whatever is handed in lies on
            the processor; what `perturb`, `gradient` and `watch` see lies there.

    Returns:
        the trained population, on the processor, of the plan's seeds: the same plan gives the same
        weights.
    """
    at = chosen_device() if device is None else device
    preprocessing = preprocessing or own_constants(architecture, dataset, plan)
    preprocessing = {key: tensor.to(at) for key, tensor in preprocessing.items()}
    x, y = dataset.x.to(at), dataset.y.to(at)
    begun = initialised(architecture, plan.seeds) if start is None else start
    parameters = {key: tensor.detach().to(at, copy=True) for key, tensor in begun.items()}
    for tensor in parameters.values():
        tensor.requires_grad_()
    constant = isinstance(learning_rate, float | int)
    rate = iter(() if constant else learning_rate)  # type: ignore[arg-type]
    first = learning_rate if constant else 0.0
    recorded = steady and at == CUDA
    optimiser = torch.optim.Adam(
        list(parameters.values()),
        lr=torch.tensor(first, device=at) if recorded else first,  # type: ignore[arg-type]
        weight_decay=weight_decay,
        fused=True,
        capturable=recorded,
    )
    frozen = {
        key: tensor.detach() for key, tensor in parameters.items()
    }  # shares memory with what is trained
    population = population_of(architecture, preprocessing, frozen, plan.labels)

    def step(batch: Batch) -> None:
        grads = gradient(parameters, preprocessing, batch)
        if watch is not None:
            watch(frozen, preprocessing, batch, grads)
        for key, grad in grads.items():
            parameters[key].grad = grad
        optimiser.step()

    take = Replayed(step) if recorded else step
    for index, weight in tqdm(
        draw(plan.train, plan.seeds), desc=name, unit="step", disable=None, leave=False
    ):
        rows = index.to(at)
        batch = Batch(_rows(x, rows), y[rows], rows, weight.to(at))
        if augment is not None:
            batch = augment(batch)
        if perturb is not None:
            batch = Batch(perturb(population, batch), batch.y, rows, batch.weight)
        if not constant:
            now = optimiser.param_groups[0]
            now["lr"] = now["lr"].fill_(next(rate)) if recorded else next(rate)
        take(batch)
    return population.to(CPU)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """x[index], of records three times as fast."""
    return embedding(index, x) if x.dim() == 2 else x[index]
