"""What somebody takes home from a guard's answers: copies, and who was learned from.

A referral tells something, too: that the record lies near the line. Who copies the model learns a
chance of one half from it; who asks about members counts it between a right answer and a wrong one.

Shapes: V models of the first repetition, A attackers, T targets, N patients.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.membership import Signals, lira_fixed, loss
from pipeline.attacks.oracle import Access, shown
from pipeline.attacks.theft import Effort, proposals, train_copies
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.mlp import Architecture
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Population
from pipeline.risks.guard.measure.guarded import Guarded, drawn
from pipeline.risks.guard.measure.settings import GuardSettings

MOST = 0.95  # a chance of 0 or 1 that was rounded is taken for at most so sure
FULL: Final = "probabilities"  # without a guard: what a stranger could learn at most
ALONE, SHADOWS = "answer alone", "with shadow models"
SPLIT, PROPOSED, COPIES = 101, 102, 103  # tell draws apart from those of the attacks


@dataclass(frozen=True)
class Taken:
    """Copies that were trained on a guard's answers, and scores of membership.

    Attributes:
        access: what each role is shown, and `probabilities`.
        radii: 0 = no guard, then those of the guard.
        budgets: answers that a copy was trained on.
        tests: (n,) int64, rows of the data set: neither learned from nor asked about.
        agrees: by "access/r" (budgets, n) bool, whether the copy decides as the model does.
        referred: by "access/r" (V,) float64, the share of the thief's queries that were referred.
        patients: (N,) int64, rows of the data set who are asked about as members.
        member: (T, N) bool, who trained each target.
        scores: by "attack/access/r" (T, N) float32, HIGHER = MORE LIKELY A MEMBER; empty where the
            plan has one repetition.
    """

    access: list[str]
    radii: list[float]
    budgets: list[int]
    tests: Tensor
    agrees: dict[str, Tensor]
    referred: dict[str, Tensor]
    patients: Tensor
    member: Tensor
    scores: dict[str, Tensor]

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Taken":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro guard`"
        return read_artifact(path, cls, what="what the guard gives away", advice=advice)


def ways(wanted: GuardSettings) -> list[tuple[Access, float]]:
    """Who sees what: everything without a guard, then each access without and with it."""
    access: list[Access] = list(dict.fromkeys(wanted.roles.values()))
    return [(FULL, 0.0), *((one, r) for one in access for r in (0.0, *wanted.every_r))]


def told(lead: Tensor, radius: Tensor, access: Access, guard: Guarded, r: float) -> Tensor:
    """(...) float64 in [0, 1]: the chance of class 1 that is understood from an answer.

    Args:
        lead: (...) log-odds at the operating point.
        radius: (...) up to which the answers are proved.
        access: how much of an answer is shown.
        guard: that refers.
        r: its radius; 0 = there is no guard.
    """
    chance = shown(lead, access)
    return torch.where(guard.answered(radius, r), chance, 0.5) if r else chance


# ---- copies ----


def copied(
    guard: Guarded, dataset: Dataset, plan: Plan, wanted: GuardSettings, seed: int
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Trains copies of V models: `Taken.tests, agrees, referred`.

    Half of the patients whom a model holds out are the thief's own, without a diagnosis; he moves
    them a little where they are too few. The other half tells how faithful a copy is.

    Args:
        guard: V models.
        dataset: the records.
        plan: V rows, one repetition.
        wanted: roles, budgets, what a copy is.
        seed: of all draws.
    """
    coins = torch.rand(plan.held_out.shape[1], generator=drawn(seed, SPLIT))
    own, tests = plan.held_out & (coins < 0.5), plan.held_out & (coins >= 0.5)
    publics, most = [dataset.x[rows] for rows in own], max(wanted.budgets)
    x = proposals("public", dataset.schema, publics, most, drawn(seed, PROPOSED))
    lead, everybody = guard.lead(x), torch.ones(x.shape[:2], dtype=torch.bool)
    radius, every = guard.radius(x, everybody), ways(wanted)
    answers = torch.stack([told(lead, radius, access, guard, r) for access, r in every])
    effort = Effort(
        Architecture("mlp", dataset.schema.inputs, 2, tuple(wanted.hidden)),
        steps=wanted.copy_steps,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=1e-3,
    )
    # the same luck for everybody: attackers differ by what they are told
    seeds = torch.full((len(every),), drawn(seed, COPIES).initial_seed())
    records = x.expand(len(every), *x.shape)
    copies = train_copies(records, answers, wanted.budgets, seeds, dataset.schema, effort)
    agreed = _agreed(guard, copies, dataset, tests, len(every), len(wanted.budgets))
    names = [f"{access}/{r:g}" for access, r in every]
    referred = [
        (~guard.answered(radius, r)).double().mean(1) if r else torch.zeros(len(x)).double()
        for _, r in every
    ]
    return (
        tests.any(0).nonzero()[:, 0],
        dict(zip(names, agreed, strict=True)),
        dict(zip(names, referred, strict=True)),
    )


