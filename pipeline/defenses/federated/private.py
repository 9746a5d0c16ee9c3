"""Federated training under differential privacy of records, in each hospital (local privacy).

Each hospital trains by DP-SGD, so what it sends, and all that follows, tells little of any one
record, to the server and to other hospitals too. A record is of one hospital, and each noisy step
of that hospital looks at it once: one accountant counts the hospital's steps of all rounds. What
other hospitals send says nothing of it that the hospital had not sent before. Privacy of hospitals
is `pipeline.defenses.federated.server`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from pipeline.config import Config, Count, Positive
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.budget import PrivacyBudget, composed, guarantee_for
from pipeline.defenses.decision import under_guarantee
from pipeline.defenses.federated.aggregate import aggregated
from pipeline.defenses.federated.flare.engine import federate_through
from pipeline.defenses.federated.loop import Local, Sent, federate, packed, unpacked
from pipeline.defenses.federated.recipe import Engine, Rule, Tolerated, federation_of, said_of
from pipeline.defenses.federated.sites import Site
from pipeline.defenses.noise import SECRET, SEEDED
from pipeline.defenses.privacy import NoisySteps, Rate, SampleRate, noisy_fit
from pipeline.defenses.self_measurement import (
    FALSE_ALARM,
    Check,
    Mechanism,
    SelfMeasurement,
    held_against_claim,
    worst_of,
)
from pipeline.models.designs import AnyArchitecture, Trained, initialised
from pipeline.models.mlp import Parameters
from pipeline.models.training import Watch

NAME = "federated_private"


def noisy_local(
    architecture: AnyArchitecture, how: NoisySteps, watch_of: Callable[[Site], Watch]
) -> Local:
    """DP-SGD in each hospital, `how.steps` of it in each round, from the global weights.

    Args:
        architecture: of every member.
        how: noise, draw, clipping, and the steps of one round; its expected batch is one constant
            for all hospitals, because their sizes would tell of single records.
        watch_of: who sees each step of a hospital.

    Returns:
        what sends one vote for each hospital, whatever it holds.
    """

    def local(parameters: Parameters, site: Site, number: int) -> Sent:
        plan = site.plan(number, torch.arange(len(site.train)))
        start, watch = unpacked(packed(parameters), parameters), watch_of(site)
        trained = noisy_fit(
            site.dataset, plan, architecture, how, watch=watch, start=start, name=site.name
        )
        return Sent(packed(trained.parameters), torch.ones(plan.size))

    return local


def measured_local(
    architecture: AnyArchitecture, how: NoisySteps, sites: Sequence[Site]
) -> tuple[Local, list[SelfMeasurement]]:
    """`noisy_local` that measures its mechanism: of each of the hospitals, in their order."""
    own = {
        site.number: SelfMeasurement(
            site.plan(0, torch.arange(len(site.train))), how.noise, how.claimed, architecture
        )
        for site in sites
    }
    local = noisy_local(architecture, how, lambda site: own[site.number].see)
    return local, list(own.values())


def train_privately(
    dataset: Dataset,
    plan: Plan,
    cfg: Config,
    *,
    sites: Count | None,
    by: str | None,
    rounds: Count,
    aggregate: Rule,
    tolerated: Tolerated,
    epsilon: Positive,
    delta: Rate,
    sample_rate: SampleRate,
    expected_batch: Positive,
    max_grad_norm: Positive,
    local_steps: Count,
    learning_rate: Positive,
    cut: float,
    engine: Engine,
    secret: bool = False,
) -> Trained:
    """Federated training whose records are protected from everybody outside their hospital.

    DP-SGD (`dp_train`) in each hospital, its steps counted over all rounds. The claim covers all
    that a hospital ever sends, and what is made of it, under adding or removing one record there.
    Every hospital has one vote. Which hospital a record belongs to is taken as given.

    Args:
        dataset: the records.
        plan: who trains.
        cfg: the model.
        sites: how many hospitals the cohort is cut into; None = those that the data set names.
        by: the feature that tells made-up hospitals apart.
        rounds: of local training and aggregation.
        aggregate: a key of `AGGREGATES`.
        tolerated: how many hospitals may be malicious.
        epsilon: target, of all rounds, met from below.
        delta: must be below 1 / records.
        sample_rate: of the Poisson draw in a hospital.
        expected_batch: the public denominator, one for all hospitals.
        max_grad_norm: clipping bound, L2, over all weights of a model.
        local_steps: noisy steps of a hospital in each round.
        learning_rate: of Adam, which begins anew in each round.
        cut: log-odds from which on a patient is called ill; as in `dp_train`.
        engine: as of `federated`; all give the same bytes, unless noise is secret.
        secret: noise and draw come from the operating system; no option of a configuration.

    Returns:
        the population; its facts as those of `dp_train` and of `federated`.

    Raises:
        BadInput: as `federated` and `dp_train`.
        FailedCheck: the training measured that its mechanism is not what is claimed, or NVFlare
            failed.
    """
    budget = PrivacyBudget(epsilon, delta, sample_rate, rounds * local_steps)
    guarantee = guarantee_for(plan, budget, NAME)
    guarantee |= {
        "max_grad_norm": max_grad_norm,
        "denominator": expected_batch,
        "engine": "population",
        "composition": composed(plan, guarantee, dataset.patient),
        "rounds": rounds,
        "against": "the server, other hospitals, and whoever gets the model",
        "taken_as_given": "which hospital a record belongs to",
    }
    federation = federation_of(
        dataset,
        plan,
        cfg,
        sites=sites,
        by=by,
        rounds=rounds,
        local_epochs=1,
        aggregate=aggregate,
        tolerated=tolerated,
        section=NAME,
    )
    architecture, noise = federation.training.architecture, guarantee["noise_multiplier"]
    how = NoisySteps(
        noise, sample_rate, local_steps, expected_batch, max_grad_norm, learning_rate, secret
    )
    parties = federation.sites, federation.start
    if engine == "loop":
        local, own = measured_local(architecture, how, federation.sites)
        parameters = federate(*parties, rounds, local, federation.aggregate)
        checks = tuple(witness.checks() for one in own for witness in one.witnesses)
    else:
        parameters, checks = federate_through(
            engine,
            *parties,
            cfg,
            rounds=rounds,
            local_epochs=1,
            aggregate=aggregate,
            tolerated=tolerated,
            noisy=how,
        )
    population = federation.population(parameters, dataset, plan)
    population.facts["federated"] = said_of(federation, aggregate, tolerated) | {
        "local_steps": local_steps,
        "engine": engine,
        "server_sees": "each hospital's noisy weights in each round",
        "not_promised": "privacy within a hospital, or of which hospital takes part",
    }
    population.facts["guarantee"] = guarantee
    population.facts["measured"] = _measured(how.claimed(noise), checks)
    population.facts["noise"] = SECRET if secret else SEEDED
    return under_guarantee(population, dataset, plan, cfg.decision, otherwise=cut)


def _measured(claim: Mechanism, checks: Sequence[dict[str, Check]]) -> dict[str, Any]:
    """The checks of all hospitals together, of each the one that is furthest from the claim."""
    found = [(claim, worst_of(checks))] if checks else []
    return held_against_claim(NAME, found, FALSE_ALARM)


def noisy_rounds(rounds: int) -> Callable[..., None]:
    """DP-SGD of one hospital as a federation runs it, for whoever audits it.

    Returns:
        what is called as `privacy.noisy_fit`: its `how.steps` are those of all rounds.
    """

    def run(
        dataset: Dataset,
        plan: Plan,
        architecture: AnyArchitecture,
        how: NoisySteps,
        *,
        watch: Watch,
        name: str,
    ) -> None:
        site = Site(0, name, dataset, plan.train, plan.seeds)
        local = noisy_local(architecture, replace(how, steps=how.steps // rounds), lambda _: watch)
        start = initialised(architecture, plan.seeds)
        federate([site], start, rounds, local, aggregated("mean", 0), name=name)

    return run
