"""Who can tell that a patient was in the training set of a recipe.

Attacks on models of random halves, and what is claimed. The same recipe is trained anew on random
halves of the cohort: distillation with a teacher on the same half, DP-SGD with its own noise. Under
an official split these are halves of those whom it trains on, and nobody else is asked about. Where
a recipe claims differential privacy, its mechanism is run on canaries, and the claim is put to the
test.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.membership import MEMBERSHIP, NEEDS_SHADOWS, blind, signals
from pipeline.config import Config
from pipeline.data.halves import halves_of, learned_from, only
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.decision import check_decision
from pipeline.defenses.trained import train
from pipeline.files import read_json, write_json
from pipeline.models.population import Population
from pipeline.risks.membership.measure.claims import audited_claim
from pipeline.risks.membership.measure.settings import MembershipSettings
from pipeline.seeds import Stream, generator, of

BLIND = "blind"  # a classifier that sees the records and no model: there is nothing to be found
COARSE = 4  # rows and columns of the picture that the control sees of an image: it takes all pairs
SCORES, CLAIM = "scores.safetensors", "claim.json"
WHAT, ADVICE = "membership scores", "run `dvc repro` to make it"
NOT_ASKED = "no models of random halves were trained: the setting membership.recipes leaves it out"
UNKNOWN = (
    "nobody says on whom of this cohort the model was trained: plan.trained_on names their records"
)


@dataclass(frozen=True)
class HalfTrained:
    """Models of one recipe, each trained on a random half of the patients; `plan` says on whom."""

    population: Population
    plan: Plan


@dataclass(frozen=True)
class Halves:
    """What was trained on random halves, for two purposes that must not be mixed.

    Attributes:
        targets: each on a half of its own, for whoever looks for leaks: a shadow that was trained
            on its target's own half would tell who is a member.
        every: the targets, and some of their halves once more with another seed, for how much a
            training matters.
    """

    targets: HalfTrained
    every: HalfTrained


def why_not_asked(name: str, cfg: Config) -> str:
    """Why nobody looks for what the recipe `name` leaks; empty = somebody does."""
    if cfg.plan.frozen:
        return UNKNOWN if cfg.plan.trained_on is None else ""
    recipes = cfg.section(MembershipSettings).recipes
    return "" if recipes is None or name in recipes else NOT_ASKED


def attacks_on(cfg: Config) -> list[str]:
    """The configured attacks, of a frozen model those that need no others beside it."""
    asked = cfg.section(MembershipSettings).attacks
    return [one for one in asked if not cfg.plan.frozen or not NEEDS_SHADOWS[one]]


def train_halves(name: str, dataset: Dataset, cfg: Config) -> Halves:
    """Trains the recipe `name` on as many random halves as there are targets, on some twice."""
    numbers = cfg.section(MembershipSettings)
    seed = of(Stream.MEMBERSHIP_HALVES, cfg.seed)
    once = halves_of(dataset, cfg.plan, models=numbers.targets, seed=seed)
    again = 0 if cfg.plan.frozen else numbers.second_seeds
    plan = once.with_second_seeds(again) if again else once
    population = train(name, dataset, plan, cfg)
    targets = HalfTrained(population.select(torch.arange(once.size)), once)
    return Halves(targets, HalfTrained(population, plan))


@dataclass(frozen=True)
class Membership:
    """What is reported of one recipe; every figure is a function of it.

    Attributes:
        scores: for each membership attack and `BLIND` (T, N) float32, of target t for the n-th
            record of those who are asked (`pipeline.data.halves.learned_from`);
            HIGHER = MORE LIKELY A MEMBER.
        member: (T, N) bool, who trained each target.
        log_odds: (T, N) float32, of the recorded class: what a target answers; above 0 it is right.
        claim: empty where nothing is claimed; else as `claims.audited_claim`, and what these models
            `measured` of themselves and where their `noise` came from.
    """

    scores: dict[str, Tensor]
    member: Tensor
    log_odds: Tensor
    claim: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Writes `scores.safetensors` and `claim.json` into a new folder."""
        folder.mkdir(parents=True)
        write_artifact(folder / SCORES, self, beside=["claim"])
        write_json(folder / CLAIM, self.claim)

    @classmethod
    def load(cls, folder: Path) -> "Membership":
        """Reads what `save` wrote.

        Raises:
            BadInput: a file is missing, damaged, or holds something else.
        """
        claim = read_json(folder / CLAIM)
        return read_artifact(folder / SCORES, cls, what=WHAT, advice=ADVICE, claim=claim)


def seen_without_a_model(dataset: Dataset) -> Tensor:
    """(N, D) what the control sees: records as they are, of images a coarse picture."""
    if not dataset.schema.image:
        return dataset.x
    return adaptive_avg_pool2d(dataset.x, COARSE).flatten(1)


def infer_members(name: str, halves: Halves, dataset: Dataset, cfg: Config) -> Membership:
    """Attacks each target of a recipe with all the others as its shadows, and audits a claim.

    Raises:
        FailedCheck: the recipe claims less than an audit proves that it spends, or than its own
            numbers add up to.
    """
    numbers, targets = cfg.section(MembershipSettings), halves.targets
    asked = learned_from(dataset, cfg.plan)
    people, member = only(dataset, asked), targets.plan.train[:, asked]
    seen = signals(
        targets.population,
        people,
        copies=numbers.copies,
        spread=numbers.spread,
        generator=generator(Stream.MEMBERSHIP_NOISE, cfg.seed),
    )
    scores = {attack: MEMBERSHIP[attack](seen, member).float() for attack in attacks_on(cfg)}
    scores[BLIND] = blind(seen_without_a_model(people), people.y, member, people.together).float()
    check_decision(targets.population.facts, name)
    guarantee = targets.population.facts.get("guarantee")
    claim: dict[str, Any] = {}
    if guarantee is not None:
        facts = {key: targets.population.facts[key] for key in ("measured", "noise")}
        claim = {**audited_claim(name, dataset, cfg, guarantee), **facts}
    return Membership(scores, member, seen.log_odds.float(), claim)
