"""Three trainings that differ by what they share alone, and each hospital asked about everybody."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.defenses.federated.server import train_under_noise
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.risks.federation.measure.hospitals import Trained, three_ways
from pipeline.risks.federation.measure.settings import FederationSettings

pytestmark = pytest.mark.slow

AMONG = {"sites": 3, "by": "age"}


@pytest.fixture
def few(cfg):
    """A federation of seconds."""
    section = cfg.section(FederationSettings)
    small = section.model_copy(update={"rounds": 2, "aggregate": "mean", "repetitions": 2})
    return cfg.model_copy(update={"federation": small})


@pytest.fixture
def trained(dataset, few):
    return three_ways(dataset, tiny.plan(dataset, release=True), few, 3)


def test_everybody_is_asked_by_every_training_out_of_fold(dataset, trained):
    people = len(dataset.y)
    assert trained.margin.shape == trained.cut.shape == (2 + 3, 2, people)
    assert trained.margin.isfinite().all()
    assert torch.equal(trained.patients, torch.arange(people))
    assert trained.learned.sum(0).tolist() == [pytest.approx(people * 2 / 3, abs=0.5)] * 2
    assert torch.bincount(trained.place).tolist() == [
        int((trained.place == number).sum()) for number in range(3)
    ]


def test_one_hospital_in_one_round_is_central_and_alone_at_once(dataset, few):
    once = few.section(FederationSettings).model_copy(update={"rounds": 1})
    one = three_ways(
        dataset, tiny.plan(dataset), few.model_copy(update={"federation": once}), 1
    ).margin
    assert tiny.same_bits(one[0], one[1])
    assert tiny.same_bits(one[0], one[2])


def test_what_a_hospital_does_not_hold_does_not_move_its_own_model(dataset, few):
    plan = tiny.plan(dataset)
    before = three_ways(dataset, plan, few, 3)
    moved = torch.where(before.place == 1, 1 - dataset.y, dataset.y)
    after = three_ways(replace(dataset, y=moved), plan, few, 3)
    same = dataset.y == moved  # margins are of the true class
    for training, stays in enumerate((False, False, True, False, True)):
        now, then = after.margin[training][:, same], before.margin[training][:, same]
        assert torch.equal(now, then) == stays, training


def test_a_hospital_of_one_class_has_no_model_of_its_own(dataset, few):
    site = ((dataset.y == 1) & (torch.arange(len(dataset.y)) % 2 == 0)).long()
    named = replace(dataset, site=site, schema=replace(dataset.schema, sites=("a", "b")))
    found = three_ways(named, tiny.plan(dataset), few, None)
    assert found.hospitals == ("a", "b")
    assert found.margin[:3].isfinite().all()
    assert found.margin[3].isnan().all()


def test_private_recipes_train_among_the_same_hospitals_and_are_audited(dataset, few):
    own = few.section(FederationSettings)
    options = {
        **{"sites": 2, "by": "bmi", "rounds": 2, "local_epochs": 1, "epsilon": 8.0},
        **{"delta": 1e-4, "clip": 1.0, "cut": 0.0},
    }
    private = {"federated_noisy_server": options, "federated_private": None}
    asked = few.model_copy(
        update={"federation": own.model_copy(update={"private_recipes": private, "sites": 3})}
    )
    plan = tiny.plan(dataset)
    found, before = (three_ways(dataset, plan, one, 3) for one in (asked, few))
    assert tiny.same_bits(found.margin[:5], before.margin)
    assert len(found.margin) == 6
    assert found.private == ("federated_noisy_server",)
    claim = found.claims["federated_noisy_server"]
    assert claim["audit"]["epsilon_lower_bound"] <= 8.4
    alone = train_under_noise(dataset, plan.without_tune(), asked, **{**options, **AMONG})
    held_out, _ = margins_out_of_fold(alone, dataset, plan)
    assert tiny.same_bits(found.margin[5], held_out[0].float())
    others = three_ways(dataset, plan, asked, 2)  # another number: trained, and not audited again
    assert others.claims == {}
    assert len(others.margin) == 5


def test_answers_are_kept_bit_for_bit(trained, tmp_path):
    trained.save(tmp_path / "x.safetensors")
    again = Trained.load(tmp_path / "x.safetensors")
    assert again.hospitals == trained.hospitals
    assert tiny.same_bits(again.margin, trained.margin)
