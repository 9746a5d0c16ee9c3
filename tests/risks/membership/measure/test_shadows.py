"""Who is attacked by whom; an audit finds a broken mechanism and leaves an honest one alone."""

import pytest
import torch

import tiny
from pipeline import params
from pipeline.attacks.membership import MEMBERSHIP, recorded_log_odds
from pipeline.config import ModelConfig
from pipeline.data.tabular import read_raw
from pipeline.defenses import privacy
from pipeline.files import BadInput, FailedCheck
from pipeline.risks.membership.measure import claims
from pipeline.risks.membership.measure.claims import canary_audit, crafted_canaries
from pipeline.risks.membership.measure.shadows import BLIND, Membership, infer_members, train_halves
from pipeline.statistics.separation import auroc

pytestmark = pytest.mark.heavy


@pytest.fixture
def private(cfg):
    """Returns what changes the recipe: a linear model, few records, enough runs for an audit."""

    def change(runs=128, canaries=1, **options):
        numbers = cfg.membership.model_copy(update={"canaries": canaries, "runs": runs})
        recipe = {**cfg.defenses["dp_train"], "expected_batch": 60, **options}
        return cfg.model_copy(
            update={
                "membership": numbers,
                "dp_train": recipe,
                "model": ModelConfig(name="linear", hidden=[]),
            }
        )

    return change


def leaked(name, dataset, cfg) -> Membership:
    return infer_members(name, train_halves(name, dataset, cfg), dataset, cfg)


@pytest.fixture
def few():
    return tiny.records(60, seed=0)


@pytest.fixture
def no_noise(monkeypatch):
    original = privacy.private_gradient
    monkeypatch.setattr(
        privacy,
        "private_gradient",
        lambda clip, _, denominator, seeds: original(clip, 0.0, denominator, seeds),
    )


@pytest.fixture
def no_clipping(monkeypatch):
    original = privacy.clipped_sum
    monkeypatch.setattr(privacy, "clipped_sum", lambda p, q, batch, _: original(p, q, batch, 1e9))


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


def test_a_claim_comes_with_its_accounts_and_its_audit(few, private):
    claim = leaked("dp_train", few, private(epsilon=1.0)).claim
    assert claim["epsilon"] == pytest.approx(1.0, abs=1e-6)
    assert claim["accounts"]["exact"] == pytest.approx(claim["epsilon"], rel=1e-6)
    assert claim["audit"]["epsilon_lower_bound"] <= claim["epsilon"] < claim["audit"]["ceiling"]


def test_without_noise_the_audit_exceeds_the_claim(few, private, no_noise):
    assert canary_audit("dp_train", few, private(epsilon=1.0), 1e-4)["epsilon_lower_bound"] > 1.0


def test_without_clipping_the_audit_exceeds_the_claim(few, private, no_clipping):
    audit = canary_audit("dp_train", few, private(epsilon=0.5, max_grad_norm=0.05), 1e-4)
    assert audit["epsilon_lower_bound"] > 0.5


def test_a_refuted_claim_is_one_line(few, private, no_noise):
    with pytest.raises(
        FailedCheck,
        match=r"^dp_train: claims epsilon 0\.500, but \d+ of \d+ guesses about canaries are right",
    ):
        leaked("dp_train", few, private(epsilon=0.5))


def test_a_claim_that_its_own_numbers_contradict_is_refused(few, private):
    guarantee = {
        "epsilon": 0.5,
        "delta": 1e-4,
        "sample_rate": 1.0,
        "noise_multiplier": 1.0,
        "steps": 80,
    }
    with pytest.raises(
        FailedCheck,
        match=r"^dp_train: claims epsilon 0\.500, but sample_rate, noise_multiplier and steps sp",
    ):
        claims.audited_claim("dp_train", few, private(), guarantee)


def test_canaries_are_rare_and_possible():
    data = tiny.records(20, seed=1)
    x, y = crafted_canaries(data, 6, seed=0)
    lower, upper, center = map(tiny.SCHEMA.column, ("lower", "upper", "center"))
    assert ((x >= lower) & (x <= upper)).all()
    assert (x != center).all()
    assert y.tolist() == [0, 1, 0, 1, 0, 1]
    assert len(x.unique(dim=0)) > 1
