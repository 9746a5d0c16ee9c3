"""Adversarial training: part of every batch is attacked before the model learns from it."""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from pipeline.attacks.evasion import Attack, evasion_attack
from pipeline.config import Config, Positive, Share
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses.undefended import fit_as_configured
from pipeline.files import BadInput
from pipeline.models.designs import Trained
from pipeline.models.training import Batch
from pipeline.seeds import Stream, generator

Component = tuple[Attack, float, float]  # attack, radius, share of the batch


def _component(entry: dict[str, Any], number: int) -> Component:
    """The attack of one entry of a mixture, and its radius and share as they are written there."""
    key = f"mixture[{number}]"
    for name in ("radius", "share"):
        value = entry.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise BadInput(f"{key}.{name}: must be a number above 0 and at most 1, not {value!r}")
    options = {name: value for name, value in entry.items() if name not in ("radius", "share")}
    return evasion_attack(options, key), entry["radius"], entry["share"]


def _check_mixture(mixture: list[dict[str, Any]]) -> list[dict[str, Any]]:
    total = sum(share for _, _, share in map(_component, mixture, range(len(mixture))))
    if abs(total - 1) > 1e-6:
        raise BadInput(f"mixture: the shares add up to {total:g}, not to 1")
    return mixture


Mixture = Annotated[list[dict[str, Any]], Field(min_length=1), AfterValidator(_check_mixture)]


def adv_train(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    eps: Positive,
    threat: str,
    clean_share: Share,
    mixture: Mixture,
) -> Trained:
    """Adversarial training against a mixture of attacks and radii.

    Madry et al. 2018, arXiv:1706.06083. A mixture, because a model trained against one radius or
    one single-step attack learns that radius or that attack (Wong et al. 2020, arXiv:2001.03994, on
    catastrophic overfitting).

    Args:
        dataset: the records.
        plan: who trains.
        cfg: model, training numbers and threat models.
        eps: largest radius, in units of the features' scale.
        threat: name of the threat model whose attacker is trained against.
        clean_share: the share of each batch that stays clean.
        mixture: attackers of the rest; each a `method` with its options, `radius` (a fraction of
            eps) and `share` (of the attacked records; the shares add up to 1).
    """
    attacker = Threat.of(dataset.schema, cfg.threat[threat])
    components = [
        (attack, radius * eps, share * (1 - clean_share))
        for attack, radius, share in map(_component, mixture, range(len(mixture)))
    ]
    perturb = attack_part_of_batch(attacker, components, starts_of(plan))
    trained = fit_as_configured(dataset, plan, cfg, "adv_train", perturb=perturb)
    if attacker.mutable.any():
        return trained
    # said, because it is no other recipe then than the undefended one
    may = "may be forged" if not attacker.discrete else "moves in steps, and recodes are not tried"
    idle = {"attacked": f"nobody: under {threat} no measurement {may}"}
    trained.facts.update(idle)
    return trained


def starts_of(plan: Plan) -> torch.Generator:
    """The random starts of the attacks that a plan's models are trained against.

    Of the first model: a poisoned training set starts as the clean one does.
    """
    return generator(Stream.ADVERSARIAL_TRAINING, int(plan.seeds[0]))


def attack_part_of_batch(
    threat: Threat, components: list[Component], generator: torch.Generator
) -> Callable[[Trained, Batch], Tensor]:
    """A `perturb` for `fit`: parts of each shuffled batch are attacked, the rest stays clean."""

    def perturb(population: Trained, batch: Batch) -> Tensor:
        x, start = batch.x.clone(), 0.0
        size = x.shape[1]
        for attack, radius, share in components:
            part = slice(round(start * size), round((start + share) * size))
            start += share
            if part.start < part.stop:
                x[:, part] = attack(
                    population,
                    batch.x[:, part],
                    batch.y[:, part],
                    threat,
                    eps=radius,
                    generator=generator,
                )
        return x

    return perturb
