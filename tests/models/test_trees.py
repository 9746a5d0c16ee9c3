"""An ensemble says what its trees say, question by question; it is kept whole."""

import math

import numpy as np
import pytest
import torch

import groves
import tiny
from pipeline.files import BadInput
from pipeline.models import trees
from pipeline.models.answers import log_odds
from pipeline.models.population import load_population
from pipeline.models.stacked import WEIGHTS
from pipeline.models.trees import LEAST_CHANCE, Tree, Trees
from tiny import same_bits

CASES = {"log_odds": groves.drawn(seed=1), "probability": groves.drawn(seed=2, link="probability")}
every_case = pytest.mark.parametrize("link", CASES)


@every_case
def test_its_log_odds_are_those_of_its_trees_one_by_one(link):
    models, x = CASES[link], tiny.records(60, seed=3, missing=0.3).x
    naive = [sum(groves.answer(tree, record) for tree in models.trees(0)) for record in x]
    if link == "probability":
        naive = [math.log(p / (1 - p)) for p in (total / 5 for total in naive)]
    torch.testing.assert_close(
        models.log_odds(x[None])[0], torch.tensor(naive, dtype=torch.float64), rtol=0, atol=1e-12
    )
    blocks = models(x.view(3, 1, 20, 5).double())
    assert same_bits(blocks.flatten(0, 2), models(x[None].double())[0])


@pytest.mark.parametrize("threshold", [-math.inf, -1.0, 0.0, math.inf])
@pytest.mark.parametrize("missing_left", [False, True])
def test_a_value_goes_left_up_to_the_threshold_and_a_missing_one_where_the_node_says(
    threshold, missing_left
):
    values = [-math.inf, -3e38, -1.0, 0.0, 3e38, math.inf, math.nan]
    ragged = Tree(  # asks about the second of two features; right of it once more
        feature=np.array([1, 0, 1, 0, 0]),
        threshold=np.array([threshold, 0.0, 1.0, 0.0, 0.0]),
        left=np.array([1, 1, 3, 3, 4]),
        right=np.array([2, 1, 4, 3, 4]),
        missing_left=np.array([missing_left, False, True, False, False]),
        value=np.array([0.0, 1.0, 0.0, 2.0, 4.0]),
    )
    models = Trees.of("one", [[ragged]], ("one",), features=2, link="log_odds", base=[0.0])
    assert models.architecture.depth == 2
    x = torch.tensor([[math.nan, value] for value in values])
    above = [2.0 if math.isnan(value) or value <= 1.0 else 4.0 for value in values]
    goes_left = [missing_left if math.isnan(value) else value <= threshold for value in values]
    said = [1.0 if left else other for left, other in zip(goes_left, above, strict=True)]
    assert models.log_odds(x[None])[0].tolist() == said


@pytest.mark.parametrize("at_once", [1, 20, 50])
def test_how_many_walk_together_changes_no_bit(at_once, monkeypatch):
    models, dataset, plan = groves.grown("extra_trees")
    x = dataset.x.expand(plan.size, -1, -1)
    together = models.log_odds(x)
    monkeypatch.setattr(trees, "WALKED_AT_ONCE", at_once)
    assert same_bits(models.log_odds(x), together)


@every_case
def test_class_1_leads_exactly_from_the_cut_on(link):
    models, x = CASES[link], tiny.records(60, seed=3).x[None]
    odds = models.log_odds(x)
    moved = models.decide_at(odds[0, :1])
    lead = moved(x.double()).diff(dim=-1)[..., 0]
    assert torch.equal(lead > 0, odds > odds[0, 0])
    torch.testing.assert_close(log_odds(moved, x), odds)


def test_whoever_is_sure_has_finite_log_odds():
    models = groves.drawn(link="probability")
    sure = {**models.parameters, "value": torch.ones_like(models.parameters["value"])}
    certain = Trees(models.architecture, {}, sure, models.labels)
    odds = certain.log_odds(tiny.records(3, seed=0).x[None])
    assert odds.unique().tolist() == [pytest.approx(math.log((1 - LEAST_CHANCE) / LEAST_CHANCE))]


def test_trees_of_different_sizes_are_one_population():
    models, dataset, plan = groves.grown("boosting")
    together = models(dataset.x.expand(plan.size, -1, -1))
    for member in range(plan.size):
        alone = models.select(torch.tensor([member]))
        assert same_bits(alone(dataset.x[None])[0], together[member])
    assert not models.gradients


def test_it_is_saved_whole_and_a_damaged_file_is_refused(tmp_path):
    models, dataset, plan = groves.grown("forest")
    models.save(tmp_path)
    again, x = load_population(tmp_path), dataset.x.expand(plan.size, -1, -1)
    assert isinstance(again, Trees)
    assert same_bits(again(x), models(x))
    assert again.digest == models.digest
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-8])
    with pytest.raises(BadInput):
        load_population(tmp_path)


def test_nobody_answers_nothing():
    models, dataset, _ = groves.grown("forest")
    none = models.select(torch.zeros(0, dtype=torch.int64))
    assert none(dataset.x.expand(0, *dataset.x.shape)).shape == (0, len(dataset.y), 2)


def test_members_of_several_populations_join_whatever_their_depth():
    models, dataset, plan = groves.grown("forest")
    other, _, _ = groves.grown("forest", seed=5)
    two = models.join([models.select(torch.tensor([0])), other.select(torch.tensor([1]))])
    x = dataset.x.expand(plan.size, *dataset.x.shape)
    assert torch.equal(two(x[:2])[0], models(x)[0])
    assert torch.equal(two(x[:2])[1], other(x)[1])
