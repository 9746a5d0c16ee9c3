"""What privacy costs and what it buys: the same private models at several epsilons, trained as one population.

Everything but the noise is held fixed: plan, initial weights, learning rate, and the noise's
direction. Each member has a noise of its own size, so one run of `fit_private` serves all epsilons,
and neighbouring epsilons are compared on equal luck.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.attacks.membership import MEMBERSHIP, signals
from pipeline.config import Config
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.tabular import Array
from pipeline.data.threat import Threat
from pipeline.defenses.privacy import dp_train, fit_private, guarantee_for
from pipeline.files import BadInput, read_json, read_tensors, write_json, write_tensors
from pipeline.models.mlp import MODELS, Architecture
from pipeline.models.networks import Networks
from pipeline.parallel import share_out, workers
from pipeline.risks.frontier.measure.settings import FrontierSettings
from pipeline.risks.membership.measure.claims import (
    COINS,
    audit_canaries,
    canary_runs,
    recomputed_claim,
    refute,
)
from pipeline.validation import check_options
from pipeline.verify.out_of_fold import SAME_RADIUS, proofs_out_of_fold

RECIPE, ATTACK = (
    "dp_train",
    "lira_fixed",
)  # whose numbers; and the likelihood ratio that needs few shadows
MEASURED = ("margin", "robust_below", "breaks_at")
Claim = dict[str, Any]
TENSORS, DESCRIPTION = "frontier.safetensors", "frontier.json"


@dataclass(frozen=True)
class Frontier:
    """K kinds of model x E epsilons; S repetitions x N patients, each judged by models that did not train on them; T targets.

    Attributes: models: names of the kinds. epsilons: targets as configured; None = no noise.
        claims: for each kind and epsilon `epsilon, delta, accounts` as in `Leakage.claim` of the
        membership risk (None where nothing is claimed), `noise_multiplier`, and the `audit`.
        threat: name of the threat model of the proofs, and their `radius` in units of scale. y:
        (N,) class indices. margin: (K, E, S, N) float64, of the true class on the unchanged record,
        in logits. proved: (K, E, S, N) bool, right on every record within the radius. broken: (K,
        E, S, N) bool, a record within the radius is answered wrongly, and known. Neither =
        undecided. scores: (K, E, T, records) float32, of `ATTACK`; HIGHER = MORE LIKELY A MEMBER.
        member: (T, records) bool, who trained each target; the same for all kinds and epsilons.
    """

    models: tuple[str, ...]
    epsilons: tuple[float | None, ...]
    claims: list[list[dict[str, Any]]]
    threat: str
    radius: float
    y: Tensor
    margin: Tensor
    proved: Tensor
    broken: Tensor
    scores: Tensor
    member: Tensor

    def save(self, folder: Path) -> None:
        """Writes `frontier.safetensors` and `frontier.json`."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        write_tensors(folder / TENSORS, tensors)
        write_json(
            folder / DESCRIPTION,
            {name: value for name, value in vars(self).items() if name not in tensors},
        )

    @classmethod
    def load(cls, folder: Path) -> "Frontier":
        """Reads what `save` wrote.

        Raises:
            BadInput: a file is missing or damaged.
        """
        tensors, _ = read_tensors(folder / TENSORS, advice="run `dvc repro frontier`")
        described = read_json(folder / DESCRIPTION)
        try:
            models, epsilons = (tuple(described.pop(name)) for name in ("models", "epsilons"))
            parts: dict[str, Any] = {**described, **tensors}
            return cls(models, epsilons, **parts)
        except (AttributeError, KeyError, TypeError) as error:
            raise BadInput(
                f"{folder}: no privacy frontier ({error}); run `dvc repro frontier`"
            ) from error


def frontier(dataset: Dataset, plan: Plan, cfg: Config) -> Frontier:
    """Trains, attacks and audits every kind of model at every epsilon.

    Args: dataset: the records. plan: of the cross-validation, of which the first `repetitions` are
        trained. cfg: sections `frontier`, `audit`, `threat`, and that of `dp_train`: delta,
        clipping, steps and learning rate.

    Raises:
        BadInput: `dp_train` is not configured, or its delta is too large for the cohort.
        FailedCheck: an audit proves more than is claimed, or a claim's own numbers add up to more.
    """
    numbers, wanted = training_numbers(cfg), cfg.section(FrontierSettings)
    scored = plan.select((plan.repetition >= 0) & (plan.repetition < wanted.repetitions))
    halves = Plan.random_halves(len(dataset.y), models=wanted.targets, seed=cfg.seed + COINS)
    claims = [claim_of(epsilon, scored, **numbers) for epsilon in wanted.epsilons]
    numbers = {name: value for name, value in numbers.items() if name != "delta"}
    plans = {"audits": None, "answers": scored, "membership": halves}
    jobs = [
        (part, kind, dataset, own, cfg, claims, numbers)
        for kind in wanted.models
        for part, own in plans.items()
    ]
    measured = {job[:2]: result for job, result in zip(jobs, share_out(measure, jobs), strict=True)}
    margin, below, breaks = (
        torch.from_numpy(np.stack([measured["answers", kind][column] for kind in wanted.models]))
        for column in range(3)
    )
    radius = wanted.radius
    return Frontier(
        models=tuple(wanted.models),
        epsilons=tuple(wanted.epsilons),
        claims=[measured["audits", kind] for kind in wanted.models],
        threat=cfg.audit.headline,
        radius=radius,
        y=dataset.y[scored.held_out.any(0)],
        margin=margin,
        proved=below > radius + SAME_RADIUS,
        broken=breaks <= radius + SAME_RADIUS,
        scores=torch.from_numpy(np.stack([measured["membership", kind] for kind in wanted.models])),
        member=halves.train,
    )


