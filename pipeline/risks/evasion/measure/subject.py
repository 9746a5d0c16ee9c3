"""Whom an examination is about, and what each attacker proposes to present to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.attacks.evasion import EVASION, Attack, Attacker, evasion_suite
from pipeline.attacks.evasion.control import worst
from pipeline.attacks.evasion.gradient import fgsm
from pipeline.attacks.evasion.records import LogitsFn
from pipeline.attacks.surrogate import train_linear_surrogate
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.recodes import forgeable
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.files import NOT_FOR_IMAGES
from pipeline.models.answers import margin
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Networks, Population
from pipeline.risks.evasion.measure.attackers import ADDED, SURROGATE, TRANSFER, all_attackers
from pipeline.risks.evasion.measure.idle import why_idle
from pipeline.seeds import Stream, generator
from pipeline.standards import describe_threat
from pipeline.verify import why_no_proof

PROOFS = "proofs"  # what cannot be asked of a population that no verifier knows
UNASKED = "nobody asked for proofs: the setting audit.proofs leaves them out"
UNSEEN = "it needs gradients, and the model gives scores alone"


def cannot_be_asked(population: Population, cfg: Config) -> dict[str, str]:
    """What cannot be asked of a population, and why: configured attacks by name, and `proofs`."""
    lacking = {
        name: UNSEEN for name, who in all_attackers(cfg).items() if not _offers(population, who)
    }
    if cfg.data.image:
        unfit = (name for name, who in all_attackers(cfg).items() if not _sees_images(who))
        lacking |= dict.fromkeys(unfit, NOT_FOR_IMAGES)
    lacking |= {
        f"threat {name}": why
        for name, threat in cfg.threat.items()
        if (why := why_idle(threat, cfg.data.features.values()))
    }
    why = why_no_proof(population) if cfg.audit.proofs else UNASKED
    return {**lacking, PROOFS: why} if why else lacking


def _sees_images(who: Attacker) -> bool:
    return who.method not in EVASION or EVASION[who.method].images


def _offers(population: Population, who: Attacker) -> bool:
    """Whether a population offers what an attacker must see of it."""
    return population.gradients or who.access != "gradients"


@dataclass(frozen=True)
class Trial:
    """A threat as it is tried: its name, what may be changed, at which radii."""

    name: str
    threat: Threat
    radii: list[float]

    @classmethod
    def of(cls, name: str, dataset: Dataset, cfg: Config) -> "Trial":
        """The trial of a configured threat on these records."""
        limits, schema = cfg.threat[name], dataset.schema
        threat = Threat.of(schema, limits)
        return cls(name, threat, cfg.radii(name))


class Proposal(NamedTuple):
    """What an attacker proposes: records (E, M, B, D), after so many questions for each at most."""

    attack: str
    who: Attacker
    budget: int | None
    records: Tensor


@dataclass(frozen=True)
class Block:
    """Which block of a larger cohort records are.

    Attributes:
        number: from 0; attacks draw their chances of it.
        stand_in: a linear model beside each one, trained on the whole cohort.
    """

    number: int
    stand_in: Networks


@dataclass(frozen=True)
class Subject:
    """Whom an examination is about.

    Attributes:
        population: M models.
        dataset: the records.
        plan: who trained on whom.
        index: (M, B) the patients that each model may be scored on.
        valid: (M, B) which of these are patients, and no filler of the rectangle.
        block: of a larger cohort; None = these are all.
        proofs: whether anything is to be proved.
    """

    population: Population
    dataset: Dataset
    plan: Plan
    index: Tensor
    valid: Tensor
    block: Block | None = None
    proofs: bool = True

    @classmethod
    def of(
        cls,
        population: Population,
        dataset: Dataset,
        plan: Plan,
        block: Block | None = None,
        *,
        proofs: bool = True,
    ) -> "Subject":
        """The models that hold somebody out, and those patients."""
        scored = plan.scored()
        population, plan = population.select(scored), plan.select(scored)
        if block is not None:
            block = replace(block, stand_in=block.stand_in.select(scored))
        return cls(population, dataset, plan, *plan.held_out_index(), block, proofs)

    @property
    def why_unproved(self) -> str:
        """Why nothing is proved; empty = something is."""
        return why_no_proof(self.population) if self.proofs else UNASKED

    def stand_in(self) -> LogitsFn:
        """A linear model beside each one, trained on the same records."""
        dataset = self.dataset
        surrogate = self.block.stand_in if self.block else linear_beside(dataset, self.plan)
        axes = len(dataset.schema.image)
        return OfImages(surrogate, axes) if axes else surrogate

    @property
    def x(self) -> Tensor:
        """(M, B, D) records."""
        return self.dataset.x[self.index]

    @property
    def y(self) -> Tensor:
        """(M, B) classes."""
        return self.dataset.y[self.index]

    def radius(self, trial: Trial) -> Tensor:
        """Radii that broadcast over (E, M, B, D); 0 for those whom the threat's goal spares."""
        event = (1,) * trial.threat.mutable.dim()
        eps = torch.tensor(trial.radii).view(-1, 1, 1, *event)
        if trial.threat.goal == "any":
            return eps
        return eps * trial.threat.attackable(self.y).view(*self.y.shape, *event)

    @torch.no_grad()
    def scored(self, folds: OutOfFold, x_adv: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
        """Margins in float64, and how many values changed, of (E, M, B, D); both (E, S, N).

        What follows from a forged value is no change of its own.
        """
        margins = margin(self.population.double()(x_adv.double()), self.y)
        differs = (x_adv != self.x) & ~self.x.isnan()
        if threat.relations:
            differs &= ~threat.relations.following
        changed = differs.flatten(1 - self.dataset.x.dim()).sum(-1)
        return folds.scatter(margins, self.index, self.valid), folds.scatter(
            changed, self.index, self.valid
        )

    def described(self, threat: Threat, proposal: Proposal) -> dict[str, str]:
        """What names the threat of a proposal completely."""
        names = self.dataset.schema.names
        mutable = forgeable(threat)
        if self.dataset.schema.image:  # one feature, that of every pixel
            mutable = mutable.any().view(1)
        return describe_threat(
            norm=threat.norm,
            goal=threat.goal,
            mutable=[name for name, may in zip(names, mutable.tolist(), strict=True) if may],
            access=proposal.who.access,
            query_budget=proposal.budget,
            unit=threat.unit,
            image=bool(self.dataset.schema.image),
        )


def linear_beside(dataset: Dataset, plan: Plan) -> Networks:
    """A linear model beside each one of a plan, trained on the same records.

    Where nobody knows on whom a model was trained, its attacker is granted all that there are.
    """
    known = plan.train
    plan = replace(plan, train=torch.where(known.any(1, keepdim=True), known, True))
    return train_linear_surrogate(dataset.x.flatten(1), dataset.y, plan, hot=dataset.schema.hot)


Proposer = Callable[[], Proposal]


def proposers(
    subject: Subject, trial: Trial, cfg: Config, sent: Sequence[Tensor] | None
) -> list[Proposer]:
    """A task for each attacker; those who need what the population lacks are left out.

    A measurement that is repeated has no attacker, only chance: of errors the verifier says all.

    Args:
        subject: whom to attack.
        trial: under which threat.
        cfg: the attacks.
        sent: adversarial records of another population under this threat, (E, S, N, D) of each
            attack; None = none.
    """
    threat, known = trial.threat, all_attackers(cfg)
    nobody = threat.unit == "error" and not subject.why_unproved
    place = () if subject.block is None else (subject.block.number,)
    found: list[Proposer] = []
    for number, (name, attack) in enumerate(evasion_suite(cfg.attack, norm=threat.norm).items()):
        who, drawn = known[name], generator(Stream.EVASION, cfg.seed, number, *place)
        if not _offers(subject.population, who) or (nobody and who.access != "none"):
            continue
        if subject.dataset.schema.image and not _sees_images(who):
            continue
        if who.discrete and not threat.discrete:
            continue
        found.append(partial(_of_attack, subject, trial, name, who, attack, drawn))
    if nobody:
        return found
    if threat.norm != "l0":  # the gradient step is exact on a linear model
        found.append(partial(_of_surrogate, subject, trial))
    if sent is not None:
        found.append(partial(_of_transfer, subject, trial, sent))
    return found


def _of_attack(
    subject: Subject, trial: Trial, name: str, who: Attacker, attack: Attack, drawn: torch.Generator
) -> Proposal:
    """What a configured attack proposes, with chance of its own."""
    threat, radii = trial.threat, subject.radius(trial)
    x, y = subject.x, subject.y
    proposed = attack(subject.population, x, y, threat, eps=_above_zero(radii), generator=drawn)
    budget = EVASION[who.method].budget(who.options, threat, trial.radii[-1])
    return Proposal(name, who, budget, _at_each(radii, x, proposed))


def _of_surrogate(subject: Subject, trial: Trial) -> Proposal:
    """What somebody proposes who has such records, and not the model."""
    radii = subject.radius(trial)
    step = fgsm(subject.stand_in(), subject.x, subject.y, trial.threat, eps=_above_zero(radii))
    return Proposal(SURROGATE, ADDED[SURROGATE], None, _at_each(radii, subject.x, step))


def _of_transfer(subject: Subject, trial: Trial, sent: Sequence[Tensor]) -> Proposal:
    """Of each record, the most harmful one that was made for another population."""
    x, threat, folds = subject.x, trial.threat, OutOfFold(subject.plan, trial.radii)
    offered = [folds.gather(records, subject.index) for records in sent]
    if threat.discrete:  # what others recode, a gradient cannot: each attack does its own
        radii = subject.radius(trial)
        offered = [
            threat.of_numbers.project(torch.where(one.isnan(), x, one), x, radii) for one in offered
        ]
    most_harmful = worst(subject.population, offered, subject.y)
    return Proposal(TRANSFER, ADDED[TRANSFER], None, most_harmful)


def _above_zero(radii: Tensor) -> Tensor:
    """The radii at which anything can be changed: the first is 0."""
    return radii[1:] if len(radii) > 1 else radii


def _at_each(radii: Tensor, x: Tensor, found: Tensor) -> Tensor:
    """What was found at the radii above 0, with the records as they are before it."""
    return found if len(found) == len(radii) else torch.cat([x[None], found])


@dataclass(frozen=True)
class OfImages:
    """A model of records that is asked about images of so many axes, as records of their values."""

    records: LogitsFn
    axes: int

    def __call__(self, x: Tensor) -> Tensor:
        """(..., *image) to logits (..., K)."""
        return self.records(x.flatten(-self.axes))
