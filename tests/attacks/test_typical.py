"""A typical record of a class holds levels, which have no order and no distance."""

import torch

import mixed
from pipeline.attacks.typical import compare_with_people, typical_record
from pipeline.models.answers import log_odds


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
