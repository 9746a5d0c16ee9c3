"""The accountant counts every step of every round, and what is claimed is what is done."""

import math
from dataclasses import replace

import pytest
import torch

import tiny
from benchmarks.faults import FAULTS, planted
from pipeline.defenses.federated import private
from pipeline.defenses.federated.aggregate import aggregated
from pipeline.defenses.federated.flare.engine import Ended
from pipeline.defenses.federated.loop import federate, packed
from pipeline.defenses.federated.private import (
    measured_local,
    noisy_local,
    noisy_rounds,
    train_privately,
)
from pipeline.defenses.federated.sites import Site, hospitals_of, sites_of
from pipeline.defenses.privacy import NoisySteps, noisy_fit
from pipeline.defenses.undefended import architecture_for
from pipeline.files import BadInput, FailedCheck
from pipeline.models.mlp import Architecture, initialise
from pipeline.risks.membership.measure.white_box import AuditSize, white_box_audit
from pipeline.statistics.accounting import gaussian_epsilon, recompute

pytestmark = pytest.mark.slow

LINEAR = Architecture("linear", len(tiny.FEATURES), 2, ())
HOW = NoisySteps(3.0, 1.0, 4, 40.0, 0.5, 0.02)  # of one round
ROUNDS = 4
CLAIM = gaussian_epsilon(4 / 3, 1e-4)  # of all rounds
OPTIONS = {
    "sites": 3,
    "by": "age",
    "rounds": ROUNDS,
    "aggregate": "mean",
    "tolerated": 0,
    "epsilon": 3.0,
    "delta": 1e-4,
    "sample_rate": 1.0,
    "expected_batch": 30.0,
    "max_grad_norm": 1.0,
    "local_steps": 3,
    "learning_rate": 0.02,
    "cut": 0.0,
    "engine": "loop",
}


def unseen(*_):
    pass


def audit(how=HOW, rounds=ROUNDS, train=None):
    return white_box_audit(
        tiny.SCHEMA,
        LINEAR,
        replace(how, steps=ROUNDS * how.steps),
        AuditSize(2000, 100_000),
        seed=0,
        delta=1e-4,
        confidence=0.95,
        train=train or noisy_rounds(rounds),
    )


def test_the_claim_counts_the_steps_of_all_rounds_once(dataset, cfg):
    facts = train_privately(dataset, tiny.plan(dataset), cfg, **OPTIONS).facts
    claim = facts["guarantee"]
    assert claim["steps"] == ROUNDS * 3
    assert claim["epsilon"] <= 3.0 == pytest.approx(claim["epsilon"], rel=1e-6)
    mu = math.sqrt(claim["steps"]) / claim["noise_multiplier"]
    assert gaussian_epsilon(mu, 1e-4) == pytest.approx(claim["epsilon"])
    numbers = (claim[key] for key in ("sample_rate", "noise_multiplier", "steps", "delta"))
    assert recompute(*numbers)["pld"] <= claim["epsilon"] * 1.02
    checks = facts["measured"]["checks"][0]
    assert checks["noise"]["measured"] == pytest.approx(1.0, abs=0.05)
    assert facts["decision"]["chosen_on"] == "public"


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_a_hospital_takes_the_noisy_steps_of_central_training_on_its_seeds(dataset, rate):
    plan, how = tiny.plan(dataset), replace(HOW, sample_rate=rate)
    (site,) = sites_of(dataset, plan, hospitals_of(dataset, 1, "age"))
    start = initialise(LINEAR, plan.seeds)
    ours = noisy_local(LINEAR, how, lambda _: unseen)(start, site, 2)
    own = replace(plan, seeds=site.plan(2, torch.arange(plan.size)).seeds)
    central = noisy_fit(dataset, own, LINEAR, how, watch=unseen, start=start)
    assert tiny.same_bits(ours.update, packed(central.parameters))


def test_every_hospital_has_one_vote_and_noise_of_its_own(dataset):
    """How many records a hospital holds would tell of one of them."""
    plan = tiny.plan(dataset)
    start, local = initialise(LINEAR, plan.seeds), noisy_local(LINEAR, HOW, lambda _: unseen)
    nobody = torch.zeros_like(plan.train)
    empty = [Site(number, "", dataset, nobody, plan.seeds) for number in (0, 1)]
    sent = [local(start, site, number) for site in empty for number in (0, 1)]
    assert all((one.records == 1).all() for one in sent)
    assert not any(torch.equal(a.update, b.update) for a in sent for b in sent if a is not b)
    assert not torch.equal(sent[0].update, packed(start))  # noise is sent where nothing is learned


