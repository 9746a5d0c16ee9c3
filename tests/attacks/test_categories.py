"""Categories under the attacks on privacy and property: levels have no order and no distance."""

import pytest
import torch

import mixed
from pipeline.attacks.inversion import attribute_inference, compare_with_people, typical_record
from pipeline.attacks.oracle import Oracle, plain
from pipeline.attacks.poisoning.trigger import make_trigger
from pipeline.attacks.theft import STRATEGIES, answers_needed, steal_linear
from pipeline.data.plan import Plan
from pipeline.models.answers import log_odds

pytestmark = pytest.mark.heavy


def test_a_linear_victim_with_categories_is_solved():
    victims = mixed.models(3, hidden=()).double()
    assert answers_needed(mixed.SCHEMA) == 1 + 4 + 2 + 4 + 6
    oracle = Oracle(plain(victims), "probabilities", answers_needed(mixed.SCHEMA))
    stolen = steal_linear(oracle, mixed.SCHEMA, 3)
    assert oracle.asked == answers_needed(mixed.SCHEMA)
    x = mixed.records(300, seed=9, missing=0.2).x.double().expand(3, -1, -1)
    torch.testing.assert_close(plain(stolen)(x), plain(victims)(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_records_that_a_thief_proposes_could_be_a_clinics(strategy):
    own = mixed.records(40, seed=1).x
    made = STRATEGIES[strategy](mixed.SCHEMA, own, 400, torch.Generator().manual_seed(0))
    for column, feature in zip(made.T, mixed.SCHEMA.features, strict=True):
        known = column[~column.isnan()]
        if feature.levels:
            assert set(known.tolist()) <= set(map(float, range(len(feature.levels))))
            assert len(known.unique()) == len(feature.levels)


def knowing(leak):
    """Victims that know one category by heart, or that know nothing of it; and what was guessed."""
    data = mixed.records(400, seed=2, missing=0.05)
    victims = mixed.models(4, hidden=()).double()
    weight = torch.zeros_like(victims.parameters["weight0"])
    weight[:, 6:9, 1] = leak * torch.tensor([0.0, 3.0, 6.0])  # the levels of thal
    victims.parameters["weight0"] = weight
    member = Plan.random_halves(400, models=4, seed=1).train
    found = attribute_inference(
        victims, data, member, ["thal"], candidates=50, generator=torch.Generator().manual_seed(0)
    )
    return {(one.access, one.attacker, one.diagnosis): one for one in found}


def test_a_category_is_guessed_from_a_model_that_knows_it():
    key = ("scores", "posterior", True)
    told, silent = knowing(1.0)[key], knowing(0.0)[key]
    assert float(told.model.nanmean()) < 0.05 < 0.4 < float(told.imputation.nanmean())
    torch.testing.assert_close(silent.model, silent.imputation, equal_nan=True)
    assert float(told.imputation.nan_to_num().max()) <= 1
    missing = mixed.records(400, seed=2, missing=0.05).x[:, 2].isnan()
    assert torch.equal(told.model.isnan().any(0), missing)


def test_the_typical_record_holds_the_levels_that_the_model_finds_most_typical():
    victims = mixed.models(3, hidden=())
    record = typical_record(victims, mixed.SCHEMA, 1, steps=50, learning_rate=0.1)
    own = log_odds(victims.double(), record[:, None])
    for place, feature in enumerate(mixed.SCHEMA.features):
        if feature.kind == "categorical":
            for level in range(feature.columns):
                other = record.clone()
                other[:, place] = level
                assert (log_odds(victims.double(), other[:, None]) <= own + 1e-4).all()


def test_two_levels_are_as_far_apart_as_any_two():
    data = mixed.records(50, seed=3, missing=0.0)
    one = data.x[:1].clone()
    far = []
    for level in range(5):
        data.x[:] = one
        data.x[:, 4] = level
        found = compare_with_people(one, data, torch.ones(1, 50, dtype=torch.bool))
        far.append(float(found["to_nearest_member"][0]))
    own = int(one[0, 4])
    assert far[own] == 0
    assert len({round(value, 9) for place, value in enumerate(far) if place != own}) == 1


def test_a_trigger_is_made_of_what_has_an_order():
    trigger = make_trigger(mixed.SCHEMA, torch.full((6,), 99), features=6, size=2.0)
    assert trigger.isnan().tolist() == [False, False, True, False, True, True]
