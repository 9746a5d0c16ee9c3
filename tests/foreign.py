"""Models as another team would have fitted them, on the records of the small clinic."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import tiny
from pipeline.models.reading import made_up

NAMES = tiny.SCHEMA.names
DATA = tiny.records(200, seed=5)
X, Y = DATA.x.numpy(), DATA.y.numpy()


def several():
    """Columns in another order, each with steps of its own; the age is not looked at."""
    return ColumnTransformer(
        [
            ("some", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), [1, 0]),
            ("pedigree", make_pipeline(MinMaxScaler(), SimpleImputer()), [3]),
            ("age", "drop", [4]),
        ],
        remainder=make_pipeline(RobustScaler(), SimpleImputer(strategy="constant", fill_value=2.0)),
    )


TREES = {
    "forest": lambda: RandomForestClassifier(9, max_depth=5, random_state=0),
    "extra": lambda: ExtraTreesClassifier(9, max_depth=5, random_state=0),
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=6, random_state=0),
    "leaf by leaf": lambda: RandomForestClassifier(5, max_leaf_nodes=7, random_state=0),
    "boosted": lambda: make_pipeline(
        SimpleImputer(), GradientBoostingClassifier(n_estimators=6, random_state=0)
    ),
    "from zero": lambda: make_pipeline(
        SimpleImputer(), GradientBoostingClassifier(n_estimators=6, init="zero", random_state=0)
    ),
    "scaled forest": lambda: make_pipeline(
        SimpleImputer(), StandardScaler(), RandomForestClassifier(9, max_depth=5, random_state=0)
    ),
    "scaled histograms": lambda: Pipeline(
        [
            ("scale", RobustScaler()),
            ("nothing", "passthrough"),
            ("model", HistGradientBoostingClassifier(max_iter=6, random_state=0)),
        ]
    ),
    "clipped": lambda: make_pipeline(
        MinMaxScaler(clip=True), RandomForestClassifier(9, max_depth=5, random_state=0)
    ),
    "several forest": lambda: make_pipeline(
        several(), RandomForestClassifier(9, max_depth=5, random_state=0)
    ),
}
NETWORKS = {
    "linear": lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
    "perceptron": lambda: make_pipeline(
        RobustScaler(),
        SimpleImputer(strategy="median"),
        MLPClassifier((6, 4), max_iter=30, random_state=0),
    ),
    "several": lambda: make_pipeline(several(), MLPClassifier((6,), max_iter=30, random_state=0)),
}
ALL = {**TREES, **NETWORKS}


@cache
def fitted(name, named=False):
    """One of them, fitted on a table or on an array."""
    x = table(X) if named else X.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        return ALL[name]().fit(x, Y)


def table(x, names=NAMES):
    return pd.DataFrame(x.astype(np.float64), columns=list(names))


@cache
def probes():
    """Those it was fitted on, and a thousand that are made up."""
    return np.concatenate([X, made_up(tiny.SCHEMA, 0)])
