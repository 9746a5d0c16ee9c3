"""A team's own recipe: fitted anew for each member, read where that is possible, else asked."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.svm import LinearSVC

import brought
import mixed
import tiny
from pipeline.defenses import estimating
from pipeline.defenses.estimating import estimator, fit_of, fitted, lightgbm, xgboost
from pipeline.files import BadInput
from pipeline.models.foreign import Foreign
from pipeline.models.networks import Networks
from pipeline.models.population import joined
from pipeline.models.questions import framed
from pipeline.models.trees import Trees

DATA = tiny.records(90, seed=3)
PLAN = tiny.plan(DATA, folds=2, seeds=1, release=True)
CFG = SimpleNamespace(seed=0)


def made(name):
    return estimator(DATA, PLAN, CFG, factory=f"brought:{name}")


def said(population):
    logits = population.double()(DATA.x.double().expand(PLAN.size, *DATA.x.shape))
    return (logits[..., 1] - logits[..., 0]).sigmoid().numpy()


@pytest.mark.parametrize(("name", "kind"), [("linear", Networks), ("forest", Trees)])
def test_what_can_be_read_becomes_what_can_be_proved_and_says_what_the_library_says(name, kind):
    population = made(name)
    assert isinstance(population, kind)
    assert population.labels == PLAN.labels
    frame, y = framed(DATA.x.numpy(), tiny.SCHEMA), DATA.y.numpy()
    for member, (train, seed) in enumerate(zip(PLAN.train, PLAN.seeds.tolist(), strict=True)):
        own = getattr(brought, name)()
        if name == "forest":
            own.set_params(random_state=seed % 2**32)
        own.fit(frame[train.numpy()], y[train.numpy()])
        expected = own.predict_proba(frame)[:, 1].clip(1e-6, 1 - 1e-6)
        np.testing.assert_allclose(said(population)[member], expected, atol=2e-5)


def test_what_cannot_be_read_is_asked():
    population = made("neighbours")
    assert isinstance(population, Foreign)
    assert population.size == PLAN.size
    frame = framed(DATA.x.numpy(), tiny.SCHEMA)
    own = brought.neighbours().fit(frame[PLAN.train[0].numpy()], DATA.y[PLAN.train[0]].numpy())
    expected = own.predict_proba(frame)[:, 1].clip(1e-12, 1 - 1e-12)
    np.testing.assert_allclose(said(population)[0], expected, atol=1e-9)


def test_a_function_that_fits_gets_records_diagnoses_and_a_seed():
    seen = []

    def fit(x, y, seed):
        seen.append((len(x), y.tolist(), seed))
        return brought.by_itself(x, y, seed)

    population = fitted(fit_of(fit, "ward"), "ward", DATA, PLAN, CFG)
    assert isinstance(population, Foreign)
    for (count, y, seed), train, own in zip(seen, PLAN.train, PLAN.seeds.tolist(), strict=True):
        assert (count, y) == (int(train.sum()), DATA.y[train].tolist())
        assert seed == own % 2**32


def test_the_same_plan_gives_the_same_models():
    one, again = made("forest"), made("forest")
    assert one.digest == again.digest
    other = PLAN.select(torch.tensor([1, 0, 2]))
    turned = estimator(DATA, other, CFG, factory="brought:forest")
    assert (said(turned)[[1, 0, 2]] == said(one)).all()


@pytest.mark.parametrize("recipe", [xgboost, lightgbm])
def test_boosting_of_other_libraries_is_read(recipe):
    more = {"depth": 3} if recipe is xgboost else {"leaves": 5, "leaf": 3}
    pytest.importorskip(recipe.__name__)
    population = recipe(DATA, PLAN, CFG, rounds=4, rate=0.3, **more)
    assert isinstance(population, Trees)
    assert (population.architecture.trees, population.size) == (4, PLAN.size)
    assert said(population).std() > 0


def test_what_is_not_installed_is_one_line_that_says_how(monkeypatch):
    def none(name):
        raise ImportError(name)

    monkeypatch.setattr(estimating.importlib, "import_module", none)
    with pytest.raises(BadInput, match=r"is not installed; `pip install 'medsecure\[xgboost\]'`"):
        xgboost(DATA, PLAN, CFG, rounds=4, rate=0.3, depth=2)


LINES = {
    "brought:of_two": "asks for 2 arguments; expected none",
    "brought:DATA": "no 'DATA'",
    "tiny:FEATURES": "is a dict; expected a function",
    "": "expected package.module:attribute",
    "brought:margins": "LinearSVC has no predict_proba; wrap it in CalibratedClassifierCV",
}


@pytest.mark.parametrize("factory", LINES)
def test_a_factory_that_is_none_is_one_line(factory):
    with pytest.raises(BadInput) as caught:
        estimator(DATA, PLAN, CFG, factory=factory)
    assert LINES[factory] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_that_fails_is_one_line_without_a_record():
    def fit(x, y, seed):
        raise ValueError("no convergence\nsecond line")

    with pytest.raises(BadInput, match=r"^ward: cannot be fitted: ValueError: no convergence$"):
        fitted(fit, "ward", DATA, PLAN, CFG)


def test_one_class_alone_is_refused():
    plan = PLAN.select(torch.tensor([0]))
    plan.train[0] = DATA.y == 1
    with pytest.raises(BadInput, match="one class alone"):
        estimator(DATA, plan, CFG, factory="brought:forest")


def test_populations_of_one_recipe_join():
    parts = [made("forest").select(torch.tensor([row])) for row in range(PLAN.size)]
    assert (said(joined(parts)) == said(made("forest"))).all()
    assert not hasattr(LinearSVC, "predict_proba")


@pytest.mark.parametrize("recipe", [xgboost, lightgbm])
def test_levels_that_are_words_are_categories_and_are_read(recipe):
    """Held against the library itself, fitted by hand on the same records."""
    library = pytest.importorskip(recipe.__name__)
    more = {"depth": 3} if recipe is xgboost else {"leaves": 5, "leaf": 3}
    data = mixed.records(200, seed=0)
    plan = tiny.plan(data, folds=2, seeds=1, release=True)
    population = recipe(data, plan, CFG, rounds=4, rate=0.3, **more)
    assert isinstance(population, Trees)
    frame = framed(data.x.numpy(), data.schema)
    for name, feature in mixed.FEATURES.items():
        if feature.levels:
            frame[name] = pd.Categorical(frame[name], categories=list(feature.levels))
    kind = library.XGBClassifier if recipe is xgboost else library.LGBMClassifier
    asked = (
        {"max_depth": 3, "enable_categorical": True}
        if recipe is xgboost
        else {"num_leaves": 5, "min_child_samples": 3, "verbose": -1, "force_row_wise": True}
    )
    logits = population.double()(data.x.double().expand(plan.size, *data.x.shape))
    found = (logits[..., 1] - logits[..., 0]).sigmoid().numpy()
    for member, (train, seed) in enumerate(zip(plan.train, plan.seeds.tolist(), strict=True)):
        own = kind(n_estimators=4, learning_rate=0.3, random_state=seed % 2**32, n_jobs=1, **asked)
        own.fit(frame[train.numpy()], data.y[train].numpy())
        np.testing.assert_allclose(found[member], own.predict_proba(frame)[:, 1], atol=1e-6)
    # and a level is a name: what another one says of the same patients is another answer
    turned = data.x.double().clone()
    turned[:, 2] = (turned[:, 2] + 1) % 3
    assert (population.double()(turned.expand(plan.size, *turned.shape)) != logits).any()
