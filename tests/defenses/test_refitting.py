"""What cannot be kept is fitted again, and gives the same again, bit for bit, or is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import brought
import tiny
from pipeline.data.plan import RELEASE
from pipeline.defenses import refitting
from pipeline.defenses.estimating import estimator
from pipeline.defenses.refitting import recalled
from pipeline.files import BadInput
from pipeline.models.foreign import Foreign
from pipeline.models.population import load_population
from pipeline.models.recipes import ENDING

DATA = tiny.records(60, seed=3)
PLAN = tiny.plan(DATA, folds=2, seeds=1, release=True)
CFG = SimpleNamespace(seed=0)


def made(name, **options):
    return estimator(DATA, PLAN, CFG, factory=f"brought:{name}", **options)


@pytest.mark.parametrize("name", ["neighbours", "vectors", "Nearest", "by_itself"])
def test_models_that_hold_records_answer_alike_after_they_were_kept(name, tmp_path):
    population = made(name).decide_at(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))
    population.save(tmp_path)
    loaded = load_population(tmp_path)
    again = recalled(loaded, DATA)
    x = DATA.x.expand(PLAN.size, *DATA.x.shape)
    assert isinstance(again, Foreign)
    assert tiny.same_bits(again(x), population(x))
    assert (again.labels, again.digest) == (population.labels, population.digest)
    assert loaded.release().labels == (RELEASE,)  # told without a fit


def test_no_record_lies_in_what_is_kept(tmp_path):
    made("neighbours").save(tmp_path)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert sum(path.name.endswith(ENDING) for path in tmp_path.iterdir()) == PLAN.size
    for row in DATA.x[PLAN.train[0]]:
        for kind in (np.float32, np.float64):
            known = row.numpy()[~row.isnan().numpy()].astype(kind)
            assert len(known) < 2 or known.tobytes() not in content


def test_what_is_opened_safely_is_not_fitted_again(tmp_path, monkeypatch):
    population = made("components")
    population.save(tmp_path)
    monkeypatch.setattr(refitting, "fits", None)
    loaded = load_population(tmp_path)
    assert recalled(loaded, DATA) is loaded
    networks = tiny.population(2)
    assert recalled(networks, DATA) is networks


def test_gaps_are_told_as_they_were(tmp_path):
    coded = replace(
        tiny.SCHEMA,
        features=tuple(one.model_copy(update={"missing": [0]}) for one in tiny.SCHEMA.features),
    )
    dataset = replace(DATA, schema=coded)
    population = estimator(dataset, PLAN, CFG, factory="brought:Nearest", gaps="code")
    population.save(tmp_path)
    again = recalled(load_population(tmp_path), dataset)
    x = DATA.x.expand(PLAN.size, *DATA.x.shape)
    assert tiny.same_bits(again(x), population(x))


def refused(place, dataset=DATA):
    with pytest.raises(BadInput) as caught:
        recalled(load_population(place), dataset)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_recipe_that_fits_differently_each_time_is_one_line(tmp_path):
    made("as_it_comes").save(tmp_path)
    line = refused(tmp_path)
    assert line.startswith("brought:as_it_comes: fits differently each time (by up to ")
    assert "give it the seed" in line


def test_other_records_are_one_line(tmp_path):
    made("neighbours").save(tmp_path)
    assert "was trained on other records" in refused(tmp_path, tiny.records(60, seed=4))


def test_a_recipe_that_is_gone_is_one_line(tmp_path, monkeypatch):
    made("neighbours").save(tmp_path)
    monkeypatch.delattr(brought, "neighbours")
    assert "brought has no 'neighbours'" in refused(tmp_path)
