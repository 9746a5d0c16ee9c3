"""A student learns what the vote of a self-ensemble says, and nothing else."""

from dataclasses import replace

import pytest
import torch

import tiny
from defenses.transformers import configured, setting
from kinds import official_split
from models.ensembles import untrained
from pipeline.defenses import DEFENSES, STUDENTS
from pipeline.defenses import student as recipe
from pipeline.defenses.self_ensembling import on_frozen
from pipeline.defenses.student import hardened, softened, to_match, to_repeat
from pipeline.defenses.trained import train
from pipeline.models.answers import margin
from pipeline.models.ensemble import voters
from pipeline.models.training import Batch

pytestmark = pytest.mark.heavy
OPTIONS = {"read": 2, "channels": [8], "hidden": [6], "epochs": 10}
OWN = {"student_channels": [8], "student_hidden": [8], "student_epochs": 20}


@pytest.fixture
def cfg(values):
    return configured(values)


def trained(cfg, dataset, plan, labels, temperature=20.0):
    options = {**OPTIONS, **OWN, "labels": labels, "temperature": temperature}
    name = "seda_student"
    return train(name, dataset, plan, cfg.model_copy(update={name: options}))


def test_soft_labels_are_the_tempered_mean_of_every_voter():
    teacher, (dataset, _) = untrained(2), setting()
    soft = softened(teacher, dataset.x, 20.0)
    by_hand = torch.zeros(2, len(dataset.x), 2)
    for member in range(2):
        one = teacher.select(torch.tensor([member]))
        for row, image in enumerate(dataset.x):
            said = voters(one, image[None, None])[:, 0, 0]  # voter x class
            for voter in said:
                raised = voter.exp() ** (1 / 20.0)
                by_hand[member, row] += raised / raised.sum() / len(said)
    torch.testing.assert_close(soft, by_hand)
    assert not torch.allclose(soft, softened(teacher, dataset.x, 1.0), atol=0.01)
    torch.testing.assert_close(
        softened(teacher, dataset.x, 1.0),
        voters(teacher, dataset.x.expand(2, -1, -1, -1, -1)).exp().mean(0),
    )


def test_hard_labels_are_what_the_mean_of_all_outputs_ranks_first():
    teacher, (dataset, _) = untrained(2), setting()
    said = voters(teacher, dataset.x.expand(2, -1, -1, -1, -1))
    ahead = sum(one[..., 1] - one[..., 0] for one in said)
    assert torch.equal(hardened(teacher, dataset.x), (ahead > 0).long())
    first = said[0].argmax(-1)
    assert (hardened(teacher, dataset.x) != first).any()  # or one voter would do


def test_the_losses_are_those_of_the_rows_in_the_batch_whatever_was_diagnosed():
    drawn = torch.Generator().manual_seed(0)
    soft = torch.rand(2, 50, 2, generator=drawn).softmax(-1)
    out = torch.randn(2, 7, 2, generator=drawn)
    index = torch.randint(50, (2, 7), generator=drawn)
    batch = Batch(torch.zeros(2, 7, 1, 8, 8), torch.zeros(2, 7).long(), index, torch.ones(2, 7))
    other = replace(batch, y=1 - batch.y)
    matched, repeated = to_match(soft, 20.0), to_repeat(soft.argmax(-1))
    for loss in (matched, repeated):
        assert torch.equal(loss(out, batch), loss(out, other))
    for member in range(2):
        for place in range(7):
            row, logits = int(index[member, place]), out[member, place].double()
            target, tempered = soft[member, row].double(), torch.log_softmax(logits / 20, -1)
            expected = -20 * float((target * tempered).sum())
            assert float(matched(out, batch)[member, place]) == pytest.approx(expected, rel=1e-5)
            plain = -float(torch.log_softmax(logits, -1)[int(target.argmax())])
            assert float(repeated(out, batch)[member, place]) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("labels", ["soft", "hard"])
@pytest.mark.slow
def test_a_student_answers_as_its_teacher_votes(cfg, labels):
    dataset, plan = setting()
    student = trained(cfg, dataset, plan, labels)
    held = dataset.x[plan.held_out[0]]
    teacher = on_frozen(dataset, plan, cfg, *OPTIONS.values())
    same = student(held[None])[0].argmax(-1) == hardened(teacher, held)[0]
    assert same.float().mean() > 0.85
    assert student.architecture.name == "cnn"
    assert student.facts["student"]["labels"] == labels


def test_it_learns_the_answers_and_not_the_diagnoses(cfg, monkeypatch):
    dataset, plan = setting()
    turned = 1 - dataset.y
    monkeypatch.setattr(recipe, "hardened", lambda teacher, x: turned[None])
    taught = trained(cfg, dataset, plan, "hard").decide_at(torch.zeros(1))
    wrong = (margin(taught(dataset.x[None]), dataset.y) < 0)[plan.train]
    assert wrong.float().mean() > 0.9


@pytest.mark.parametrize("labels", ["soft", "hard"])
@pytest.mark.slow
def test_what_it_is_tested_on_changes_nothing(cfg, labels):
    dataset, plan = setting()
    held = plan.held_out[0]
    x = torch.where(held[:, None, None, None], 16 - dataset.x, dataset.x)
    other = replace(dataset, x=x, y=torch.where(held, 1 - dataset.y, dataset.y))
    first, second = (trained(cfg, one, plan, labels) for one in (dataset, other))
    assert first.digest == second.digest


@pytest.mark.slow
def test_the_temperature_matters_to_soft_labels_alone(cfg):
    dataset, plan = setting()
    for labels, same in (("soft", False), ("hard", True)):
        models = [trained(cfg, dataset, plan, labels, each) for each in (1.0, 20.0)]
        assert (models[0].digest == models[1].digest) == same, labels


def test_the_students_of_the_registry_are_those_of_this_recipe():
    assert {name for name, one in DEFENSES.items() if one is recipe.seda_student} == STUDENTS


@pytest.mark.slow
def test_a_plan_of_several_models_trains_each_as_if_alone(cfg):
    dataset, _ = setting()
    plan = official_split(dataset, train=80, seeds=2).select(torch.arange(2))
    both = trained(cfg, dataset, plan, "soft")
    second = trained(cfg, dataset, plan.select(torch.tensor([1])), "soft")
    x = dataset.x.expand(2, -1, -1, -1, -1)
    assert tiny.same_bits(both(x)[1], second(x[:1])[0])