def measure(
    part: str,
    kind: str,
    dataset: Dataset,
    plan: Plan | None,
    cfg: Config,
    claims: Sequence[Claim],
    numbers: dict[str, Any],
) -> Any:
    """One part of what is known of one kind of model, at all epsilons at once, by whichever process is free.

    Returns: `audits`: each claim with its audit; `answers` (3, E, S, N): margins on unchanged
        records, and of the nearest changed answer the proved and the known distance; `membership`
        (E, T, N): scores.
    """
    architecture = MODELS[kind](
        dataset.x.shape[1], len(dataset.schema.classes), cfg.section(FrontierSettings).models[kind]
    )
    if plan is None:
        return audits(kind, dataset, cfg, architecture, claims, numbers)
    populations = at_each_noise(dataset, plan, architecture, claims, numbers, f"{kind}, {part}")
    if part == "answers":
        return proofs(populations, dataset, plan, cfg)
    return np.stack(
        [membership_scores(population, dataset, plan).numpy() for population in populations]
    )


def training_numbers(cfg: Config) -> dict[str, Any]:
    """The options of `dp_train` but for its epsilon and its engine: here the whole population is always trained at once.

    Raises:
        BadInput: `dp_train` is not configured.
    """
    if RECIPE not in cfg.defenses:
        raise BadInput(
            f"params.yaml: {RECIPE}: missing; the frontier trains with its numbers, so add {RECIPE} to the defenses"
        )
    options = check_options(dp_train, cfg.defenses[RECIPE], RECIPE)
    return {name: value for name, value in options.items() if name not in ("epsilon", "engine")}


def claim_of(
    epsilon: float | None, plan: Plan, *, delta: float, sample_rate: float, steps: int, **_: Any
) -> dict[str, Any]:
    """What is claimed at one epsilon, recomputed by a second accountant, and the noise that it takes.

    Raises:
        BadInput, FailedCheck: as `guarantee_for` and `recomputed_claim`.
    """
    if epsilon is None:
        return {"epsilon": None, "delta": delta, "accounts": None, "noise_multiplier": 0.0}
    guarantee = guarantee_for(plan, RECIPE, epsilon, delta, sample_rate, steps)
    return {
        **recomputed_claim(RECIPE, guarantee),
        "noise_multiplier": guarantee["noise_multiplier"],
    }


def at_each_noise(
    dataset: Dataset,
    plan: Plan,
    architecture: Architecture,
    claims: Sequence[Claim],
    numbers: dict[str, Any],
    name: str,
) -> list[Networks]:
    """The models of `plan` (P) at each claim's noise (E), trained as one population of E x P; one population per claim."""
    size, noise = (
        plan.size,
        torch.tensor([claim["noise_multiplier"] for claim in claims], dtype=torch.float64),
    )
    everywhere = plan.select(torch.arange(size).repeat(len(claims)))
    population = fit_private(
        dataset, everywhere, architecture, noise.repeat_interleave(size), name=name, **numbers
    )
    return [population.select(members) for members in torch.arange(everywhere.size).split(size)]


def audits(
    kind: str,
    dataset: Dataset,
    cfg: Config,
    architecture: Architecture,
    claims: Sequence[Claim],
    numbers: dict[str, Any],
) -> list[Claim]:
    """Each claim with the audit of models trained with canaries.

    Raises:
        FailedCheck: an audit proves more than is claimed.
    """
    canaries = cfg.section(FrontierSettings).canaries
    together, plan = canary_runs(dataset, canaries, cfg.section(FrontierSettings).runs, cfg.seed)
    populations = at_each_noise(
        together, plan, architecture, claims, numbers, f"{kind}, with canaries"
    )
    audited = []
    for claim, population in zip(claims, populations, strict=True):
        audit = audit_canaries(
            population, together, plan, canaries, claim["delta"], cfg.audit.confidence
        )
        if claim["epsilon"] is not None:
            refute(f"frontier, {kind}", claim["epsilon"], audit, cfg.audit.confidence)
        audited.append({**claim, "audit": audit})
    return audited


def proofs(populations: Sequence[Networks], dataset: Dataset, plan: Plan, cfg: Config) -> Array:
    """(3, E, S, N) float64: `MEASURED` of each population, out of fold, up to the radius of the section."""
    threat = Threat.of(dataset.schema.features, cfg.threat[cfg.audit.headline])
    radius, budget = cfg.section(FrontierSettings).radius, cfg.section(FrontierSettings).boxes
    with workers() as pool:
        waiting = [
            proofs_out_of_fold(
                pool,
                one,
                dataset,
                plan,
                threat,
                radii=[radius],
                exact_to=None,
                budget=budget,
                alone=False,
            )
            for one in populations
        ]
        found = [wait() for wait in waiting]
    return np.stack([[getattr(one, name).numpy() for one in found] for name in MEASURED])


def membership_scores(population: Networks, dataset: Dataset, plan: Plan) -> Tensor:
    """(T, N) float32: `ATTACK` on each target, with all others as its shadows."""
    spared, scale = torch.Generator().manual_seed(0), dataset.schema.column("scale")
    seen = signals(
        population, dataset.x, dataset.y, copies=0, spread=1.0, scale=scale, generator=spared
    )
    return MEMBERSHIP[ATTACK](seen, plan.train).float()
