"""What is taken home: a referral tells one half, and shadows of the same folds tell nothing."""

import torch

import tiny
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.guard.measure.taken import ALONE, SHADOWS, Taken, copied, recognised, told, ways
from risks.guard import made_up


def wanted(cfg, **changes):
    small = {"repetitions": 1, "budgets": [10, 30], "copy_steps": 5, "hidden": [4]}
    return cfg.section(GuardSettings).model_copy(update=small | changes)


def test_a_referral_is_understood_as_one_half():
    guard = made_up.guard(tiny.population(1))
    lead, radius = torch.tensor([-3.0, 0.2, 3.0]), torch.tensor([1.0, 0.05, 0.5])
    assert told(lead, radius, "labels", guard, 0.1).tolist() == [0.0, 0.5, 1.0]
    assert told(lead, radius, "labels", guard, 0.0).tolist() == [0.0, 1.0, 1.0]
    assert told(lead, radius, "one_digit", guard, 0.6).tolist() == [0.0, 0.5, 0.5]


def test_thief_and_judges_are_different_patients_whom_the_model_holds_out(cfg, dataset):
    plan = tiny.plan(dataset, seeds=1)
    guard = made_up.guard(tiny.untrained(plan, dataset))
    tests, agrees, referred = copied(guard, dataset, plan, wanted(cfg), 0)
    assert 30 < len(tests) < 90
    names = [f"{access}/{r:g}" for access, r in ways(wanted(cfg))]
    assert list(agrees) == list(referred) == names
    assert all(one.shape == (2, len(tests)) for one in agrees.values())
    assert (referred["labels/0"] == 0).all()
    assert (referred["labels/0.3"] > referred["labels/0.1"]).all()


def test_a_model_that_all_copies_are_compared_with_agrees_with_itself(cfg, dataset, monkeypatch):
    """The judge, held against copies that are the models themselves."""
    from pipeline.risks.guard.measure import taken

    plan = tiny.plan(dataset, seeds=1)
    models = tiny.untrained(plan, dataset)
    again = torch.arange(plan.size).repeat_interleave(2).repeat(len(ways(wanted(cfg))))
    monkeypatch.setattr(taken, "train_copies", lambda *_: models.select(again))
    _, agrees, _ = copied(made_up.guard(models), dataset, plan, wanted(cfg), 0)
    assert all(one.all() for one in agrees.values())


def test_scores_of_a_target_do_not_hang_on_who_its_own_repetition_holds_out(cfg, dataset):
    plan = tiny.plan(dataset, seeds=3)
    guard = made_up.guard(tiny.untrained(plan, dataset))
    patients, member, scores = recognised(guard, dataset, plan, wanted(cfg))
    assert torch.equal(member, plan.train[:3])
    assert len(patients) == 120
    other = plan.train.clone()
    other[:3] = other[[1, 2, 0]]  # the same folds, of other models
    changed = plan.__class__(other, plan.held_out, plan.repetition, plan.seeds, plan.labels)
    again = recognised(guard, dataset, changed, wanted(cfg))[2]
    assert all(torch.equal(again[name], one) for name, one in scores.items())
    assert {name.split("/")[0] for name in scores} == {ALONE, SHADOWS}


def test_of_one_repetition_there_are_no_shadows(cfg, dataset):
    plan = tiny.plan(dataset, seeds=1)
    guard = made_up.guard(tiny.untrained(plan, dataset))
    assert recognised(guard, dataset, plan, wanted(cfg))[2] == {}


def test_it_is_kept(tmp_path):
    made = made_up.taken()
    made.save(tmp_path / "a.safetensors")
    assert list(Taken.load(tmp_path / "a.safetensors").scores) == list(made.scores)
