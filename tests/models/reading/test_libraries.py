"""Estimators of XGBoost and LightGBM in memory, also behind steps, say what the libraries say."""

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

import foreign
from pipeline.models.reading import Asked, NotReadable, chances, on_thresholds, read_estimator


def boosted(**more):
    return XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1, random_state=0, **more)


def light(**more):
    return LGBMClassifier(
        n_estimators=8, num_leaves=6, min_child_samples=5, verbose=-1, n_jobs=1, **more
    )


MODELS = {
    "xgboost": (boosted, 1e-6),
    "lightgbm": (light, 1e-9),
    "scaled xgboost": (lambda: make_pipeline(StandardScaler(), boosted()), 1e-6),
    "imputed lightgbm": (lambda: make_pipeline(SimpleImputer(), StandardScaler(), light()), 1e-9),
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_it_says_what_the_library_says_also_on_thresholds(name, named):
    make, most = MODELS[name]
    model = make().fit(foreign.table(foreign.X) if named else foreign.X, foreign.Y)
    probes = foreign.probes()
    read = read_estimator(model, foreign.NAMES, probes)
    for records in (probes, on_thresholds(read, probes)):
        said = Asked.of(model, foreign.NAMES)(records)
        np.testing.assert_allclose(chances(read, records), said, rtol=0, atol=most)


def test_what_stopped_early_answers_by_its_best_round():
    model = boosted(early_stopping_rounds=2, learning_rate=2.0)
    model.fit(
        foreign.X[:120],
        foreign.Y[:120],
        eval_set=[(foreign.X[120:], foreign.Y[120:])],
        verbose=False,
    )
    read = read_estimator(model, foreign.NAMES, foreign.probes())
    assert model.get_booster().num_boosted_rounds() > read.architecture.trees
    assert read.architecture.trees == model.best_iteration + 1


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (boosted(missing=0.0), "XGBClassifier: missing = 0.0"),
        (boosted(booster="dart"), "XGBClassifier: booster 'dart'"),
        (light(boosting_type="rf", subsample=0.5, subsample_freq=1), "LGBMClassifier: boosting by"),
        (light(linear_tree=True), "LGBMClassifier: tree 0: linear leaves"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_read_is_said(model, line):
    model.fit(foreign.X, foreign.Y)
    with pytest.raises(NotReadable, match=f"^{line}[^\n]*$"):
        read_estimator(model, foreign.NAMES, foreign.X)
