"""A model that cannot be kept leaves its recipe, and no record."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

import brought
import foreign
import tiny
from pipeline.files import BadInput
from pipeline.models.foreign import Kept
from pipeline.models.opening import Calls, asked_by
from pipeline.models.recipes import ENDING, Recipe, Refittable

RECIPE = Recipe(
    {"name": "estimator", "factory": "brought:forest"},
    2**40,
    torch.arange(3),
    "d",
    torch.tensor([0.25, 1 / 3], dtype=torch.float64),
)


def fitted(name):
    return asked_by(getattr(brought, name)().fit(foreign.table(foreign.X), foreign.Y), tiny.SCHEMA)


def test_what_is_opened_safely_is_kept_itself(tmp_path):
    name = Refittable(fitted("forest"), RECIPE).save(tmp_path, 3)
    assert name == "member-003.skops"


@pytest.mark.parametrize("kind", ["neighbours", "function"])
def test_of_what_is_not_the_recipe_is_kept(kind, tmp_path):
    ask = Calls(brought.chance) if kind == "function" else fitted(kind)
    name = Refittable(ask, RECIPE).save(tmp_path, 3)
    assert [one.name for one in tmp_path.iterdir()] == [name] == [f"member-003{ENDING}"]
    again = Kept(name, "ward", tmp_path, tiny.SCHEMA)
    assert again.recipe is not None
    assert tiny.same_bits(again.recipe.said, RECIPE.said)
    assert again.recipe.rows.tolist() == [0, 1, 2]
    assert (again.recipe.seed, again.recipe.made_by) == (RECIPE.seed, RECIPE.made_by)
    with pytest.raises(BadInput, match="ward: is kept as its recipe"):
        again(foreign.table(foreign.X))


def test_without_a_recipe_nothing_is_promised(tmp_path):
    assert Refittable(Calls(brought.chance), None).save(tmp_path, 0) is None
    with pytest.raises(BadInput, match="KNeighbors"):
        Refittable(fitted("neighbours"), None).save(tmp_path, 0)


def test_a_damaged_recipe_is_one_line(tmp_path):
    (tmp_path / f"member-000{ENDING}").write_bytes(b"no")
    with pytest.raises(BadInput, match="train again"):
        _ = Kept(f"member-000{ENDING}", "ward", tmp_path, tiny.SCHEMA).recipe


def asked(packed):
    return pickle.loads(packed)(3)


def test_a_function_that_pickle_cannot_copy_reaches_a_process_that_is_forked():
    model = Refittable(lambda number: 7 * number, RECIPE)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(asked, pickle.dumps(model)).result() == 21
    packed = pickle.dumps(model)
    del model
    with pytest.raises(BadInput, match="another process"):
        pickle.loads(packed)
