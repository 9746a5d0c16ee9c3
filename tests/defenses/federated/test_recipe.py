"""The recipe is the loop with its parts, and says what is shared."""

from dataclasses import replace

import pytest
import torch

import tiny
from pipeline.defenses.federated.loop import federate
from pipeline.defenses.federated.recipe import federation_of, train_federated
from pipeline.files import BadInput
from pipeline.models.designs import public_constants

PARTS = {
    "sites": 3,
    "by": "age",
    "rounds": 2,
    "local_epochs": 1,
    "aggregate": "mean",
    "tolerated": 0,
}
OPTIONS = {**PARTS, "engine": "loop"}


def test_the_recipe_is_the_loop_of_its_parts(dataset, cfg):
    plan = tiny.plan(dataset)
    population = train_federated(dataset, plan, cfg, **OPTIONS)
    parts = federation_of(dataset, plan, cfg, **PARTS)
    weights = federate(parts.sites, parts.start, 2, parts.local, parts.aggregate)
    constants = public_constants(population.architecture, dataset.schema, plan.size)
    assert population.labels == plan.labels
    for ours, theirs in ((population.parameters, weights), (population.preprocessing, constants)):
        assert all(tiny.same_bits(ours[name], theirs[name]) for name in ours)


def test_a_record_that_nobody_learns_from_changes_nothing(dataset, cfg):
    plan = tiny.plan(dataset, seeds=1)
    outside = plan.held_out[0].nonzero()[0]
    before = train_federated(dataset, plan, cfg, **OPTIONS)
    moved = dataset.y.clone()
    moved[outside] = 1 - moved[outside]
    after = train_federated(replace(dataset, y=moved), plan, cfg, **OPTIONS)
    same = [
        torch.equal(before.parameters["weight0"][m], after.parameters["weight0"][m])
        for m in range(3)
    ]
    assert same == [not bool(plan.train[m, outside]) for m in range(3)]


def test_facts_say_who_sees_what(dataset, cfg):
    facts = train_federated(dataset, tiny.plan(dataset), cfg, **OPTIONS).facts["federated"]
    assert facts["hospitals"] == 3
    assert facts["parted_by"] == "3 bands of age"
    assert {"server_sees", "hospital_sees", "not_promised", "cut_is_chosen"} <= set(facts)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sites": None}, "federated.sites: null"),
        ({"aggregate": "krum", "tolerated": 1}, "krum takes 5 hospitals"),
        ({"by": "weight"}, "federated.by: 'weight' is no feature"),
    ],
)
def test_what_cannot_be_is_one_clear_line_before_anything_is_trained(dataset, cfg, changes, words):
    with pytest.raises(BadInput, match=words) as refused:
        train_federated(dataset, tiny.plan(dataset), cfg, **{**OPTIONS, **changes})
    assert "\n" not in str(refused.value)
