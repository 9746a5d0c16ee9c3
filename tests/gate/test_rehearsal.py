"""Honest rates are those of the guard's own answers, by models that never saw the patient."""

import numpy as np
import pytest
import torch

import tiny
from pipeline.gate.rehearsal import rehearsed, rehearsed_in
from pipeline.serving.model import Asked
from serving.made_up import policy

pytestmark = pytest.mark.heavy


@pytest.fixture
def cohort():
    dataset = tiny.records(60, seed=3, missing=0.0)
    plan = tiny.plan(dataset, folds=3, seeds=2, release=True)
    return dataset, plan, tiny.untrained(plan, dataset, hidden=())


def test_every_patient_counts_once_a_repetition_by_a_model_that_never_saw_him(cohort):
    dataset, plan, population = cohort
    rules = policy(r=0.3, alarm_r=0.1)
    found = rehearsed(population, dataset, plan, tiny.CLINICAL, rules)
    referred, alarmed, wrong = (np.zeros((2, 60)) for _ in range(3))
    for member in range(population.size - 1):
        one = population.select(torch.tensor([member]))
        asked = Asked.of(one, dataset.schema, tiny.CLINICAL, rules)
        for place in plan.held_out[member].nonzero()[:, 0].tolist():
            (said,) = asked.said(dataset.x[place : place + 1].double().numpy())
            row = int(plan.repetition[member])
            referred[row, place] = bool(said.reason)
            alarmed[row, place] = said.alarming
            wrong[row, place] = said.ill != bool(dataset.y[place]) and not said.reason
    assert found.patients == 60
    assert found.referred.count == pytest.approx(max(alarmed.mean() * 60, 9))
    assert 0 < alarmed.mean() < referred.mean()
    answered = (1 - referred).mean() * 60
    assert found.wrong.of == pytest.approx(answered, abs=1e-3)
    assert found.wrong.count == pytest.approx(wrong.mean() * 60, abs=1e-3)


def test_other_models_than_the_audited_ones_have_no_honest_rates(cohort, tmp_path):
    from pipeline.data.schema import save_dataset
    from pipeline.gate.rehearsal import PLAN

    dataset, plan, population = cohort
    prepared, models = tmp_path / "prepare", tmp_path / "train_baseline"
    prepared.mkdir()
    models.mkdir()
    save_dataset(dataset, prepared)
    plan.save(prepared / PLAN)
    population.save(models)
    asked = (tmp_path, models, population.digest, tiny.CLINICAL, policy())
    assert rehearsed_in(*asked) == rehearsed(population, dataset, plan, tiny.CLINICAL, policy())
    assert rehearsed_in(*(*asked[:2], "0" * 64, *asked[3:])) is None
    assert rehearsed_in(tmp_path / "nowhere", *asked[1:]) is None
