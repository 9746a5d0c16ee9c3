"""Who can tell that a patient of another hospital was learned from.

Federations of random halves of the cohort, each attacked with the others as its shadows, as in
`membership`. A stranger sees the model at the end; a participant the global weights of all rounds,
and takes out what he sent himself; the server what each hospital sent.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.membership import blind, recorded_log_odds
from pipeline.attacks.rounds import likelihood_ratio, moved_along, of_all_rounds
from pipeline.config import Config
from pipeline.data.halves import halves_of, learned_from, only
from pipeline.data.schema import Dataset
from pipeline.defenses.federated.aggregate import Exchange
from pipeline.defenses.federated.loop import federate, unpacked
from pipeline.defenses.federated.recipe import Federation, federation_of
from pipeline.models.designs import public_constants
from pipeline.models.networks import standardise
from pipeline.risks.federation.measure.federations import options_of
from pipeline.risks.federation.measure.private import (
    private_local,
    settings_of,
    steps_of,
    strength_of,
)
from pipeline.risks.federation.measure.settings import PRIVATE_RECIPE, RECIPE, FederationSettings
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.seeds import Stream, of

FINAL, ANSWERS, STEPS, BOTH = "final model", "all rounds", "steps of others", "rounds and steps"
SERVER = "each hospital's steps"
AS_ONE = "mean"  # the rule under which members are guessed: what moved the others is known


@dataclass(frozen=True)
class Members:
    """What is reported of one federation; every figure is a function of it.

    Attributes:
        recipe: how hospitals train: `federated` or `federated_private`.
        hospitals: how many.
        rounds: of the federation.
        strength: the mu of what is claimed, as `strength_of` says it; None: nothing is.
        scores: by attack (T, N) float32, of federation t for the n-th record of those who are asked
            (`pipeline.data.halves.learned_from`); HIGHER = MORE LIKELY A MEMBER.
        member: (T, N) bool, who was learned from.
    """

    recipe: str
    hospitals: int
    rounds: int
    strength: float | None
    scores: dict[str, Tensor]
    member: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Members":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        what, advice = "guesses of members", "run `dvc repro federation`"
        return read_artifact(path, cls, what=what, advice=advice)


class _Watcher:
    """Reads off every round what participants and the server see of each record.

    A record is asked about by the next hospital after its own.
    """

    def __init__(self, dataset: Dataset, federation: Federation, size: int) -> None:
        self.dataset, self.federation = dataset, federation
        schema, architecture = dataset.schema, federation.training.architecture
        constants = public_constants(architecture, schema, size)
        self.inputs = standardise(dataset.x.expand(size, -1, -1), constants)
        self.others: list[Tensor] = []
        self.own: list[Tensor] = []

    def __call__(self, exchange: Exchange) -> None:
        """One round: the cosines (T, N) of the others' steps, and of the own hospital's."""
        given, records = exchange.parameters, exchange.records
        steps = exchange.updates - given
        weighed = steps * records[..., None]
        total, count = weighed.sum(0), records.sum(0)
        of = self.federation.hospitals.of
        others, own = (torch.zeros(self.inputs.shape[:2]) for _ in range(2))
        for hospital in range(len(steps)):
            rows, asks = of == hospital, (hospital + 1) % len(steps)
            left = (total - weighed[asks]) / (count - records[asks]).clamp(min=1)[:, None]
            for table, moved in ((others, left), (own, steps[hospital])):
                table[:, rows] = self._along(given, moved, rows)
        self.others.append(others)
        self.own.append(own)

    def _along(self, given: Tensor, moved: Tensor, rows: Tensor) -> Tensor:
        like = self.federation.start
        weights, by = unpacked(given, like), unpacked(moved, like)
        return moved_along(weights, by, self.inputs[:, rows], self.dataset.y[rows])


def members_file(private: bool) -> str:
    """The file of one federation."""
    return f"members{'_private' if private else ''}.safetensors"


def guess_members(dataset: Dataset, cfg: Config, private: bool = False) -> Members:
    """Trains the federations of halves, and guesses who was learned from.

    Args:
        dataset: the records.
        cfg: the configuration.
        private: whether hospitals train under differential privacy.
    """
    wanted = cfg.section(FederationSettings)
    seed = of(Stream.MEMBERSHIP_HALVES, cfg.seed)
    plan = halves_of(dataset, cfg.plan, models=wanted.targets, seed=seed)
    federation = federation_of(dataset, plan, cfg, **options_of(cfg, wanted.sites, AS_ONE))  # type: ignore[arg-type]
    watcher, given = _Watcher(dataset, federation, plan.size), list[Tensor]()

    def watch(exchange: Exchange) -> None:
        given.append(exchange.parameters)
        watcher(exchange)

    local, rounds, recipe, strength = federation.local, wanted.rounds, RECIPE, None
    if private:
        how = settings_of(cfg)
        local = private_local(federation.training.architecture, steps_of(how))
        rounds, recipe, strength = how.rounds, PRIVATE_RECIPE, strength_of(how)
    parties = federation.sites, federation.start
    end = federate(*parties, rounds, local, federation.aggregate, watch=watch)
    asked = learned_from(dataset, cfg.plan)
    people, member = only(dataset, asked), plan.train[:, asked]
    seen = [unpacked(one, federation.start) for one in given[1:]] + [end]
    odds = torch.stack(
        [
            recorded_log_odds(federation.population(one, dataset, plan), people.x, people.y)
            for one in seen
        ]
    )
    answers = of_all_rounds(odds, member)
    steps = likelihood_ratio(torch.stack(watcher.others).mean(0)[:, asked], member)
    scores = {
        FINAL: likelihood_ratio(odds[-1], member),
        ANSWERS: answers,
        STEPS: steps,
        BOTH: answers + steps,
        SERVER: likelihood_ratio(torch.stack(watcher.own).mean(0)[:, asked], member),
        BLIND: blind(people.x, people.y, member, people.together),
    }
    found = {name: score.float() for name, score in scores.items()}
    return Members(recipe, len(federation.sites), rounds, strength, found, member)
