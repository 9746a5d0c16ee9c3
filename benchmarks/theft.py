"""Model theft: surrogates of several victims at once, from 1000 answers each.

Against the extraction attacks of ART, one after another.

The number of answers, the copy's architecture, first weights and steps are the same. We choose most
of our questions by what the first ones taught; the peer draws all of its questions from the same
distribution.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.contest import OURS, Contender
from benchmarks.problem import Affine, Problem, attackable_network, gain_and_offset
from benchmarks.training import art_classifier
from pipeline.attacks.oracle import Oracle, plain
from pipeline.attacks.theft import Effort, ask_actively, marginals, train_copies
from pipeline.defenses.trained import train
from pipeline.defenses.undefended import architecture_for
from pipeline.models.mlp import as_module, initialise
from pipeline.models.networks import public_preprocessing
from pipeline.models.population import Population

VICTIMS = 5  # the folds of the first seed, so every patient is compared once
QUERIES, BATCH, EPOCHS = 1_000, 64, 19
ROUNDS = [300, QUERIES]  # of our questions: the second chooses what the first copy is least sure of
STEPS = EPOCHS * -(-QUERIES // BATCH)  # as many as the peer takes
RATE, DECAY = 3e-3, 1e-3

Peer = Literal["KnockoffNets", "CopycatCNN"]


def contest(
    problem: Problem, access: Literal["probabilities", "labels"], peer: Peer
) -> dict[str, Contender]:
    """Both sides have the same victims, and as many questions and steps of a training.

    The surrogates have the same architecture and the same first weights.
    """
    from art.attacks.extraction import CopycatCNN, KnockoffNets

    schema, data = problem.complete.schema, problem.complete
    plan = problem.plan.select(torch.arange(VICTIMS))
    victims, architecture = (
        train("baseline", data, plan, problem.cfg),
        architecture_for(data, problem.cfg),
    )
    x = marginals(schema, data.x, QUERIES, torch.Generator().manual_seed(0))
    constants = public_preprocessing(schema, 1)
    gain, offset = gain_and_offset(constants, problem.threat)
    seeds = torch.tensor([0])
    first = initialise(architecture, seeds)
    answered = [
        nn.Sequential(*attackable_network(victims, member, problem.threat), nn.Softmax(-1))
        for member in range(VICTIMS)
    ]
    asked = [art_classifier(network) for network in answered]
    unit = problem.unit(x).numpy()

    def ours(_: int) -> Callable[[int, Tensor], Tensor]:
        effort = Effort(architecture, STEPS, BATCH, RATE, DECAY)

        def learn(records: Tensor, answers: Tensor, count: int) -> Population:
            return train_copies(records, answers, [count], seeds, schema, effort)

        def drawn(number: int, count: int) -> Tensor:
            generator = torch.Generator().manual_seed(number)
            return marginals(schema, data.x, count, generator).expand(1, VICTIMS, -1, -1)

        copies, _counts = ask_actively(
            [Oracle(plain(victims), access, QUERIES)], drawn, ROUNDS, learn
        )
        copies = copies.select(torch.arange(VICTIMS) * len(ROUNDS) + len(ROUNDS) - 1)
        return lambda member, records: copies.select(torch.tensor([member]))(records[None])[0]

    def toolbox(repeat: int) -> tuple[int, nn.Module]:
        np.random.seed(repeat)  # noqa: NPY002 - the toolbox draws with the global generator
        member = repeat % VICTIMS
        copy = nn.Sequential(Affine(gain[0], offset[0]), *as_module(first, constants, 0)[1:])
        thief = art_classifier(
            copy, torch.optim.Adam(copy.parameters(), lr=RATE, weight_decay=DECAY)
        )
        numbers: dict[str, Any] = {
            "batch_size_fit": BATCH,
            "batch_size_query": QUERIES,
            "nb_epochs": EPOCHS,
            "nb_stolen": QUERIES,
            "use_probability": access == "probabilities",
        }
        if peer == "KnockoffNets":
            KnockoffNets(
                asked[member], sampling_strategy="random", verbose=False, **numbers
            ).extract(unit, thieved_classifier=thief)
        else:
            CopycatCNN(asked[member], **numbers).extract(unit, thieved_classifier=thief)
        return member, copy

    def fidelity(of_member: dict[int, Callable[[Tensor], Tensor]]) -> float:
        same = []
        for member, logits_fn in of_member.items():
            records = data.x[plan.held_out[member]]
            with torch.no_grad():
                same.append(
                    logits_fn(records).argmax(-1)
                    == victims.select(torch.tensor([member]))(records[None])[0].argmax(-1)
                )
        return float(torch.cat(same).float().mean())

    def on_unit(copy: nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda records: copy(problem.unit(records))

    return {
        OURS: Contender(
            ours,
            lambda results: fidelity({m: partial(results[-1], m) for m in range(VICTIMS)}),
            VICTIMS,
        ),
        "adversarial-robustness-toolbox": Contender(
            toolbox,
            lambda results: fidelity({member: on_unit(copy.eval()) for member, copy in results}),
        ),
    }


def from_probabilities(problem: Problem) -> dict[str, Contender]:
    """Against KnockoffNets, which is told probabilities."""
    return contest(problem, "probabilities", "KnockoffNets")


def from_labels(problem: Problem) -> dict[str, Contender]:
    """Against CopycatCNN, which is told labels."""
    return contest(problem, "labels", "CopycatCNN")
