"""Where models draw the line: on training records alone, and never behind a guarantee's back."""

import pytest
import torch

import tiny
from pipeline.config import DecisionConfig
from pipeline.data.plan import Plan
from pipeline.data.schema import Dataset
from pipeline.defenses.decision import (
    DECISION,
    INNER,
    OWN,
    PUBLIC,
    at_public_cut,
    check_decision,
    decided,
    out_of_sample,
)
from pipeline.defenses.trained import train, train_reported
from pipeline.files import FailedCheck
from pipeline.models.answers import log_odds, margin
from pipeline.params import parse
from pipeline.statistics.operating_point import cut_by

AT = DecisionConfig(rule="specificity", value=0.85)
HALF = DecisionConfig(rule="threshold", value=0.5)


@pytest.fixture(scope="module")
def dataset():
    return tiny.records(240, seed=3, missing=0.05)


@pytest.fixture(scope="module")
def plan(dataset):
    return tiny.plan(dataset, folds=3, seeds=2, release=True)


@pytest.fixture
def cfg(values):
    small = {
        "model": {"name": "mlp", "hidden": [8]},
        "train": {**values["train"], "epochs": 5},
        "threads": 1,
    }
    return parse(values | small, "made up")


def scores(population, dataset):
    return log_odds(population, dataset.x.expand(population.size, -1, -1))


def test_each_model_stands_where_the_rule_says_on_its_own_training_rows(dataset, plan):
    models = decided(tiny.untrained(plan, dataset), dataset, plan, AT)
    found = scores(models, dataset)
    for member in range(plan.size):
        rows = plan.train[member]
        y, score = dataset.y[rows].numpy(), found[member, rows].numpy()
        assert float(models.cut[member]) == pytest.approx(
            cut_by("specificity", score, y, 0.85), abs=1e-5
        )
        specificity = (score[y == 0] <= float(models.cut[member])).mean()
        assert 0.85 <= specificity <= 0.85 + 2 / (y == 0).sum()
    assert models.facts[DECISION] == {**AT.model_dump(), "chosen_on": OWN}


def test_what_a_model_is_not_trained_on_does_not_move_its_cut(dataset, plan):
    fold = int(plan.scored().nonzero()[0])
    others = dataset.y.clone()
    others[plan.held_out[fold]] = 1 - others[plan.held_out[fold]]
    x = dataset.x.clone()
    x[plan.held_out[fold]] += 50
    changed = Dataset(x, others, dataset.schema)
    models = tiny.untrained(plan, dataset)
    before, after = (decided(models, data, plan, AT).cut for data in (dataset, changed))
    assert before[fold] == after[fold]
    assert (before != after).any()


def test_inner_scores_are_those_of_a_model_that_did_not_train_on_the_patient(dataset, plan):
    folds, pairs = plan.inner()
    models, inner = tiny.untrained(plan, dataset), tiny.untrained(folds, dataset)
    found = out_of_sample(models, inner, pairs, dataset, plan)
    of_models, of_inner = scores(models, dataset), scores(inner, dataset)
    for member in plan.scored().nonzero()[:, 0].tolist():
        for patient in plan.train[member].nonzero()[:, 0].tolist()[::17]:
            (row,) = (
                row
                for row, pair in enumerate(pairs.tolist())
                if member in pair and plan.held_out[sum(pair) - member, patient]
            )
            assert not folds.train[row, patient]
            torch.testing.assert_close(found[member, patient], of_inner[row, patient])
        assert found[member, ~plan.train[member]].isnan().all()
    release = plan.labels.index("release")
    mean = torch.where(plan.held_out, of_models, 0).sum(0) / plan.held_out.sum(0)
    torch.testing.assert_close(found[release], mean)


def test_reported_models_are_cut_by_others_and_the_rest_by_themselves(dataset, plan, cfg):
    own, reported = (one("baseline", dataset, plan, cfg) for one in (train, train_reported))
    assert own.facts[DECISION]["chosen_on"] == OWN
    assert reported.facts[DECISION]["chosen_on"] == INNER
    torch.testing.assert_close(scores(own, dataset), scores(reported, dataset))
    assert not torch.equal(own.cut, reported.cut)


def test_who_is_scored_by_others_does_not_stand_where_memory_would_put_him(dataset, plan):
    """Scores of others put every cut where others say, whatever the models know by heart."""
    models = tiny.untrained(plan, dataset)
    unseen = torch.where(plan.train, scores(models, dataset) + 100, torch.nan)
    own, others = (decided(models, dataset, plan, AT, of).cut for of in (None, unseen))
    torch.testing.assert_close(others, own + 100, rtol=0, atol=1e-4)


def test_without_inner_models_an_official_split_uses_its_own_scores(dataset):
    test = torch.arange(len(dataset.y)) >= 160
    split = Plan(~test[None], test[None], torch.zeros(1).long(), torch.ones(1).long(), ("only",))
    models = tiny.untrained(split, dataset)
    _, pairs = split.inner()
    unseen = out_of_sample(models, models.select(pairs[:, 0]), pairs, dataset, split)
    assert unseen.isnan().all()
    assert decided(models, dataset, split, AT, unseen).facts[DECISION]["chosen_on"] == OWN


def test_a_threshold_is_a_constant_whatever_the_records(dataset, plan, cfg):
    at = cfg.model_copy(update={"decision": DecisionConfig(rule="threshold", value=0.2)})
    for one in (train, train_reported):
        models = one("baseline", dataset, plan, at)
        torch.testing.assert_close(
            models.cut, torch.full_like(models.cut, 0.25).log(), rtol=0, atol=1e-6
        )
        assert models.facts[DECISION]["chosen_on"] == PUBLIC
    half = at_public_cut(models, HALF, otherwise=3.0)
    torch.testing.assert_close(half.cut, torch.zeros_like(half.cut), rtol=0, atol=1e-6)


def test_the_line_is_where_answers_turn(dataset, plan):
    models = decided(tiny.untrained(plan, dataset), dataset, plan, AT)
    everybody = dataset.x.double().expand(plan.size, -1, -1)
    right = margin(models.double()(everybody), dataset.y) > 0
    called = scores(models, dataset) > models.cut[:, None]
    assert torch.equal(right, called == (dataset.y == 1))


@pytest.mark.parametrize("name", ["dp_train", "partition"])
def test_a_guarantee_covers_the_line(name, dataset, plan, cfg):
    models = train(name, dataset, plan, cfg)
    check_decision(models.facts, name)
    free = decided(models, dataset, plan, AT)
    with pytest.raises(FailedCheck, match=f"^{name}: its guarantee does not cover the decision"):
        check_decision(free.facts, name)
    check_decision({DECISION: free.facts[DECISION]}, name)  # nothing is claimed