@torch.no_grad()
def _agreed(
    guard: Guarded, copies: Population, dataset: Dataset, tests: Tensor, ways: int, budgets: int
) -> Tensor:
    """(A, budgets, n) bool, of test patients in the order of the data set."""
    x = dataset.x.expand(len(tests), *dataset.x.shape)
    theirs = guard.called(x)
    logits = copies(dataset.x.expand(copies.size, *dataset.x.shape))
    said = (logits[..., 1] > logits[..., 0]).long().view(ways, len(tests), budgets, -1)
    same = said.transpose(1, 2) == theirs
    return (same & tests).any(2)[..., tests.any(0)]


# ---- members ----


def recognised(
    guard: Guarded, dataset: Dataset, plan: Plan, wanted: GuardSettings
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Asks every model about everybody: `Taken.patients, member, scores`.

    Targets are the models of the first repetitions; shadows those of all other repetitions, whose
    folds were drawn apart, so that who a shadow holds out says nothing about the target. The
    attacker puts the same guard around his shadows.

    Args:
        guard: a model for each row of the plan.
        dataset: the records.
        plan: rows that hold somebody out.
        wanted: whose roles ask, how many repetitions are attacked.
    """
    patients = OutOfFold(plan, [0.0]).patients
    member, y = plan.train[:, patients], dataset.y[patients]
    targets = (plan.repetition < wanted.repetitions).nonzero()[:, 0]
    if int(plan.repetition.max()) == 0:
        return patients, member[targets], {}
    x = dataset.x[patients].expand(plan.size, *dataset.x[patients].shape)
    lead, radius = guard.lead(x), guard.radius(x, torch.ones_like(member))
    scores = {}
    for access, r in ways(wanted):
        signal = _log_odds(told(lead, radius, access, guard, r), access) * (2 * y - 1)
        for name, values in _scores(signal, member, plan, targets):
            scores[f"{name}/{access}/{r:g}"] = values.float()
    return patients, member[targets], scores


def _log_odds(chance: Tensor, access: Access) -> Tensor:
    """Log-odds of what was understood; a rounded 0 or 1 is not infinitely sure."""
    most = 1 - 1e-12 if access == FULL else MOST
    return torch.logit(chance.clamp(1 - most, most))


def _scores(
    signal: Tensor, member: Tensor, plan: Plan, targets: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Scores (T, N) of each attack, of signals (M, N) of the recorded class."""
    yield ALONE, loss(_signals(signal), member)[targets]
    found = []
    for target in targets.tolist():
        shadows = (plan.repetition != plan.repetition[target]).nonzero()[:, 0]
        rows = torch.cat([torch.tensor([target]), shadows])
        found.append(lira_fixed(_signals(signal[rows]), member[rows])[0])
    yield SHADOWS, torch.stack(found)


def _signals(values: Tensor) -> Signals:
    return Signals(values, values, values)
