"""A server that clips and adds noise: what is claimed of hospitals is what is done."""

import math

import pytest
import torch

import tiny
from pipeline.defenses.federated import server
from pipeline.defenses.federated.aggregate import Exchange
from pipeline.defenses.federated.server import (
    ServerNoise,
    noisy_server,
    server_guarantee,
    train_under_noise,
)
from pipeline.defenses.federated.sites import hospitals_of
from pipeline.files import BadInput, FailedCheck
from pipeline.statistics.accounting import gaussian_epsilon

pytestmark = pytest.mark.slow

OPTIONS = {
    "sites": 3,
    "by": "age",
    "rounds": 4,
    "local_epochs": 1,
    "epsilon": 8.0,
    "delta": 1e-4,
    "clip": 0.5,
    "cut": 0.0,
}


def trained(dataset, cfg, **changes):
    return train_under_noise(dataset, tiny.plan(dataset), cfg, **{**OPTIONS, **changes})


def exchange(hospitals, size=3.0, weights=4000):
    drawn = torch.Generator().manual_seed(0)
    before = torch.randn(2, weights, generator=drawn)
    change = torch.randn(hospitals, 2, weights, generator=drawn)
    change = size * change / change.norm(dim=-1, keepdim=True)
    return Exchange(0, before, before + change, torch.ones(hospitals, 2))


def test_a_server_without_noise_adds_up_clipped_changes():
    given = exchange(4)
    moved = noisy_server(ServerNoise(0.0, 1.5, 4), torch.arange(2))(given) - given.parameters
    expected = ((given.updates - given.parameters) / 2).mean(0)  # from 3 to 1.5
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    free = noisy_server(ServerNoise(0.0, 99.0, 4), torch.arange(2))(given)
    torch.testing.assert_close(free, given.updates.mean(0), rtol=1e-4, atol=1e-5)


def test_one_hospital_more_moves_the_sum_by_the_bound_at_most():
    with_it = exchange(5, size=50.0)
    without = with_it._replace(updates=with_it.updates[:4], records=with_it.records[:4])
    server = noisy_server(ServerNoise(0.0, 1.5, 5), torch.arange(2))
    apart = (server(with_it) - server(without)).norm(dim=-1) * 5
    assert (apart <= 1.5 * 1.001).all()
    assert (apart > 1.4).all()


def test_the_noise_of_a_server_has_the_stated_size_and_is_new_each_time():
    given = exchange(4)
    server = noisy_server(ServerNoise(2.0, 1.5, 4), torch.arange(2))
    clean = noisy_server(ServerNoise(0.0, 1.5, 4), torch.arange(2))(given)
    noise = torch.stack([server(given) - clean for _ in range(10)])
    assert noise.std() == pytest.approx(2.0 * 1.5 / 4, rel=0.02)
    flat = noise.flatten(0, 1)
    likeness = torch.corrcoef(flat).fill_diagonal_(0).abs()
    assert likeness.max() < 6 / noise.shape[-1] ** 0.5


def test_the_claim_of_a_server_is_of_hospitals_and_exact():
    claim = server_guarantee(8.0, 1e-4, 20, 1.0)
    mu = math.sqrt(20) / claim["noise_multiplier"]
    assert gaussian_epsilon(mu, 1e-4) == pytest.approx(claim["epsilon"])
    assert claim["neighbouring"] == "add or remove one hospital"
    # four hospitals: the noise in one weight beside what all of them may change in all weights
    assert claim["noise_multiplier"] / 4 > 0.5


def test_the_claim_is_of_all_rounds_and_the_training_measures_its_noise(dataset, cfg):
    facts = trained(dataset, cfg).facts
    claim = facts["guarantee"]
    mu = math.sqrt(OPTIONS["rounds"]) / claim["noise_multiplier"]
    assert gaussian_epsilon(mu, 1e-4) == pytest.approx(claim["epsilon"])
    assert claim["epsilon"] <= 8.0 == pytest.approx(claim["epsilon"], rel=1e-6)
    together = claim["composition"]
    assert together["models"] == together["models_of_a_patient"]  # of a hospital: all of them
    (checks,) = facts["measured"]["checks"]
    for name in ("noise", "sum over rounds", "sum over models"):
        assert checks[name]["measured"] == pytest.approx(1.0, abs=0.1), name
    assert facts["decision"]["chosen_on"] == "public"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda how, seeds, secret: ServerNoise(how.noise_multiplier / 2, how.clip, 3), "noise"),
        (lambda how, seeds, secret: ServerNoise(how.noise_multiplier, 9.0, 3), "noise"),
        (lambda how, seeds, secret: ServerNoise(how.noise_multiplier, how.clip, 4), "noise"),
    ],
    ids=["half the noise", "another bound", "a private denominator"],
)
def test_a_server_that_does_otherwise_is_refused(dataset, cfg, monkeypatch, fault, said):
    honest = server.noisy_server
    monkeypatch.setattr(server, "noisy_server", lambda *given: honest(fault(*given), *given[1:]))
    with pytest.raises(FailedCheck, match=f"federated_noisy_server: the mechanism.*{said}"):
        trained(dataset, cfg)


def test_noise_that_comes_again_in_each_round_is_found(dataset, cfg, monkeypatch):
    """The right size, and the mean over rounds takes none of it away."""
    honest = server.noisy_server

    def repeating(how, seeds, secret):
        return lambda exchange: honest(how, seeds, secret)(exchange)

    monkeypatch.setattr(server, "noisy_server", repeating)
    with pytest.raises(FailedCheck, match="sum over rounds"):
        trained(dataset, cfg)


def test_without_noise_worth_naming_it_is_clipped_federated_training(dataset, cfg):
    """With a bound beyond every change, and next to no noise, hospitals of one vote each."""
    quiet = trained(dataset, cfg, epsilon=1e9, clip=20.0)
    silent = trained(dataset, cfg, epsilon=1e11, clip=20.0)
    apart = max(
        float((quiet.parameters[name] - silent.parameters[name]).abs().max())
        for name in quiet.parameters
    )
    assert 0 < apart < 0.05


def test_the_hospitals_that_a_cohort_names_train_as_made_up_ones_do(dataset, cfg):
    cut = hospitals_of(dataset, 3, "age")
    found = trained(tiny.at_sites(dataset, cut.of, cut.names), cfg, sites=None)
    expected = trained(dataset, cfg)
    assert found.facts["federated"]["parted_by"] == "sites of the data set"
    assert found.facts["guarantee"] == expected.facts["guarantee"]
    assert all(
        tiny.same_bits(found.parameters[name], expected.parameters[name])
        for name in expected.parameters
    )
    with pytest.raises(BadInput, match=r"federated_noisy_server\.sites: null .* it names none"):
        trained(dataset, cfg, sites=None)


def test_a_delta_that_allows_a_leak_is_refused(dataset, cfg):
    with pytest.raises(BadInput, match=r"federated_noisy_server\.delta"):
        trained(dataset, cfg, delta=0.1)


def test_secret_noise_is_drawn_from_elsewhere(dataset, cfg):
    plan = tiny.plan(dataset, seeds=1)
    runs = [train_under_noise(dataset, plan, cfg, **OPTIONS, secret=True) for _ in range(2)]
    assert not torch.equal(*(run.parameters["weight0"] for run in runs))
    assert runs[0].facts["noise"].startswith("from the operating system")
