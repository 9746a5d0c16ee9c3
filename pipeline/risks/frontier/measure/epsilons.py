"""What privacy costs and what it buys.

The same private models at several epsilons, trained as one population. Everything but the noise is
held fixed: plan, initial weights, learning rate, and the noise's direction. Each member has a noise
of its own size, so one run of `fit_private` serves all epsilons, and neighbouring epsilons are
compared on equal luck.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.artifact import read_artifact, write_artifact
from pipeline.attacks.membership import MEMBERSHIP, signals
from pipeline.config import Config
from pipeline.data.halves import halves_of, learned_from, only
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.defenses import SET_BY_PROGRAM
from pipeline.defenses.budget import PrivacyBudget, guarantee_for
from pipeline.defenses.decision import under_guarantee
from pipeline.defenses.image_gradients import trained_privately
from pipeline.defenses.privacy import NoisySteps, dp_train, fit_private
from pipeline.defenses.undefended import architecture_for
from pipeline.files import BadInput
from pipeline.models.designs import AnyArchitecture, Trained
from pipeline.models.mlp import MODELS
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.parallel import share_out, workers
from pipeline.risks.frontier.measure.settings import FrontierSettings
from pipeline.risks.membership.measure.claims import recomputed_claim, refute
from pipeline.risks.membership.measure.white_box import AuditSize, white_box_audit
from pipeline.seeds import Stream, of
from pipeline.statistics import Array
from pipeline.validation import check_options
from pipeline.verify.nearest import SAME_RADIUS
from pipeline.verify.out_of_fold import ProofSearch, proofs_out_of_fold

RECIPE = "dp_train"  # whose numbers
ATTACK = "lira_fixed"  # the likelihood ratio that needs few shadows
Claim = dict[str, Any]
TENSORS, DESCRIPTION = "frontier.safetensors", "frontier.json"


@dataclass(frozen=True)
class Frontier:
    """K kinds of model x E epsilons.

    S repetitions x N patients, each judged by models that did not train on them; T targets.

    Attributes:
        models: names of the kinds.
        epsilons: targets as configured; None = no noise.
        claims: for each kind and epsilon `epsilon, delta, accounts` as in `Membership.claim` of the
            membership risk (None where nothing is claimed), `noise_multiplier`, and the `audit`.
        threat: name of the threat model of the proofs, and their `radius` in units of scale; 0 =
            nothing was to be proved.
        y: (N,) class indices.
        margin: (K, E, S, N) float64, of the true class on the unchanged record, in logits.
        proved: (K, E, S, N) bool, right on every record within the radius.
        broken: (K, E, S, N) bool, a record within the radius is answered wrongly, and known.
            Neither = undecided.
        scores: (K, E, T, records) float32, of `ATTACK`; HIGHER = MORE LIKELY A MEMBER; of those who
            are asked about (`pipeline.data.halves.learned_from`).
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
        write_artifact(folder / TENSORS, self, facts=folder / DESCRIPTION)

    @classmethod
    def load(cls, folder: Path) -> "Frontier":
        """Reads what `save` wrote.

        Raises:
            BadInput: a file is missing, damaged, or holds something else.
        """
        return read_artifact(
            folder / TENSORS,
            cls,
            what="a privacy frontier",
            advice="run `dvc repro frontier`",
            facts=folder / DESCRIPTION,
        )


class Answers(NamedTuple):
    """How far answers are from an error, each (E, S, N) float64, out of fold.

    Attributes:
        margin: of the true class on unchanged records.
        robust_below: no record nearer than this changes the answer, which is proved.
        breaks_at: distance of the nearest one that does.
    """

    margin: Array
    robust_below: Array
    breaks_at: Array


@dataclass(frozen=True)
class Training:
    """How one kind of model is trained at every epsilon; the noise alone differs.

    Attributes:
        kind: its name.
        architecture: its network.
        claims: E, as `claim_of` returns them.
        how: noise aside, which each claim brings.
    """

    kind: str
    architecture: AnyArchitecture
    claims: Sequence[Claim]
    how: NoisySteps


