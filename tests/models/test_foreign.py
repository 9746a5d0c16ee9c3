"""A model of somebody else is asked as its own code is, and what it says is held."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import brought
import tiny
from brought import chance
from pipeline.config import FeatureConfig
from pipeline.models.foreign import Foreign
from pipeline.models.opening import Calls
from pipeline.models.questions import chances, framed
from pipeline.models.reading import AGREES_ROUNDED, read_estimator
from pipeline.models.trees import Tree, Trees
from pipeline.verify import member_of, verify, why_no_proof

DATA = tiny.records(40, seed=1)


def models(*functions):
    asked = tuple(map(Calls, functions))
    labels = tuple(f"member{number}" for number in range(len(asked)))
    return Foreign(asked, tiny.SCHEMA, labels, "0" * 64, "made up")


# ---- what goes in ----


def test_numbers_go_in_as_they_were_typed_and_gaps_as_gaps():
    x = np.array([[148, 33.6, 1 / 3, 0.627, np.nan]], dtype=np.float32)
    frame = framed(x, tiny.SCHEMA)
    assert list(frame.columns) == list(tiny.SCHEMA.names)
    assert frame.iloc[0, :2].tolist() == [148.0, 33.6]
    assert frame["pedigree"][0] == 0.627
    assert np.isnan(frame["age"][0])
    # whatever is written, it is the very record
    np.testing.assert_array_equal(frame.to_numpy().astype(np.float32), x)


def test_levels_go_in_as_the_cells_of_the_file():
    given = FeatureConfig.model_validate(
        {
            **{"kind": "categorical", "levels": {"E": "emergency", "P": "planned", "U": "unknown"}},
            **{"mutable": False, "private": False, "source": "made up"},
            **{"error": None, "error_source": None},
        }
    )
    schema = replace(tiny.SCHEMA, names=("admission",), features=(given,))
    x = np.array([[2], [0], [np.nan]], dtype=np.float32)
    frame = framed(x, schema)
    assert frame["admission"].tolist()[:2] == ["U", "E"]
    assert frame["admission"].isna().tolist() == [False, False, True]
    assert isinstance(frame["admission"][2], float)  # NaN, as pandas reads an empty cell
    numbers = given.model_copy(update={"levels": {1: "a", 2: "b", 5: "c"}})
    frame = framed(x, replace(schema, features=(numbers,)))
    assert frame["admission"].dtype == np.float64
    np.testing.assert_array_equal(frame["admission"], [5, 1, np.nan])


def test_gaps_go_in_as_the_file_s_own_code_where_that_is_asked_for():
    coded = replace(
        tiny.SCHEMA,
        features=tuple(one.model_copy(update={"missing": [0]}) for one in tiny.SCHEMA.features),
    )
    x = DATA.x.numpy()
    frame = framed(x, coded, "code").to_numpy()
    assert (frame[np.isnan(x)] == 0).all()
    np.testing.assert_array_equal(frame[~np.isnan(x)], framed(x, coded).to_numpy()[~np.isnan(x)])


# ---- what comes out ----


def test_both_classes_or_one_column_are_understood():
    frame = framed(DATA.x.numpy(), tiny.SCHEMA)
    said = chance(frame)
    both = chances(lambda one: np.stack([1 - chance(one), chance(one)], 1), frame, "m")
    np.testing.assert_array_equal(both, said)
    np.testing.assert_array_equal(chances(lambda one: chance(one)[:, None], frame, "m"), said)


# ---- a population ----


def test_log_odds_are_those_of_what_it_says_less_the_cut():
    one = models(chance).decide_at(torch.tensor([0.7], dtype=torch.float64))
    logits = one(DATA.x.double()[None])
    expected = torch.from_numpy(chance(framed(DATA.x.numpy(), tiny.SCHEMA))).logit() - 0.7
    torch.testing.assert_close(logits[0, :, 1] - logits[0, :, 0], expected)


def test_each_different_record_is_asked_about_once():
    asked = []

    def counted(frame):
        asked.append(len(frame))
        return chance(frame)

    one = models(counted)
    x = DATA.x[:10].repeat(3, 1).view(3, 1, 10, 5)
    said = one(x)
    assert asked == [10]
    assert (said == said[0]).all()


def test_members_answer_for_themselves_and_join_in_order():
    def less(frame):
        return 0.5 * chance(frame)

    two = Foreign.join([models(chance), models(less)])
    said = two(DATA.x.expand(2, -1, -1))
    assert torch.equal(said[0], models(chance)(DATA.x[None])[0])
    assert torch.equal(said[1], models(less)(DATA.x[None])[0])
    assert torch.equal(two.select(torch.tensor([1]))(DATA.x[None])[0], said[1])


def test_where_it_was_read_gradients_and_proofs_are_of_what_was_read():
    fitted = brought.deployed()
    read = read_estimator(fitted, tiny.SCHEMA.names, DATA.x.numpy())
    one = models(lambda frame: fitted.predict_proba(frame))
    assert not one.gradients
    assert why_no_proof(replace(one, unread="KNN: no")).startswith("its structure is not read: KNN")
    known = replace(one, read=read)
    assert known.gradients
    assert why_no_proof(known) == ""
    x = DATA.x[None].double().requires_grad_()
    (gradient,) = torch.autograd.grad(known.double()(x)[..., 1].sum(), x)
    assert gradient.nan_to_num().abs().sum() > 0
    moved = known.decide_at(torch.tensor([0.4], dtype=torch.float64))
    said, own = (each.double()(DATA.x.double()[None])[0] for each in (moved, moved.read))
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(said[:, 1] - said[:, 0], own[:, 1] - own[:, 0], **close)
    assert member_of(moved, 0).layers


def test_nobody_answers_nothing():
    none = models(chance).select(torch.zeros(0, dtype=torch.int64))
    assert none(DATA.x.expand(0, *DATA.x.shape)).shape == (0, 40, 2)


# ---- what is near the cut ----


def stump(left, right):
    """Glucose at most 120 says `left`, more says `right`, a gap `left`."""
    children = np.array([1, 1, 2]), np.array([2, 1, 2])
    asks, says = np.array([120.0, 0, 0]), np.array([0, left, right])
    one = Tree(np.zeros(3, int), asks, *children, np.ones(3, bool), says)
    return Trees.of("stump", [[one]], ("member0",), features=5, link="probability", base=[0.0])


@pytest.mark.parametrize("tie", [0.5 + 1e-13, 0.5 - 1e-13, 0.5])
def test_a_tie_is_decided_by_the_model_s_own_code(tie):
    read = stump(0.5, 0.8)

    def own(frame):
        return np.where(frame["glucose"].to_numpy() > 120, 0.8, tie)

    x = torch.tensor([[125.0, 30, 5, 0.5, 40]])
    found = [
        verify(member_of(one, 0), x, torch.tensor([1]), tiny.CLINICAL, largest=1.0, budget=100)
        for one in (read, replace(models(own), read=read))
    ]
    assert found[0].breaks_at.isfinite()  # of what was read alone a tie is wrong
    assert bool(found[1].breaks_at.isfinite()) == (tie <= 0.5)


def test_what_a_library_of_float32_may_answer_otherwise_is_its_own_to_say():
    """A margin of 4e-6 is no proof of XGBoost, whose own code says the other."""
    near = 0.5 + 1e-6
    read = replace(stump(near, 0.8), facts={"read_of": "XGBClassifier"})

    def own(frame):
        return np.where(frame["glucose"].to_numpy() > 120, 0.8, 0.5 - 1e-6)

    x = torch.tensor([[125.0, 30, 5, 0.5, 40]])
    asked = {"largest": 1.0, "budget": 100}
    for kind, broken in (("XGBClassifier", True), ("RandomForestClassifier", False)):
        one = replace(models(own), read=replace(read, facts={"read_of": kind}))
        found = verify(member_of(one, 0), x, torch.tensor([1]), tiny.CLINICAL, **asked)
        assert bool(found.breaks_at.isfinite()) == broken


def test_a_network_that_was_read_is_proved_with_room_for_its_rounding():
    fitted = brought.deployed()
    read = read_estimator(fitted, tiny.SCHEMA.names, DATA.x.numpy())
    known = replace(models(lambda frame: fitted.predict_proba(frame)), read=read)
    largest = DATA.x.abs().nan_to_num(1.0).double()
    more = member_of(known, 0).rounding(largest) - member_of(read, 0).rounding(largest)
    torch.testing.assert_close(more, torch.full_like(more, AGREES_ROUNDED / 0.25))


def test_a_mean_of_trees_is_cut_off_where_the_trees_that_were_read_are():
    sure = stump(0.0, 1.0)
    one = replace(models(lambda frame: np.zeros(len(frame))), read=sure)
    x = torch.tensor([[[100.0, 30, 5, 0.5, 40]]])
    torch.testing.assert_close(one.double()(x.double()), sure(x.double()))
    alone = replace(one, read=None)(x.double())
    assert alone[0, 0, 1] < sure(x.double())[0, 0, 1] - 10
