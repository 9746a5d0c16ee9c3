"""Models beside the undefended ones: on the same records, with other seeds."""

import pytest
import torch

import tiny
from pipeline.config import BASELINE
from pipeline.defenses.trained import train_reported
from pipeline.risks.safeguards.measure.models import companions, with_some_set_aside

pytestmark = pytest.mark.heavy


def test_members_of_an_ensemble_differ_by_their_seeds_alone(cfg, dataset):
    plan = tiny.plan(dataset, seeds=1)
    first = train_reported(BASELINE, dataset, plan, cfg)
    one, other = companions(dataset, plan, cfg, 2)
    again = companions(dataset, plan, cfg, 1)[0]
    assert len({first.digest, one.digest, other.digest}) == 3
    assert again.digest == one.digest
    constants = (models.preprocessing["center"] for models in (first, one, other))
    same = list(constants)
    assert all(torch.equal(same[0], each) for each in same[1:])  # of the same training records


def test_who_sets_patients_aside_already_is_taken_as_he_is(cfg, dataset):
    plan = tiny.plan(dataset, seeds=1)
    population = tiny.untrained(plan, dataset)
    trained, some = with_some_set_aside(population, dataset, plan, cfg, 0.3)
    assert some.tune is not None
    assert trained is not population
    same, own = with_some_set_aside(trained, dataset, some, cfg, 0.3)
    assert same is trained
    assert own is some
