"""A vote of several voters, attacked by who knows of one of them and by who knows them all.

Grey box: the attacker holds the transformer alone, as the published evaluations of such votes
assume. Adaptive: the attacker holds what is deployed, and climbs the count of votes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.evasion import Attack, evasion_suite
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.models.ensemble import climbed, inconsistency, is_ensemble, trunk_of, voters, votes_of
from pipeline.models.image_networks import ImageNetworks
from pipeline.models.out_of_fold import OutOfFold
from pipeline.models.population import Population
from pipeline.models.self_ensemble import THRESHOLD, DecidingVote, SmoothVotes
from pipeline.risks.evasion.measure.subject import Trial
from pipeline.seeds import Stream, generator

ENSEMBLE = "ensemble.safetensors"
GREY, ADAPTIVE = ("fgsm", "apgd_ce"), "apgd_margin"  # by their names in the configuration
ATTACKERS = ("none", "grey", "sum", "count", "adaptive")


@dataclass(frozen=True)
class Ensemble:
    """What each attacker presents: E radii x S repetitions x N patients.

    Attributes:
        eps: radii, in units of the headline threat's scale; the first is 0.
        y: (N,) int64, class indices.
        ahead: by attacker (E, S, N) float32: votes for the true class less those for the best other
            one; above 0 = right. `sum` and `count` are two steps of who knows all, each alone.
        disagree: by attacker (E, S, N) float32: how far the voters disagree.
        limit: (S, N) float32, above which the detector reports an image.
    """

    eps: list[float]
    y: Tensor
    ahead: dict[str, Tensor]
    disagree: dict[str, Tensor]
    limit: Tensor

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        write_artifact(path, self)

    @classmethod
    def load(cls, path: Path) -> "Ensemble":
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds something else.
        """
        advice = "run `dvc repro` to make it"
        return read_artifact(path, cls, what="attacks on a vote", advice=advice)


class Seen(NamedTuple):
    """What a vote makes of images (..., M, B), in float64: votes ahead, and disagreement."""

    ahead: Tensor
    disagree: Tensor


def attack_vote(
    population: Population, dataset: Dataset, plan: Plan, cfg: Config, block: int | None = None
) -> Ensemble | None:
    """Attacks the vote of self-ensembles on the patients whom each holds out.

    Under the headline threat. Nothing of a population that does not vote.

    Args:
        population: M models.
        dataset: the images.
        plan: who trained on whom.
        cfg: radii, threat models and attacks.
        block: which one of a larger cohort these are; None = these are all.
    """
    own = () if block is None else (block,)
    suite = evasion_suite(cfg.attack)
    if not is_ensemble(population) or not {*GREY, ADAPTIVE} <= {*suite}:
        return None
    scored = plan.scored()
    models, plan = population.select(scored), plan.select(scored)
    trial = Trial.of(cfg.audit.headline, dataset, cfg)
    index, valid = plan.held_out_index()
    x, y = dataset.x[index], dataset.y[index]
    grey = [
        forged(trunk_of(models), x, y, trial, suite[name], cfg.seed, number, *own)
        for number, name in enumerate(GREY)
    ]
    adaptive = adaptive_images(models, x, y, trial, suite[ADAPTIVE], cfg.seed, *own)
    candidates = [judged(models, x_adv, y) for x_adv in (*grey, *adaptive)]
    clean, by_sum, by_count = judged(models, x[None], y), *candidates[len(grey) : len(grey) + 2]
    presented = {
        "none": clean,
        "grey": most_votes_turned(candidates[: len(grey)]),
        "sum": most_votes_turned([by_sum]),
        "count": most_votes_turned([by_count]),
        "adaptive": least_noticed(candidates, models.parameters[THRESHOLD]),
    }
    folds = OutOfFold(plan, trial.radii)

    def by_patient(values: Tensor) -> Tensor:
        return folds.scatter(values.float(), index, valid)

    return Ensemble(
        trial.radii,
        dataset.y[folds.patients],
        {name: by_patient(one.ahead) for name, one in presented.items()},
        {name: by_patient(one.disagree) for name, one in presented.items()},
        folds.of_models(models.parameters[THRESHOLD]).float(),
    )


# ---- attackers ----


