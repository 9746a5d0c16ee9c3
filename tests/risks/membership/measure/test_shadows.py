"""Who is attacked by whom, and what stands beside it."""

from dataclasses import replace

import pytest
import torch

import kinds
import tiny
from benchmarks.faults import FAULTS, planted
from pipeline import params
from pipeline.attacks.membership import MEMBERSHIP, blind, recorded_log_odds
from pipeline.config import ModelConfig
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset
from pipeline.files import BadInput, FailedCheck
from pipeline.risks.membership.measure.shadows import (
    BLIND,
    Membership,
    infer_members,
    seen_without_a_model,
    train_halves,
)
from pipeline.statistics.separation import auroc

pytestmark = pytest.mark.heavy


def leaked(name, dataset, cfg) -> Membership:
    return infer_members(name, train_halves(name, dataset, cfg), dataset, cfg)


def test_every_attack_scores_every_record_for_every_target(dataset, cfg):
    every = cfg.model_copy(
        update={"membership": cfg.membership.model_copy(update={"attacks": list(MEMBERSHIP)})}
    )
    leak = leaked("baseline", dataset, every)
    assert list(leak.scores) == [*MEMBERSHIP, BLIND]
    assert all(
        scores.shape == (cfg.membership.targets, 120) and scores.isfinite().all()
        for scores in leak.scores.values()
    )
    assert leak.claim == {}


def test_each_target_is_trained_on_a_half_of_its_own(dataset, cfg):
    member = leaked("baseline", dataset, cfg).member
    assert 0.35 < member.float().mean() < 0.65
    assert not torch.equal(member[0], member[1])


def test_no_shadow_was_trained_on_the_half_of_a_target(dataset, cfg):
    """Second seeds on a target's own half are for intervals; membership and inversion see none."""
    halves, targets = train_halves("baseline", dataset, cfg), cfg.membership.targets
    again = cfg.membership.second_seeds
    assert halves.targets.plan.size == halves.targets.population.size == targets
    assert len(halves.targets.plan.train.unique(dim=0)) == targets
    assert halves.every.plan.size == halves.every.population.size == targets + again
    assert torch.equal(halves.every.plan.train[targets:], halves.targets.plan.train[:again])
    leak = infer_members("baseline", halves, dataset, cfg)
    assert torch.equal(leak.member, halves.targets.plan.train)
    said = recorded_log_odds(halves.every.population, dataset.x, dataset.y)
    assert torch.equal(leak.log_odds, said[:targets].float())
    assert (said[targets:] != said[:again]).any(1).all()


def test_there_are_no_more_second_seeds_than_halves(values):
    values["membership"]["second_seeds"] = values["membership"]["targets"] + 1
    with pytest.raises(BadInput, match="second_seeds 9 must not be above targets 8"):
        params.parse(values, "conf")


@pytest.fixture
def on_pima(values):
    """The AUROC of each attack on ordinary training with other numbers, in the real cohort."""
    if not (tiny.ROOT / "data" / "pima.csv").exists():
        pytest.skip("`dvc pull data.dvc` fetches it")

    def found(hidden, **train):
        values["model"] = {"name": "mlp" if hidden else "linear", "hidden": hidden}
        values["train"] |= train
        values["membership"] |= {
            "attacks": ["loss", "lira", "lira_fixed"],
            "targets": 32,
            "copies": 0,
        }
        cfg = params.parse(values, "conf")
        leak = leaked("baseline", read_raw(cfg.data, tiny.ROOT)[0], cfg)
        member = leak.member.numpy()
        return {
            attack: auroc(scores.numpy()[member], scores.numpy()[~member])
            for attack, scores in leak.scores.items()
        }

    return found


@pytest.mark.slow
def test_an_over_trained_network_gives_its_patients_away_to_who_has_shadow_models(on_pima):
    found = on_pima([64, 64], epochs=100, learning_rate=3e-3, weight_decay=0.0)
    assert found["lira"] >= 0.70
    assert found["lira"] >= found["loss"] + 0.08
    assert found[BLIND] == pytest.approx(0.5, abs=0.02)


def test_a_linear_model_gives_little_away(on_pima):
    found = on_pima([], epochs=20, learning_rate=1e-2)
    assert 0.51 <= found["lira"] <= 0.55
    assert 0.49 <= found["loss"] <= 0.53


def test_it_survives_the_disk(dataset, cfg, tmp_path):
    leak = leaked("baseline", dataset, cfg)
    leak.save(tmp_path / "leakage")
    again = Membership.load(tmp_path / "leakage")
    assert list(again.scores) == list(leak.scores)
    assert all(torch.equal(again.scores[name], scores) for name, scores in leak.scores.items())
    assert torch.equal(again.member, leak.member)
    assert torch.equal(again.log_odds, leak.log_odds)


