"""Scores of patients are those of models that did not learn from them."""

from dataclasses import replace

import torch

import tiny
from pipeline.data.nested import Nested
from pipeline.defenses.unseen import out_of_sample, scored_within


def test_inner_scores_are_those_of_a_model_that_did_not_train_on_the_patient(folded):
    dataset, plan = folded
    folds, pairs = plan.inner()
    models, inner = tiny.untrained(plan, dataset), tiny.untrained(folds, dataset)
    found = out_of_sample(models, inner, pairs, dataset, plan)
    of_models, of_inner = tiny.scores(models, dataset), tiny.scores(inner, dataset)
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


def test_models_within_score_as_pairs_do_whoever_names_them():
    """The inner folds of a cross-validation, named one by one, are its pairs."""
    dataset = tiny.records(90, seed=4)
    plan = tiny.plan(dataset, folds=3, seeds=2)
    inner, pairs = plan.inner()
    models = tiny.untrained(inner, dataset)
    population = tiny.untrained(plan, dataset)
    both = torch.cat([pairs, pairs.flip(1)])
    rows = torch.arange(len(pairs)).repeat(2)
    named = inner.select(rows)
    nested = Nested(replace(named, held_out=plan.held_out[both[:, 1]]), both[:, 0])
    found = scored_within(models.select(rows), nested, dataset, plan.size)
    wanted = out_of_sample(population, models, pairs, dataset, plan)
    assert torch.equal(found.isnan(), wanted.isnan())
    assert torch.equal(found.isnan(), plan.held_out)
    assert torch.equal(found.nan_to_num(9), wanted.nan_to_num(9))
