"""Private hospitals: the noise of the claim, and none from whoever is malicious."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.defenses.federated.private import noisy_local
from pipeline.defenses.federated.sites import hospitals_of, sites_of
from pipeline.files import BadInput
from pipeline.models.mlp import Architecture, initialise
from pipeline.risks.federation.measure.private import (
    private_local,
    settings_of,
    steps_of,
    strength_of,
)
from pipeline.statistics.accounting import gaussian_epsilon
from risks.federation.made_up import settings

LINEAR = Architecture("linear", len(tiny.FEATURES), 2, ())


def test_the_noise_is_that_of_all_rounds_and_the_strength_that_of_the_claim(cfg):
    private = settings_of(cfg)
    how = steps_of(private)
    mu = (private.rounds * how.steps) ** 0.5 / how.noise
    assert gaussian_epsilon(mu, private.delta) == pytest.approx(private.epsilon, rel=1e-6)
    assert strength_of(private) == pytest.approx(mu, rel=1e-6)
    assert strength_of(private.model_copy(update={"sample_rate": 0.5})) is None


def test_what_is_not_configured_is_one_line(cfg):
    with pytest.raises(BadInput, match=r"federation\.dp_sgd: null"):
        settings_of(settings(cfg, dp_sgd=None))


def test_a_malicious_hospital_adds_no_noise_and_an_honest_one_all_of_it(dataset, cfg):
    plan, how = tiny.plan(dataset), replace(steps_of(settings_of(cfg)), steps=2)
    sites = sites_of(dataset, plan, hospitals_of(dataset, 2, "age"))
    start = initialise(LINEAR, plan.seeds)
    bad = torch.zeros(2, plan.size, dtype=torch.bool)
    bad[1, ::2] = True
    local = private_local(LINEAR, how, lambda number: bad[number])

    def with_noise(noise, site):
        own = replace(how, noise=noise)
        return noisy_local(LINEAR, own, lambda _: lambda *_: None)(start, site, 3).update

    for site, quiet in zip(sites, bad, strict=True):
        sent = local(start, site, 3).update
        assert torch.equal(sent[~quiet], with_noise(how.noise, site)[~quiet])
        assert torch.equal(sent[quiet], with_noise(0.0, site)[quiet])