def test_the_same_seed_gives_the_same_scores(dataset, cfg):
    first, second = leaked("baseline", dataset, cfg), leaked("baseline", dataset, cfg)
    assert torch.equal(first.scores["lira_fixed"], second.scores["lira_fixed"])


def test_a_claim_comes_with_its_accounts_its_audit_and_what_was_measured(dataset, cfg):
    claim = leaked("dp_train", dataset, cfg).claim
    assert claim["audit"]["epsilon_lower_bound"] <= claim["audit"]["ceiling"]
    assert claim["measured"]["checks"][0]["noise"]["measured"] == pytest.approx(1.0, abs=0.02)
    assert claim["noise"] == "seeded: not for release"


def test_a_fault_of_the_mechanism_stops_it(dataset, cfg):
    with planted(FAULTS["half the noise"]), pytest.raises(FailedCheck, match=r"noise 0\.(49|5)"):
        leaked("dp_train", dataset, cfg)


# ---- images, and an official split ----


@pytest.fixture
def on_images(cfg):
    """A small cnn on an official split: 40 images to learn from, 20 to choose on, 60 shifted."""
    model = ModelConfig(name="cnn", hidden=[5], channels=[4])
    recipe = {**cfg.defenses["dp_train"], "expected_batch": 20, "steps": 5, "epsilon": 60.0}
    plan = cfg.plan.model_copy(update={"kind": "official"})
    changes = {"model": model, "dp_train": recipe, "plan": plan}
    dataset = kinds.scans(120, seed=0)
    split = torch.tensor([0] * 40 + [1] * 20 + [2] * 60)
    x = dataset.x.clone()
    x[split == 2] = kinds.LEVELS - x[split == 2]
    return replace(dataset, x=x, split=split), cfg.model_copy(update=changes)


def test_of_an_official_split_only_training_images_are_learned_from_and_asked_about(on_images):
    dataset, cfg = on_images
    halves = train_halves("baseline", dataset, cfg)
    plan = halves.every.plan
    assert not plan.train[:, 40:].any()
    assert torch.equal(plan.tune[0].nonzero()[:, 0], torch.arange(40, 60))
    leak = infer_members("baseline", halves, dataset, cfg)
    assert torch.equal(leak.member, halves.targets.plan.train[:, :40])
    assert {one.shape for one in leak.scores.values()} == {(cfg.membership.targets, 40)}
    said = recorded_log_odds(halves.targets.population, dataset.x[:40], dataset.y[:40])
    assert torch.equal(leak.log_odds, said.float())


def test_a_shift_of_the_test_images_would_be_taken_for_a_leak():
    """Why: the control tells shifted images from the others without a model."""
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    scans = kinds.scans(600, seed=0)
    dataset = replace(scans, x=scans.x[order], y=scans.y[order])
    official = torch.arange(600) < 400
    x = torch.where(official[:, None, None, None], dataset.x, kinds.LEVELS - dataset.x)
    coarse = seen_without_a_model(replace(dataset, x=x))
    member = Plan.random_halves(600, models=20, seed=1).train & official
    areas = []
    for asked in (torch.ones(600, dtype=torch.bool), official):
        scores = blind(coarse[asked], dataset.y[asked], member[:, asked])
        inside = member[:, asked]
        areas.append(auroc(scores[inside].numpy(), scores[~inside].numpy()))
    assert areas[0] > 0.7
    assert areas[1] == pytest.approx(0.5, abs=0.03)


def test_a_private_cnn_is_audited_by_canaries_of_its_own(on_images):
    dataset, cfg = on_images
    claim = leaked("dp_train", dataset, cfg).claim
    assert 0 <= claim["audit"]["epsilon_lower_bound"] <= claim["audit"]["ceiling"]
    assert claim["audit"]["runs"] >= 2
    # two models of the official split, each of which learns from everybody whom it trains on
    assert claim["composition"]["models"] == claim["composition"]["models_of_a_patient"] == 2


def test_the_control_sees_a_coarse_picture_of_a_large_image():
    large = replace(kinds.SCANS, image=(1, 28, 28))
    images = Dataset(torch.arange(2 * 784.0).view(2, 1, 28, 28), torch.tensor([0, 1]), large)
    seen = seen_without_a_model(images)
    assert seen.shape == (2, 16)
    assert float(seen[0, 0]) == pytest.approx(float(images.x[0, 0, :7, :7].mean()))
    records = tiny.records(5, seed=0)
    assert seen_without_a_model(records) is records.x
