"""Hospitals that train under differential privacy, for whoever attacks their federation."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pipeline.config import Config
from pipeline.defenses.budget import PrivacyBudget, calibrate
from pipeline.defenses.federated.loop import Local, Sent
from pipeline.defenses.federated.private import noisy_local
from pipeline.defenses.federated.sites import Site
from pipeline.defenses.privacy import NoisySteps
from pipeline.files import BadInput
from pipeline.models.designs import AnyArchitecture
from pipeline.models.mlp import Parameters
from pipeline.risks.federation.measure.settings import DpSgdSettings, FederationSettings
from pipeline.statistics.accounting import gaussian_mu


def settings_of(cfg: Config) -> DpSgdSettings:
    """How hospitals train privately.

    Raises:
        BadInput: it is not configured.
    """
    private = cfg.section(FederationSettings).dp_sgd
    if private is None:
        raise BadInput("federation.dp_sgd: null, and it is asked for")
    return private


def steps_of(private: DpSgdSettings) -> NoisySteps:
    """The noisy steps of one round, with the noise that all rounds together take."""
    steps = private.rounds * private.local_steps
    budget = PrivacyBudget(private.epsilon, private.delta, private.sample_rate, steps)
    return NoisySteps(
        calibrate(budget, "federation.dp_sgd")["noise_multiplier"],
        private.sample_rate,
        private.local_steps,
        private.expected_batch,
        private.max_grad_norm,
        private.learning_rate,
    )


def strength_of(private: DpSgdSettings) -> float | None:
    """The mu of the claim: what a Gaussian mechanism tells of a record; None: drawn by chance.

    Who is in every step is told apart like two normal distributions that lie mu apart (Dong et al.
    2022, arXiv:1905.02383); epsilon and delta alone would allow more.
    """
    if private.sample_rate < 1:
        return None
    return gaussian_mu(private.epsilon, private.delta)


def private_local(
    architecture: AnyArchitecture, how: NoisySteps, quiet: Callable[[int], Tensor] | None = None
) -> Local:
    """`noisy_local`, in which whoever is malicious adds no noise to what he learns.

    Args:
        architecture: of every member.
        how: of one round.
        quiet: maps the number of a hospital to (M,) bool, the members for which it is malicious;
            None: nobody is.
    """

    def local(parameters: Parameters, site: Site, number: int) -> Sent:
        own = how
        if quiet is not None and quiet(site.number).any():
            noise = torch.where(quiet(site.number), 0.0, float(how.noise)).double()
            own = replace(how, noise=noise)
        return noisy_local(architecture, own, lambda _: _unseen)(parameters, site, number)

    return local


def _unseen(*_: object) -> None:
    """What is measured of a mechanism is measured by the recipe."""