def trace_frontier(dataset: Dataset, plan: Plan, cfg: Config) -> Frontier:
    """Trains, attacks and audits every kind of model at every epsilon.

    Args:
        dataset: the records.
        plan: of the cross-validation, of which the first `repetitions` are trained.
        cfg: sections `frontier`, `audit`, `threat`, and that of `dp_train`: delta, clipping, steps
            and learning rate.

    Raises:
        BadInput: `dp_train` is not configured, or its delta is too large for the cohort.
        FailedCheck: an audit proves more than is claimed, or a claim's own numbers add up to more.
    """
    (delta, how), wanted = training_numbers(cfg), cfg.section(FrontierSettings)
    scored = plan.select((plan.repetition >= 0) & (plan.repetition < wanted.repetitions))
    coins = of(Stream.MEMBERSHIP_HALVES, cfg.seed)
    halves = halves_of(dataset, cfg.plan, models=wanted.targets, seed=coins)
    asked, radius = learned_from(dataset, cfg.plan), radius_of(dataset, wanted)
    claims = [claim_of(epsilon, scored, delta, how) for epsilon in wanted.epsilons]
    kinds = [
        Training(kind, trained_privately(architecture, "frontier"), claims, how)
        for kind, architecture in kinds_of(dataset, cfg).items()
    ]
    jobs: list[tuple[Any, ...]] = []
    for training in kinds:
        jobs.append((audited_claims, training, dataset, cfg))
        jobs.append((answers, training, dataset, scored, cfg))
        jobs.append((membership_scores, training, dataset, halves, asked))
    results = share_out(operator.call, jobs)
    audited, answered, scores = (results[part::3] for part in range(3))
    margin, below, breaks = (
        torch.from_numpy(np.stack(values)) for values in zip(*answered, strict=True)
    )
    return Frontier(
        models=tuple(training.kind for training in kinds),
        epsilons=tuple(wanted.epsilons),
        claims=audited,
        threat=cfg.audit.headline,
        radius=radius,
        y=dataset.y[scored.held_out.any(0)],
        margin=margin,
        proved=below > radius + SAME_RADIUS,
        broken=breaks <= radius + SAME_RADIUS,
        scores=torch.from_numpy(np.stack(scores)),
        member=halves.train[:, asked],
    )


def kinds_of(dataset: Dataset, cfg: Config) -> dict[str, AnyArchitecture]:
    """The network of each kind of model; of images that of the configured model alone."""
    schema = dataset.schema
    if schema.image:
        return {cfg.model.name: architecture_for(dataset, cfg)}
    wanted = cfg.section(FrontierSettings).models
    classes = len(schema.classes)
    return {kind: MODELS[kind](schema.inputs, classes, hidden) for kind, hidden in wanted.items()}


def radius_of(dataset: Dataset, wanted: FrontierSettings) -> float:
    """Up to which right answers are to be proved; of images 0: nothing is."""
    return 0.0 if dataset.schema.image else wanted.radius


def training_numbers(cfg: Config) -> tuple[float, NoisySteps]:
    """Delta, and how `dp_train` trains, without its noise.

    Its engine does not count: here the whole population is always trained at once.

    Raises:
        BadInput: `dp_train` is not configured.
    """
    if RECIPE not in cfg.defenses:
        raise BadInput(
            f"params.yaml: {RECIPE}: missing; the frontier trains with its numbers, so add {RECIPE}"
            " to the defenses"
        )
    options = check_options(dp_train, cfg.defenses[RECIPE], RECIPE, given=SET_BY_PROGRAM)
    delta = options.pop("delta")
    for name in ("epsilon", "engine", "cut"):
        del options[name]
    return delta, NoisySteps(noise=0.0, **options)


def claim_of(epsilon: float | None, plan: Plan, delta: float, how: NoisySteps) -> Claim:
    """What is claimed at one epsilon, recomputed by a second accountant, and its noise.

    Raises:
        BadInput, FailedCheck: as `guarantee_for` and `recomputed_claim`.
    """
    if epsilon is None:
        return {"epsilon": None, "delta": delta, "accounts": None, "noise_multiplier": 0.0}
    budget = PrivacyBudget(epsilon, delta, how.sample_rate, how.steps)
    guarantee = guarantee_for(plan, budget, RECIPE)
    return {
        **recomputed_claim(RECIPE, guarantee),
        "noise_multiplier": guarantee["noise_multiplier"],
    }


