"""Who passes the guard: attackers who know nothing of it, and one who wants to be answered.

`nearest` presents the nearest record with another answer, `margin` the one where that answer leads
most: neither knows of the guard. `adaptive` has all that they have, and more of his own; he asks
the verifier about each, and presents one that is answered. So he never passes less often, nor does
he with a longer reach.

Shapes: K reaches x S repetitions x N patients; M models x B patients whom each holds out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.evasion.gradient import apgd, pgd
from pipeline.attacks.evasion.records import LogitsFn
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.files import FailedCheck
from pipeline.models.out_of_fold import OutOfFold
from pipeline.risks.guard.measure.guarded import Guarded, admissible, drawn
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.verify.nearest import SAME_RADIUS

ATTACKERS = ("nearest", "margin", "adaptive")


@dataclass(frozen=True)
class Passed:
    """What a guard answers, honestly and under attack.

    Attributes:
        radii: of the guard, rising, in units of the headline threat's scale.
        reach: of the attackers, in multiples of each radius.
        patients: (N,) int64, rows of the data set.
        y: (N,) class indices.
        called: (S, N) int64, the class that is decided of the unchanged record.
        score: (S, N) float64, its log-odds at the operating point.
        radius: (S, N) float64, up to which that answer is proved; infinite beyond the largest
            radius.
        turned: by "attacker/r" (K, S, N) bool, who is made to be decided otherwise.
        passed: likewise, who is, and answered.
        wrong: likewise, who is answered wrongly, whether or not it took an attack.
        presented: likewise float64, the proved radius of the record that turned the decision, of
            `adaptive` where it is answered; NaN of nobody.
    """

    radii: list[float]
    reach: list[float]
    patients: Tensor
    y: Tensor
    called: Tensor
    score: Tensor
    radius: Tensor
    turned: dict[str, Tensor]
    passed: dict[str, Tensor]
    wrong: dict[str, Tensor]
    presented: dict[str, Tensor]

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Passed":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro guard`"
        return read_artifact(path, cls, what="what passes the guard", advice=advice)


def key(attacker: str, r: float) -> str:
    """The name of an attacker's figures at a radius."""
    return f"{attacker}/{r:g}"


@dataclass(frozen=True)
class Asked:
    """The patients whom M models hold out, and how they are attacked.

    Attributes:
        guard: the models.
        x: (M, B, D) float32 records, filled up.
        y: (M, B) their classes.
        valid: (M, B) bool, which are no filler.
        steps: of an attack.
        seed: of random starts.
    """

    guard: Guarded
    x: Tensor
    y: Tensor
    valid: Tensor
    steps: int
    seed: int

    def climbed(
        self, model: LogitsFn, away: Tensor, eps: Sequence[float], number: int, *, auto: bool = True
    ) -> Tensor:
        """(E, M, B, D): what a gradient makes of every record within every radius.

        Args:
            model: that is climbed.
            away: (M, B) the class that is to lose.
            eps: (E,) radii.
            number: tells its random starts apart from those of others.
            auto: APGD; else PGD from a second, random start.
        """
        starts, size = drawn(self.seed, number), self.reach(eps)
        if auto:
            found = apgd(
                model, self.x, away, self.threat, eps=size, steps=self.steps, generator=starts
            )
        else:
            found = pgd(
                model,
                self.x,
                away,
                self.threat,
                eps=size,
                steps=self.steps,
                step_size=0.25,
                restarts=2,
                generator=starts,
            )
        return self.threat.project(found, self.x, size)

    @property
    def threat(self) -> Threat:
        """The headline threat."""
        return self.guard.threat

    def reach(self, eps: Sequence[float]) -> Tensor:
        """(E, M, B, 1): 0 of whom the threat's goal spares."""
        spared = self.threat.attackable(self.y)[..., None]
        return torch.tensor(list(eps)).view(-1, 1, 1, 1) * spared


def behind_the_guard(model: LogitsFn, away: Tensor, threat: Threat, r: float) -> LogitsFn:
    """What a record is worth to who wants an answer: one step of r back towards the line.

    Climbing it looks for records whose neighbours are decided as they are. An approximation that
    only guides the attack; what counts is what the verifier says.

    Args:
        model: maps records (..., M, B, D) to logits.
        away: (M, B) the class that is to lose.
        threat: whose steps these are.
        r: radius of the guard.
    """
    side = 1 - 2 * away

    def logits(x: Tensor) -> Tensor:
        with torch.enable_grad():
            free = x.detach().clone().requires_grad_()
            out = model(free)
            lead = ((out[..., 1] - out[..., 0]) * side).sum()
            (slope,) = torch.autograd.grad(lead, free)
        size = torch.where(threat.mutable, threat.scale, 0.0).to(x.dtype) * r
        return model(x - size * slope.nan_to_num().sign())

    return logits


