"""The one training loop: all members of a population take each step together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding
from tqdm import tqdm

from pipeline.config import TrainConfig
from pipeline.data.plan import Plan, rectangle
from pipeline.data.schema import Dataset
from pipeline.models.mlp import Architecture, Parameters, initialise, logits
from pipeline.models.networks import Networks, fitted_preprocessing, standardise
from pipeline.seeds import Stream, generator

Preprocessing = dict[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """One step's records of every member.

    Attributes:
        x: (M, B, D) clinical units.
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
Perturb = Callable[[Networks, Batch], Tensor]
Draw = Callable[[Tensor, Tensor], Iterator[tuple[Tensor, Tensor]]]
Watch = Callable[[Parameters, Preprocessing, Batch, dict[str, Tensor]], None]


def supervised(out: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy (M, B) of logits (M, B, C) against the recorded diagnosis."""
    return cross_entropy(out.flatten(0, 1), batch.y.flatten(), reduction="none").view(batch.y.shape)


def mean_gradient(loss: Loss = supervised) -> Gradient:
    """The gradient of the mean loss over each member's batch."""

    def gradient(
        parameters: Parameters, preprocessing: Preprocessing, batch: Batch
    ) -> dict[str, Tensor]:
        each = loss(logits(standardise(batch.x, preprocessing), parameters), batch) * batch.weight
        # Members do not share weights, so the gradient of the sum is each member's own gradient.
        total = (each.sum(1) / batch.weight.sum(1)).sum()
        return dict(
            zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True)
        )

    return gradient


def shuffled(cfg: TrainConfig) -> Draw:
    """Full batches, without replacement inside a pass, from each member's own endless shuffle.

    The number of steps is `epochs` passes over the smallest member's rows, the same for all
    members.
    """

    def draw(train: Tensor, seeds: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        rows, valid = rectangle(train)
        counts = valid.sum(1)
        in_pass = -(-int(counts.min()) // cfg.batch_size)
        weight = torch.ones(len(seeds), cfg.batch_size)
        streams = [
            _Stream(rows[m, : counts[m]], generator(Stream.BATCHES, seed))
            for m, seed in enumerate(seeds.tolist())
        ]
        for _ in range(cfg.epochs):  # one pass at a time, for memory's sake
            drawn = torch.stack([one.take(in_pass * cfg.batch_size) for one in streams])
            for index in drawn.split(cfg.batch_size, 1):
                yield index, weight

    return draw


class _Stream:
    """An endless shuffle of rows, every pass anew."""

    def __init__(self, rows: Tensor, drawn: torch.Generator) -> None:
        self.rows, self.drawn, self.left = rows, drawn, rows[:0]

    def take(self, count: int) -> Tensor:
        """The next so many."""
        while len(self.left) < count:
            again = self.rows[torch.randperm(len(self.rows), generator=self.drawn)]
            self.left = torch.cat([self.left, again])
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def fit(
    dataset: Dataset,
    plan: Plan,
    architecture: Architecture,
    *,
    draw: Draw,
    gradient: Gradient,
    learning_rate: float,
    weight_decay: float = 0.0,
    preprocessing: Preprocessing | None = None,
    perturb: Perturb | None = None,
    watch: Watch | None = None,
    name: str = "training",
) -> Networks:
    """Trains one population with Adam.

    Args:
        dataset: the records; a member sees only the rows that `plan.train` gives it.
        plan: M members.
        architecture: of every member.
        draw: yields, for each step, patients (M, B) and weights (M, B).
        gradient: maps weights and a batch to the gradient of each weight.
        learning_rate: of Adam.
        weight_decay: L2 penalty.
        preprocessing: constants to use; by default fitted on each member's own training rows.
        perturb: replaces the records of a batch before the gradient (adversarial training).
        watch: sees weights, constants, batch and gradient of each step before it is taken.
        name: shown beside the progress bar.

    Returns:
        the trained population, on the plan's seeds: the same plan gives the same weights.
    """
    preprocessing = preprocessing or fitted_preprocessing(dataset.x, plan.train, dataset.schema.hot)
    parameters = initialise(architecture, plan.seeds)
    for tensor in parameters.values():
        tensor.requires_grad_()
    optimiser = torch.optim.Adam(
        list(parameters.values()), lr=learning_rate, weight_decay=weight_decay, fused=True
    )
    frozen = {
        key: tensor.detach() for key, tensor in parameters.items()
    }  # shares memory with what is trained
    current = Networks(architecture, preprocessing, frozen, plan.labels)
    for index, weight in tqdm(
        draw(plan.train, plan.seeds), desc=name, unit="step", disable=None, leave=False
    ):
        batch = Batch(
            embedding(index, dataset.x), dataset.y[index], index, weight
        )  # x[index], three times as fast
        if perturb is not None:
            batch = Batch(perturb(current, batch), batch.y, index, weight)
        grads = gradient(parameters, preprocessing, batch)
        if watch is not None:
            watch(frozen, preprocessing, batch, grads)
        for key, grad in grads.items():
            parameters[key].grad = grad
        optimiser.step()
    return current