def at_each_noise(training: Training, dataset: Dataset, plan: Plan, purpose: str) -> list[Trained]:
    """The models of `plan` (P) at each claim's noise (E), trained as one population of E x P.

    Returns:
        one population for each claim; `purpose` is shown beside the progress bar.
    """
    size, claims = plan.size, training.claims
    noise = torch.tensor([claim["noise_multiplier"] for claim in claims], dtype=torch.float64)
    everywhere = plan.select(torch.arange(size).repeat(len(claims)))
    how = replace(training.how, noise=noise.repeat_interleave(size))
    name = f"{training.kind}, {purpose}"
    population = fit_private(dataset, everywhere, training.architecture, how, name=name)
    return [population.select(members) for members in torch.arange(everywhere.size).split(size)]


def audited_claims(training: Training, dataset: Dataset, cfg: Config) -> list[Claim]:
    """Each claim with the audit of its mechanism; without noise, of what the audit can show.

    Raises:
        FailedCheck: an audit proves more than is claimed.
    """
    wanted = cfg.section(FrontierSettings)
    size = AuditSize(wanted.canaries, wanted.audited_weights)
    audited = []
    for claim in training.claims:
        audit = white_box_audit(
            dataset.schema,
            training.architecture,
            replace(training.how, noise=claim["noise_multiplier"]),
            size,
            seed=cfg.seed,
            delta=claim["delta"],
            confidence=cfg.audit.confidence,
        )
        if claim["epsilon"] is not None:
            refute(f"frontier, {training.kind}", claim["epsilon"], audit)
        audited.append({**claim, "audit": audit})
    return audited


def answers(training: Training, dataset: Dataset, plan: Plan, cfg: Config) -> Answers:
    """What models that did not train on a patient answer at every epsilon, and what is proved."""
    cut = cfg.defenses[RECIPE]["cut"]
    deciding = [
        under_guarantee(one, dataset, plan, cfg.decision, otherwise=cut)
        for one in at_each_noise(training, dataset, plan, "answers")
    ]
    if dataset.schema.image:
        return unproved([margins_out_of_fold(one, dataset, plan)[0] for one in deciding])
    return proofs(deciding, dataset, plan, cfg)


def unproved(margins: Sequence[Tensor]) -> Answers:
    """Answers of whom nothing is proved but what they are at radius 0; each margin (1, S, N)."""
    margin = torch.cat(list(margins)).numpy()
    never = np.where(margin > 0, np.inf, 0.0)
    return Answers(margin, never, never)


def proofs(populations: Sequence[Trained], dataset: Dataset, plan: Plan, cfg: Config) -> Answers:
    """The answers of each population, proved up to the radius of the section."""
    threat = Threat.of(dataset.schema, cfg.threat[cfg.audit.headline])
    wanted = cfg.section(FrontierSettings)
    search = ProofSearch(
        threat, [wanted.radius], exact_to=None, budget=wanted.boxes, alone=None, pruned=False
    )
    with workers() as pool:
        waiting = [proofs_out_of_fold(pool, one, dataset, plan, search) for one in populations]
        found = [wait() for wait in waiting]
    return Answers(
        *(np.stack([getattr(one, name).numpy() for one in found]) for name in Answers._fields)
    )


def membership_scores(training: Training, dataset: Dataset, plan: Plan, asked: Tensor) -> Array:
    """(E, T, n) float32: `ATTACK` on each target about the `asked` (N,), all others its shadows."""
    populations = at_each_noise(training, dataset, plan, "membership")
    people, member = only(dataset, asked), plan.train[:, asked]
    return np.stack([scores_of(population, people, member).numpy() for population in populations])


def scores_of(population: Trained, dataset: Dataset, member: Tensor) -> Tensor:
    """(T, N) float32: `ATTACK` on each target of one population, by who trained it (T, N)."""
    unused = torch.Generator()  # without copies nothing is drawn
    seen = signals(population, dataset, copies=0, spread=1.0, generator=unused)
    return MEMBERSHIP[ATTACK](seen, member).float()