def test_an_honest_federation_is_seen_almost_whole():
    shown = audit()
    assert 0.85 * CLAIM < shown["epsilon_lower_bound"] <= CLAIM * 1.05
    assert shown["surely"] < CLAIM


@pytest.mark.parametrize("fault", ["no noise", "half the noise"])
def test_a_planted_fault_exceeds_the_claim(fault):
    with planted(FAULTS[fault]):
        assert audit()["surely"] > CLAIM * 1.02


def test_rounds_that_the_accountant_does_not_count_exceed_the_claim():
    """A claim of one round's steps, while each of four takes as many."""
    once = gaussian_epsilon(math.sqrt(HOW.steps) / HOW.noise, 1e-4)
    assert audit()["surely"] > once * 1.02


def test_noise_that_comes_again_in_each_round_is_found(dataset, cfg, monkeypatch):
    real = Site.plan
    monkeypatch.setattr(Site, "plan", lambda site, _, members: real(site, 0, members))
    with pytest.raises(FailedCheck, match="federated_private: the mechanism is not what is"):
        train_privately(dataset, tiny.plan(dataset), cfg, **OPTIONS)


def test_through_another_engine_the_recipe_says_and_gives_the_same(dataset, cfg, monkeypatch):
    """An engine is handed the noise of the claim, and what its hospitals measured is judged."""
    handed = []

    def engine(name, sites, start, cfg, *, rounds, aggregate, tolerated, noisy, **_):
        handed.append((name, noisy))
        local, own = measured_local(architecture_for(dataset, cfg), noisy, sites)
        end = federate(sites, start, rounds, local, aggregated(aggregate, tolerated))
        return Ended(end, tuple(one.checks() for each in own for one in each.witnesses))

    monkeypatch.setattr(private, "federate_through", engine)
    plan = tiny.plan(dataset)
    ours = train_privately(dataset, plan, cfg, **OPTIONS)
    theirs = train_privately(dataset, plan, cfg, **{**OPTIONS, "engine": "nvflare"})
    ((name, noisy),) = handed
    assert (name, noisy.steps, noisy.noise) == (
        "nvflare",
        OPTIONS["local_steps"],
        ours.facts["guarantee"]["noise_multiplier"],
    )
    assert torch.equal(packed(theirs.parameters), packed(ours.parameters))
    told = theirs.facts["federated"].pop("engine"), ours.facts["federated"].pop("engine")
    assert told == ("nvflare", "loop")
    assert theirs.facts == ours.facts


def test_a_delta_that_allows_a_leak_is_refused(dataset, cfg):
    with pytest.raises(BadInput, match=r"federated_private\.delta"):
        train_privately(dataset, tiny.plan(dataset), cfg, **{**OPTIONS, "delta": 0.1})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"aggregate": "krum", "tolerated": 1}, r"federated_private\.aggregate: krum takes 5"),
        ({"by": "weight"}, r"federated_private\.by: 'weight' is no feature"),
        ({"sites": None}, r"federated_private\.sites: null .* it names none"),
    ],
)
def test_a_mistake_is_told_of_its_own_section(dataset, cfg, wrong, said):
    with pytest.raises(BadInput, match=said):
        train_privately(dataset, tiny.plan(dataset), cfg, **{**OPTIONS, **wrong})


def test_the_hospitals_that_a_cohort_names_train_as_made_up_ones_do(dataset, cfg):
    plan, cut = tiny.plan(dataset), hospitals_of(dataset, 3, "age")
    named = tiny.at_sites(dataset, cut.of, cut.names)
    found, expected = (
        train_privately(one, plan, cfg, **{**OPTIONS, "sites": sites})
        for one, sites in ((named, None), (dataset, 3))
    )
    assert found.facts["federated"]["parted_by"] == "sites of the data set"
    assert found.facts["guarantee"] == expected.facts["guarantee"]
    assert all(
        tiny.same_bits(found.parameters[name], expected.parameters[name])
        for name in expected.parameters
    )


def test_secret_noise_is_drawn_from_elsewhere(dataset, cfg):
    plan = tiny.plan(dataset, seeds=1)
    runs = [train_privately(dataset, plan, cfg, **OPTIONS, secret=True) for _ in range(2)]
    assert not torch.equal(*(run.parameters["weight0"] for run in runs))
    assert runs[0].facts["noise"].startswith("from the operating system")
