"""Model theft: a copy of a model is trained on the answers to records that a stranger sends.

Shapes: A attackers, each with an oracle of its own, V victims, n records per attacker and victim, D
features; where (..., D) is said, an image is (..., C, H, W). An attacker sees
only answers: no weights, no training records of the victim.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pipeline.attacks.oracle import Oracle
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset, Schema
from pipeline.kernels import chosen_device
from pipeline.models.designs import AnyArchitecture, Trained, public_constants
from pipeline.models.mlp import (
    Architecture,
    Parameters,
    backward,
    forward,
    layers_of,
    weight_gradient,
)
from pipeline.models.networks import standardise
from pipeline.models.population import Population, joined
from pipeline.models.training import Batch, Draw, Gradient, Preprocessing, fit, mean_gradient
from pipeline.seeds import Stream
from pipeline.seeds import generator as generator_of

Strategy = Literal["uniform", "marginals", "public", "active"]

# of a feature's scale: how far a public record is moved when all have been asked about
JITTER = 0.5
JITTER_OF_IMAGES = 1 / 16  # likewise, of the range of a pixel
CANDIDATES = 4  # for each record that an active attacker asks about


@dataclass(frozen=True)
class Effort:
    """What a copy is, and how long it is trained: equally many steps, whatever the budget.

    Attributes:
        architecture: of every copy.
        steps: of Adam.
        batch_size: records of a step, drawn with replacement from those that were asked about.
        learning_rate: of Adam.
        weight_decay: L2 penalty.
    """

    architecture: AnyArchitecture
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float


def on_grid(x: Tensor, schema: Schema) -> Tensor:
    """The nearest records that the clinic could have written down.

    In the plausible range, on the grid; float32.
    """
    lower, upper = schema.column("lower"), schema.column("upper")
    step = torch.tensor([feature.step or 0.0 for feature in schema.features], dtype=torch.float64)
    unit = torch.where(step > 0, step, 1.0)
    lower, upper = (
        torch.where(step > 0, rounded(limit / unit) * unit, limit)
        for rounded, limit in (
            (lambda v: torch.ceil(v - 1e-9), lower),
            (lambda v: torch.floor(v + 1e-9), upper),
        )
    )
    x = torch.where(step > 0, torch.round(x.double() / unit) * unit, x.double())
    return torch.clamp(x, lower, upper).float()


def uniform(schema: Schema, public: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Anything plausible, every value equally likely and on its own; knows the schema."""
    lower, upper = schema.column("lower"), schema.column("upper")
    drawn = torch.rand(count, *lower.shape, generator=generator, dtype=torch.float64)
    return on_grid(lower + (upper - lower) * drawn, schema)


