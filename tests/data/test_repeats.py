"""Records that may be of one person, against a comparison of every two."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from pipeline.data.plan import Plan
from pipeline.data.repeats import Repeats
from pipeline.data.schema import Dataset
from pipeline.defenses.trained import train
from pipeline.models.answers import disease_score
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.statistics import intervals, rates
from pipeline.statistics.trainings import estimate_auroc


def brute(x, y, patient):
    """Near-equal and contradictory records, by looking at all pairs."""
    near, contradictory = set(), set()
    for i in range(len(x)):
        for j in range(len(x)):
            if patient[i] == patient[j]:
                continue
            same = (x[i] == x[j]) | (np.isnan(x[i]) & np.isnan(x[j]))
            if (~same).sum() == 1:
                near.add(i)
            if same.all() and y[i] != y[j]:
                contradictory.add(i)
    return len(near), len(contradictory)


@pytest.mark.parametrize("values", [2, 3, 6])
@pytest.mark.parametrize("patients", [None, 25])
def test_they_are_those_that_all_pairs_show(values, patients):
    rng = np.random.default_rng(values)
    x = rng.integers(0, values, size=(80, 5)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = rng.integers(0, 2, size=80)
    patient = np.arange(80) if patients is None else rng.integers(0, patients, size=80)
    data = Dataset(
        torch.from_numpy(x), torch.from_numpy(y), tiny.SCHEMA, patient=torch.from_numpy(patient)
    )
    found = Repeats.of(data)
    assert (found.near_equal, found.contradictory) == brute(x, y, patient)


def test_an_ordinary_cohort_gives_no_cause():
    assert Repeats.of(tiny.records(240, seed=6)).remarks == []


def test_visits_are_named_until_somebody_says_whose_they_are():
    data = tiny.records(50, seed=3, missing=0.0)
    rows = torch.arange(50).repeat_interleave(4)
    x = data.x[rows].clone()
    x[:, 1] += torch.arange(4).repeat(50) * 0.1
    found = Repeats.of(Dataset(x, data.y[rows], data.schema))
    assert found == Repeats(near_equal=200, contradictory=0)
    assert found.remarks[0].startswith(
        "200 records differ from another one in one value only; if they are of one patient, name "
        "the column of patients as data.group"
    )
    assert Repeats.of(Dataset(x, data.y[rows], data.schema, patient=rows)).remarks == []


def test_equal_measurements_of_both_classes_are_named():
    data = tiny.records(50, seed=3)
    twice = Dataset(data.x.repeat(2, 1), torch.cat([data.y, 1 - data.y]), data.schema)
    (said,) = Repeats.of(twice).remarks
    assert said.startswith("100 records equal another one in every value, but not in the diagnosis")


# ---- a planted truth: labels without any signal, AUROC .5 ----

PATIENTS, VISITS = 150, 4


def cohort(seed, *, grouped):
    """One value differs by 0.1 from visit to visit; the diagnosis of a patient is a coin."""
    once = tiny.records(PATIENTS, seed=seed, missing=0.0)
    whose = torch.arange(PATIENTS).repeat_interleave(VISITS)
    x = once.x[whose].clone()
    x[:, 1] += 0.1 * torch.arange(VISITS).repeat(PATIENTS)
    coins = torch.rand(PATIENTS, generator=torch.Generator().manual_seed(seed)) < 0.4
    data = Dataset(x, coins[whose].long(), once.schema)
    return replace(data, patient=whose, together=whose) if grouped else data


def judged(data, cfg, halves=16):
    """AUROC out of fold: its bootstrap's interval, and that of the recipe on a new cohort."""
    plan = Plan.cross_validation(
        data.y, folds=5, seeds=2, seed=0, release=False, together=data.together
    )
    half = Plan.random_halves(len(data.y), models=halves, seed=1, together=data.together)
    half = half.with_second_seeds(halves // 2)
    y, whose = data.y.numpy(), data.patient.numpy()
    margins = margins_out_of_fold(train("baseline", data, plan, cfg), data, plan)[0][0].numpy()
    score = disease_score(margins, y)
    answers = train("baseline", data, half, cfg)(data.x.expand(half.size, -1, -1))
    of_halves = (answers[..., 1] - answers[..., 0]).detach().numpy()
    sampling = tiny.sampling(cfg.audit, patient=whose)
    value = rates.auroc(score, y)
    drawn = intervals.bootstrap_auroc(score, y, sampling.weights(len(y)))
    found = estimate_auroc(
        score, of_halves, half.train.numpy(), y, models=plan.size, whose=sampling.whose(len(y))
    )
    return value, intervals.interval(value, drawn), found.interval()


@pytest.mark.heavy
def test_without_signal_auroc_is_a_coin_within_its_interval_where_visits_are_grouped(cfg):
    for seed in range(2):
        value, of_models, of_recipe = judged(cohort(seed, grouped=True), cfg)
        assert of_recipe[0] <= 0.5 <= of_recipe[1], value
        assert of_models[0] < value < of_models[1]


@pytest.mark.heavy
def test_where_nobody_says_whose_visits_they_are_it_is_not_and_they_are_named(cfg):
    data = cohort(0, grouped=False)
    value, of_models, _ = judged(data, cfg)
    assert value > 0.55
    assert of_models[0] > 0.5
    assert Repeats.of(data).near_equal == PATIENTS * VISITS
    (said,) = Repeats.of(data).remarks
    assert "600 records differ from another one in one value only" in said
