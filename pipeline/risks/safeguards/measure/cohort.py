"""Who is attacked under which threat: models, the patients whom each holds out, and the attacks."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.attacks.evasion.control import noise
from pipeline.attacks.evasion.gradient import apgd
from pipeline.attacks.evasion.records import LogitsFn
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.referring import Looking
from pipeline.models.out_of_fold import OutOfFold
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.seeds import Stream, generator

SATISFIED = 0.25  # log-odds beyond the line, with which who ignores a referral is content


@dataclass(frozen=True)
class Cohort:
    """Patients, each held out by one model of every repetition, and who attacks them.

    Attributes:
        dataset: the records.
        plan: M models of the first repetitions, all of which hold somebody out.
        threat: the headline threat.
        radii: rising, the first is 0.
        steps: of an attack.
        draws: of noise.
        seed: of random starts.
    """

    dataset: Dataset
    plan: Plan
    threat: Threat
    radii: list[float]
    steps: int
    draws: int
    seed: int

    @classmethod
    def of(cls, dataset: Dataset, plan: Plan, cfg: Config) -> "Cohort":
        """As configured; `plan` is the whole plan of the data set."""
        wanted = cfg.section(SafeguardsSettings)
        some = plan.select(rows_of(plan, wanted.repetitions))
        some = some.sampled(dataset.y, cfg.audit.sample, cfg.seed)
        threat = Threat.of(dataset.schema, cfg.threat[cfg.audit.headline])
        radii = sorted({0.0, *cfg.radii(cfg.audit.headline)})
        return cls(dataset, some, threat, radii, wanted.steps, wanted.draws, cfg.seed)

    def at(self, radii: list[float]) -> "Cohort":
        """The same within other radii, in units of the threat's scale."""
        return replace(self, radii=radii)

    @property
    def folds(self) -> OutOfFold:
        """From models to patients."""
        return OutOfFold(self.plan, self.radii)

    @property
    def x(self) -> Tensor:
        """(M, B, *event) the records that each model holds out, filled up."""
        return self.dataset.x[self.plan.held_out_index()[0]]

    @property
    def y(self) -> Tensor:
        """(M, B) their classes."""
        return self.dataset.y[self.plan.held_out_index()[0]]

    @property
    def eps(self) -> Tensor:
        """Radii that broadcast over (E, M, B, *event); 0 of whom the threat's goal spares."""
        event = (1,) * self.threat.mutable.dim()
        eps = torch.tensor(self.radii).view(-1, 1, 1, *event)
        if self.threat.goal == "any":
            return eps
        return eps * self.threat.attackable(self.y).view(*self.y.shape, *event)

    def drawn(self, *numbers: int) -> torch.Generator:
        """What draws for one attack, or for one sanitiser: the same each time it is asked for."""
        return generator(Stream.SAFEGUARDS, self.seed, *numbers)

    def climbed(self, model: LogitsFn, *numbers: int) -> Tensor:
        """(E, M, B, *event): what APGD makes of every record, within every radius.

        `numbers` tell its draws apart from those of others.
        """
        drawn, x, eps = self.drawn(*numbers), self.x, self.eps
        found = apgd(model, x, self.y, self.threat, eps=eps, steps=self.steps, generator=drawn)
        return self.threat.project(found, x, eps)

    def by_chance(self, model: LogitsFn, *numbers: int) -> Tensor:
        """(E, M, B, *event): the worst of some random changes of the same size, as a control."""
        drawn, eps = self.drawn(*numbers), self.eps
        found = noise(
            model, self.x, self.y, self.threat, eps=eps, draws=self.draws, generator=drawn
        )
        return self.threat.project(found, self.x, self.eps)

    def by_patient(self, values: Tensor) -> Tensor:
        """(E, M, B) to (E, S, N)."""
        return self.folds.scatter(values, *self.plan.held_out_index())


def rows_of(plan: Plan, repetitions: int) -> Tensor:
    """(M,) bool: the models of the first repetitions that hold somebody out."""
    return (plan.repetition >= 0) & (plan.repetition < repetitions) & plan.scored()


# ---- what an attacker climbs: a model of two classes whose margin of the true one is to fall ----


def answer_alone(soft: Looking, y: Tensor) -> LogitsFn:
    """Of who wants a wrong answer, and is content as soon as there is one."""

    def falling(lead: Tensor, doubt: Tensor, side: Tensor) -> Tensor:
        return (lead * side).clamp(min=-SATISFIED)

    return _climbable(soft, y, falling)


def answer_and_doubt(soft: Looking, y: Tensor) -> LogitsFn:
    """Of who wants a wrong answer, and then as little doubt of it as can be."""

    def falling(lead: Tensor, doubt: Tensor, side: Tensor) -> Tensor:
        ahead = lead * side
        return torch.where(ahead > 0, ahead, doubt)

    return _climbable(soft, y, falling)


def _climbable(
    soft: Looking, y: Tensor, falling: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> LogitsFn:
    side = 2 * y - 1

    def logits(x: Tensor) -> Tensor:
        lead, doubt = soft(x)
        margin = falling(lead, doubt, side)
        return torch.stack([torch.zeros_like(margin), margin * side], -1)

    return logits