def forged(
    models: ImageNetworks,
    x: Tensor,
    y: Tensor,
    trial: Trial,
    attack: Attack,
    seed: int,
    *numbers: int,
) -> Tensor:
    """What an attack on these models makes of images (M, B, *image): (E, M, B, *image).

    `numbers` tell its random starts apart from those of others.
    """
    still = x.expand(sum(not radius for radius in trial.radii), *x.shape)  # radii rise from 0
    eps = torch.tensor(trial.radii[len(still) :]).view(-1, *[1] * x.dim())
    drawn = generator(Stream.EVASION_OF_VOTES, seed, *numbers)
    made = attack(models, x, y, trial.threat, eps=eps, generator=drawn)
    return torch.cat([still, trial.threat.project(made, x, eps)])


def adaptive_images(
    models: ImageNetworks,
    x: Tensor,
    y: Tensor,
    trial: Trial,
    attack: Attack,
    seed: int,
    *numbers: int,
) -> list[Tensor]:
    """Images (E, M, B, *image) of who holds all voters, as a list of three.

    The attack climbs the sum of all log-probabilities; the softened count of votes; and, where the
    vote stands against both, the vote in the middle, which decides.
    """
    summed = models.decide_at(torch.zeros_like(models.cut))
    counted = climbed(models, SmoothVotes)
    made = [
        forged(each, x, y, trial, attack, seed, number, *numbers)
        for number, each in enumerate((summed, counted), len(GREY))
    ]
    standing = torch.stack([judged(models, images, y).ahead > 0 for images in made]).all(0)
    x_adv, asked = made[-1].clone(), climbed(models, DecidingVote)
    for place, eps in enumerate(trial.radii):
        for row in range(models.size):
            who = standing[place, row].nonzero()[:, 0]
            if not eps or not len(who):
                continue
            one, at = asked.select(torch.tensor([row])), replace(trial, radii=[eps])
            own, label = x[row : row + 1, who], y[row : row + 1, who]
            found = forged(one, own, label, at, attack, seed, len(GREY) + 2, place, row, *numbers)
            x_adv[place, row, who] = found[0, 0]
    return [*made, x_adv]


def judged(models: ImageNetworks, x_adv: Tensor, y: Tensor) -> Seen:
    """What the real vote makes of images (E, M, B, *image), one radius after another."""
    seen = []
    exact = models.double()
    for images in x_adv:
        with torch.no_grad():
            said = voters(exact, images.double())
        counts = votes_of(said)
        index = y[..., None]
        own = counts.gather(-1, index)[..., 0]
        ahead = own - counts.scatter(-1, index, -1).amax(-1)
        seen.append(Seen(ahead.double(), inconsistency(said)))
    return Seen(*(torch.stack(each) for each in zip(*seen, strict=True)))


# ---- which of several images is presented ----


def most_votes_turned(candidates: Sequence[Seen]) -> Seen:
    """Of each patient's images the one with the fewest votes ahead; of equal ones the last.

    Within a radius lies also what was made within a smaller one.
    """
    return _least(candidates, lambda one: one.ahead)


def least_noticed(candidates: Sequence[Seen], limit: Tensor) -> Seen:
    """Of those that turn the vote the one on which voters disagree least; else `most_votes_turned`.

    Args:
        candidates: what each attack made.
        limit: (M,), above which an image is reported; what is not reported comes first.
    """

    def cost(one: Seen) -> Tensor:
        turned = one.ahead <= 0
        noticed = turned & (one.disagree > limit[:, None])
        # any turned vote costs less than one that stands, whose cost is at least 1
        hidden = one.disagree / (1 + one.disagree)
        return torch.where(turned, hidden + noticed - 2, one.ahead)

    return _least(candidates, cost)


def _least(candidates: Sequence[Seen], cost: Callable[[Seen], Tensor]) -> Seen:
    best, costs = None, torch.empty(0)
    kept: list[Seen] = []
    for place in range(len(candidates[0].ahead)):
        for one in candidates:
            here = Seen(one.ahead[place], one.disagree[place])
            now = cost(here)
            if best is None:
                best, costs = here, now
                continue
            better = now <= costs
            best = Seen(*(torch.where(better, a, b) for a, b in zip(here, best, strict=True)))
            costs = torch.where(better, now, costs)
        assert best is not None
        kept.append(best)
    return Seen(*(torch.stack(each) for each in zip(*kept, strict=True)))