def attack_guard(
    guard: Guarded, dataset: Dataset, plan: Plan, wanted: GuardSettings, seed: int
) -> Passed:
    """Attacks a guard at every radius with every reach.

    Args:
        guard: a model for each row of the plan.
        dataset: the records.
        plan: all of whose models hold somebody out.
        wanted: radii, reaches, steps.
        seed: of random starts.

    Raises:
        FailedCheck: somebody within r of an admissible record was given another answer, which is
            proved to be impossible.
    """
    index, valid = plan.held_out_index()
    asked = Asked(guard, dataset.x[index], dataset.y[index], valid, wanted.steps, seed)
    folds = OutOfFold(plan, wanted.reach)
    lead = guard.lead(asked.x)
    called, radius = (lead > 0).long(), guard.radius(asked.x, valid)
    found: dict[str, dict[str, Tensor]] = {
        name: {} for name in ("turned", "passed", "wrong", "presented")
    }
    every = sorted({r * reach for r in wanted.every_r for reach in wanted.reach})
    near = guard.nearest(asked.x, valid, every[-1])
    common = [
        asked.climbed(guard.population, called, every, 0),
        asked.climbed(guard.population, called, every, 1, auto=False),
    ]
    worse = asked.climbed(guard.population, asked.y, every, 2)
    closest = found_near(asked, near, called)
    for number, r in enumerate(wanted.every_r):
        eps = [r * reach for reach in wanted.reach]
        at = [every.index(one) for one in eps]
        soft = behind_the_guard(guard.population, called, asked.threat, r)
        made = [asked.climbed(soft, called, eps, 3 + number), *(one[at] for one in common)]
        own, margin, restarted = looked_at(asked, torch.stack(made), called, valid)
        nearest = within(asked, closest, near[1], eps)
        (beyond,) = looked_at(asked, worse[at][None], asked.y, valid & (called != asked.y))
        tried = {
            "nearest": [nearest],
            "margin": [margin],
            "adaptive": [own, margin, restarted, nearest],
        }
        for attacker, candidates in tried.items():
            turned, passed, shown = present(guard, candidates, r)
            wrong = torch.where(called == asked.y, passed, guard.answered(radius, r))
            wrong &= valid
            if attacker == "adaptive":
                wrong |= present(guard, [beyond], r)[1]
            for name, values in zip(found, (turned, passed, wrong, shown), strict=True):
                found[name][key(attacker, r)] = folds.scatter(values, index, valid)
            check(passed, guard, asked, eps, r)
    patients = folds.patients
    own_called, score, own_radius = (
        folds.scatter(one[None], index, valid)[0] for one in (called, lead, radius)
    )
    return Passed(
        radii=wanted.every_r,
        reach=wanted.reach,
        patients=patients,
        y=dataset.y[patients],
        called=own_called,
        score=score,
        radius=own_radius,
        turned=found["turned"],
        passed=found["passed"],
        wrong=found["wrong"],
        presented=found["presented"],
    )


def looked_at(asked: Asked, x_adv: Tensor, away: Tensor, where: Tensor) -> list[Tensor]:
    """Of candidates (C, K, M, B, D) the proved radii (K, M, B) of each; NaN = nothing is turned.

    Args:
        asked: of whom.
        x_adv: records that may be presented.
        away: (M, B) the class that is to lose.
        where: (M, B) bool, who is attacked.
    """
    kinds, reaches, members, count, _ = x_adv.shape
    flat = x_adv.flatten(0, 1).movedim(0, 1).flatten(1, 2)  # (M, C x K x B, D)
    again = kinds * reaches
    turned = (asked.guard.called(flat) != away.repeat(1, again)) & where.repeat(1, again)
    radius = torch.where(turned, asked.guard.radius(flat, turned), torch.nan)
    return list(radius.view(members, kinds, reaches, count).movedim(0, 2))


def found_near(asked: Asked, near: tuple[Tensor, Tensor], called: Tensor) -> Tensor:
    """(M, B) the proved radii of the nearest records with another answer; NaN = none is known."""
    records, distance = near
    known = asked.valid & distance.isfinite()
    return looked_at(asked, records[None, None], called, known)[0][0]


def within(asked: Asked, closest: Tensor, distance: Tensor, eps: Sequence[float]) -> Tensor:
    """(K, M, B) the same within each radius; NaN = beyond reach."""
    reached = distance <= asked.reach(eps)[..., 0] + SAME_RADIUS
    return torch.where(reached, closest, torch.nan)


def present(guard: Guarded, candidates: Sequence[Tensor], r: float) -> tuple[Tensor, ...]:
    """What an attacker presents of all that he has: the first record that is answered.

    Where none is, the first that turns the decision. What he has within a shorter reach he also has
    within a longer one.

    Args:
        guard: that answers or refers.
        candidates: of each the proved radius (K, M, B), for reaches that rise; NaN = it turns
            nothing.
        r: radius of the guard.

    Returns:
        (K, M, B) turned and passed, bool; and the proved radius of what is presented, NaN = none.
    """
    shown = torch.full_like(candidates[0][0], torch.nan)
    passed, kept = torch.zeros_like(shown, dtype=torch.bool), []
    for each in zip(*candidates, strict=True):
        for own in each:
            answered = ~passed & guard.answered(own, r)
            shown = torch.where(answered | shown.isnan(), own, shown)
            passed = passed | answered
        kept.append((~shown.isnan(), passed, shown))
    return tuple(torch.stack(each) for each in zip(*kept, strict=True))


def check(passed: Tensor, guard: Guarded, asked: Asked, eps: Sequence[float], r: float) -> None:
    """Holds the guard's claim against the attack; see `attack_guard`."""
    short = torch.tensor([one <= r * (1 + SAME_RADIUS) for one in eps])
    inside = passed[short] & admissible(asked.x, guard.threat)
    if inside.any():
        raise FailedCheck(
            f"guard: {int(inside.sum())} answers were turned by changes within r = {r:g} and given "
            "all the same; that was proved to be impossible"
        )
