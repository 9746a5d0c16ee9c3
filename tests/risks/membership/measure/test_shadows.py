"""Who is attacked by whom, and what stands beside it."""

import pytest
import torch

import tiny
from benchmarks.faults import FAULTS, planted
from pipeline import params
from pipeline.attacks.membership import MEMBERSHIP, recorded_log_odds
from pipeline.data.raw import read_raw
from pipeline.files import BadInput, FailedCheck
from pipeline.risks.membership.measure.shadows import BLIND, Membership, infer_members, train_halves
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