def marginals(schema: Schema, public: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Like patients, one value at a time: normal around the public centres; knows the schema."""
    drawn = torch.randn(count, len(schema.features), generator=generator, dtype=torch.float64)
    made = schema.column("center") + schema.column("scale") * drawn
    for place in schema.hot[:, 0].unique().tolist():  # levels have no centre: each as likely
        levels = schema.features[place].columns
        made[:, place] = torch.randint(levels, (count,), generator=generator).double()
    return on_grid(made, schema)


def public(schema: Schema, public: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Patients of the attacker's own, each once.

    Then, with replacement, moved a little on the grid. Missing stays missing.
    """
    first = public[torch.randperm(len(public), generator=generator)][:count]
    more = count - len(first)
    again = public[torch.randint(len(public), (more,), generator=generator)].double()
    moves = _jitter(schema) * torch.randn(again.shape, generator=generator, dtype=torch.float64)
    moves[:, schema.hot[:, 0]] = 0  # a category has no neighbour
    return torch.cat([first, on_grid(again + moves, schema)])


def _jitter(schema: Schema) -> Tensor:
    if schema.image:
        return JITTER_OF_IMAGES * (schema.column("upper") - schema.column("lower"))
    return JITTER * schema.column("scale")


# How records are proposed: (schema, the attacker's own records (P, D), count, generator) -> (count,
# D). An active attacker proposes as its entry does, and asks about those it is least sure of.
STRATEGIES: dict[Strategy, Callable[[Schema, Tensor, int, torch.Generator], Tensor]] = {
    "uniform": uniform,
    "marginals": marginals,
    "public": public,
    "active": public,
}

OF_IMAGES: frozenset[Strategy] = frozenset({"uniform", "public", "active"})  # of these images too

# What each attacker has, beside the answers.
KNOWLEDGE: dict[Strategy, str] = {
    "uniform": "black box, schema",
    "marginals": "black box, schema",
    "public": "black box, schema and other patients",
    "active": "black box, schema and other patients",
}


def proposals(
    strategy: Strategy,
    schema: Schema,
    publics: Sequence[Tensor],
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Records for every victim, (V, count, D).

    `publics` are the attacker's own records for each, (P_v, D).
    """
    return torch.stack(
        [STRATEGIES[strategy](schema, records, count, generator) for records in publics]
    )


def ask(oracles: Sequence[Oracle], x: Tensor, budgets: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Sends every attacker's records to its oracle, budget by budget.

    Args:
        oracles: A.
        x: (A, V, n, D), with n at least the largest budget.
        budgets: rising.

    Returns:
        answers (A, V, n) float64; and what each oracle had counted at each budget, (A, budgets).
    """
    answers, counts = [], []
    for oracle, records in zip(oracles, x, strict=True):
        parts, counted, before = [], [], 0
        for budget in budgets:
            parts.append(oracle(records[:, before:budget]))
            counted.append(oracle.asked)
            before = budget
        answers.append(torch.cat(parts, 1))
        counts.append(counted)
    return torch.stack(answers), torch.tensor(counts)


def ask_actively(
    oracles: Sequence[Oracle],
    candidates: Callable[[int, int], Tensor],
    budgets: Sequence[int],
    learn: Callable[[Tensor, Tensor, int], Population],
) -> tuple[Population, Tensor]:
    """Learns in rounds: each budget's copy chooses the next records, those it is least sure of.

    Tramer et al. 2016, arXiv:1609.02943.

    Args:
        oracles: A.
        candidates: maps a round and a number to so many records for every attacker and victim, (A,
            V, number, D).
        budgets: rising; the first round's records are not chosen.
        learn: maps all records so far (A, V, n, D), their answers (A, V, n) and n to copies,
            attacker by attacker (A x V).

    Returns:
        the copies of all budgets, ordered as those of `train_copies` are; and the oracles' counts
        (A, budgets).
    """
    copies: list[Population] = []
    counts: list[list[int]] = []
    x = answers = torch.empty(0)
    for number, (before, budget) in enumerate(zip([0, *budgets], budgets, strict=False)):
        wanted = budget - before
        fresh = candidates(number, wanted if number == 0 else CANDIDATES * wanted)
        if number:
            fresh = least_sure(copies[-1], fresh, wanted)
        fresh_answers = torch.stack(
            [oracle(records) for oracle, records in zip(oracles, fresh, strict=True)]
        )
        x = torch.cat([x, fresh], 2) if number else fresh
        answers = torch.cat([answers, fresh_answers], 2) if number else fresh_answers
        counts.append([oracle.asked for oracle in oracles])
        copies.append(learn(x, answers, budget))
    return _interleaved(copies), torch.tensor(counts).T


def least_sure(copies: Population, candidates: Tensor, count: int) -> Tensor:
    """Of candidates (A, V, c, D), `count` about which each victim's copy (A x V) is least sure."""
    with torch.no_grad():
        logits = copies(candidates.flatten(0, 1))
    doubt = (logits[..., 1] - logits[..., 0]).abs().view(candidates.shape[:3])
    chosen = doubt.argsort(stable=True, dim=-1)[..., :count]
    event = candidates.shape[3:]
    index = chosen.view(*chosen.shape, *[1] * len(event)).expand(*chosen.shape, *event)
    return candidates.gather(2, index)


def _interleaved(copies: Sequence[Population]) -> Population:
    """Populations of A x V members, one for each budget, as one whose budgets run fastest."""
    order = torch.arange(len(copies) * copies[0].size).view(len(copies), -1).T
    return joined(copies).select(order.flatten())


def train_copies(
    x: Tensor,
    answers: Tensor,
    budgets: Sequence[int],
    seeds: Tensor,
    schema: Schema,
    effort: Effort,
) -> Trained:
    """One population of all copies.

    A member sees the first records of its own attacker and victim, as many as its budget. Each
    learns the chances it was told by cross-entropy, as a student learns from a teacher. Imputation
    and standardisation use the schema's public constants, because the victim's own are not shown.

    Args:
        x: (A, V, n, D) records that were asked about.
        answers: (A, V, n) in [0, 1].
        budgets: each at most n.
        seeds: (A,) of each attacker's weights and batches.
        schema: centre and scale of each feature.
        effort: what is trained, and how long.

    Returns:
        A x V x budgets copies; budgets run fastest, then victims.
    """
    attackers, victims, records = answers.shape
    plan = prefixes(attackers * victims, records, budgets, seeds.repeat_interleave(victims))
    dataset = Dataset(x.flatten(0, 2), (answers.flatten() > 0.5).long(), schema)
    return fit(
        dataset,
        plan,
        effort.architecture,
        draw=with_replacement(effort.steps, effort.batch_size),
        gradient=imitation(answers.flatten().float(), effort.architecture),
        learning_rate=effort.learning_rate,
        weight_decay=effort.weight_decay,
        preprocessing=public_constants(effort.architecture, schema, plan.size),
        steady=True,
        name="theft",
    )


def imitation(chances: Tensor, architecture: AnyArchitecture) -> Gradient:
    """The gradient of the mean cross-entropy against the chances of class 1 that were told, (N,).

    Of a stack of linear layers written out, because such a copy is so small that automatic
    differentiation costs more than the arithmetic.
    """
    chances = chances.to(chosen_device())
    if not isinstance(architecture, Architecture):
        return mean_gradient(architecture, lambda out, batch: _told(out, chances[batch.index]))

    @torch.no_grad()
    def gradient(
        parameters: Parameters, preprocessing: Preprocessing, batch: Batch
    ) -> dict[str, Tensor]:
        layers = layers_of(parameters)
        signals = forward(standardise(batch.x, preprocessing), layers)
        excess = torch.sigmoid(signals[-1][..., 1] - signals[-1][..., 0]) - chances[batch.index]
        excess = excess * batch.weight / batch.weight.sum(1, keepdim=True)
        result: dict[str, Tensor] = {}
        for number, grad in enumerate(
            backward(signals, layers, torch.stack([-excess, excess], -1))
        ):
            result[f"weight{number}"] = weight_gradient(signals[number], grad)
            result[f"bias{number}"] = grad.sum(1, keepdim=True)
        return result

    return gradient


def _told(out: Tensor, chances: Tensor) -> Tensor:
    """Cross-entropy (M, B) of logits (M, B, 2) against chances of class 1."""
    lead = out[..., 1] - out[..., 0]
    return softplus(lead) - chances * lead


def prefixes(blocks: int, records: int, budgets: Sequence[int], seeds: Tensor) -> Plan:
    """Who learns from what: member (block, budget) from the first `budget` records of its block."""
    members = blocks * len(budgets)
    train = torch.zeros(blocks, len(budgets), blocks, records, dtype=torch.bool)
    for block in range(blocks):
        for at, budget in enumerate(budgets):
            train[block, at, block, :budget] = True
    table = train.view(members, blocks * records)
    labels = tuple(f"copy{block}-{budget}" for block in range(blocks) for budget in budgets)
    nobody = torch.zeros_like(table[:, :1]).expand_as(table)
    return Plan(
        table, nobody, torch.full((members,), -1), seeds.repeat_interleave(len(budgets)), labels
    )


def with_replacement(steps: int, batch_size: int) -> Draw:
    """Batches drawn with replacement from each member's rows, by its own seed.

    As many steps for few rows as for many.
    """

    def draw(train: Tensor, seeds: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        rows, counts = train.nonzero()[:, 1], train.sum(1)
        first = (counts.cumsum(0) - counts)[:, None]
        different, which = seeds.unique(return_inverse=True)
        streams = torch.stack([_uniforms(steps * batch_size, seed) for seed in different.tolist()])
        weight = torch.ones(len(seeds), batch_size)
        for share in streams.split(batch_size, 1):
            yield rows[first + (share[which] * counts[:, None]).long()], weight

    return draw


def _uniforms(count: int, seed: int) -> Tensor:
    return torch.rand(count, generator=generator_of(Stream.COPY_BATCHES, seed), dtype=torch.float64)
