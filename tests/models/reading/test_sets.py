"""A split by a set of values goes where its library sends it: levels, missing ones, others."""

import itertools
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier

from pipeline.files import BadInput
from pipeline.models.reading import (
    Asked,
    NotReadable,
    chances,
    read_estimator,
    read_lightgbm,
    read_xgboost,
)
from pipeline.models.reading.sets import MOST_CUTS, Sides, expanded, holding, of_levels, on_levels
from pipeline.models.trees import Tree, Trees

INPUTS = ("age", "ward", "nyha", "sex")
LEVELS = {1: ["E", "P", "U", "X", "Z"], 2: [1, 2, 3, 4], 3: ["f", "m"]}
SEEN = {**LEVELS, 1: LEVELS[1][:4]}  # nobody of ward Z was there in training
WARD_Z = 4
CATEGORIES = ["ward", "nyha", "sex"]


def records():
    """Wards and classes in no order of their places; a few of each value are missing."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(20, 90, 400), *(rng.integers(0, top, 400) for top in (4, 4, 2))]
    x = np.stack(drawn, 1).astype(np.float32)
    score = 2.0 * np.isin(x[:, 1], [0, 2]) + (x[:, 0] - 55) / 20 + 1.5 * np.isin(x[:, 2], [1, 3])
    y = (score + 0.5 * x[:, 3] + 0.7 * rng.normal(size=400) > 2.0).astype(int)
    x[rng.random(x.shape) < 0.06] = np.nan
    return x, y


X, Y = records()
EVERY = np.array(
    list(
        itertools.product(
            [20, 33.3, 47, 60.5, 75, np.nan],
            *([*range(len(cells)), np.nan] for cells in LEVELS.values()),
        )
    ),
    dtype=np.float32,
)


def table(x, categories=()):
    """Records as pandas reads them; columns of categories know the levels of training alone."""
    frame = Asked(None, INPUTS, np.arange(4), LEVELS).given(x)
    for name in categories:
        cells = SEEN[INPUTS.index(name)]
        frame[name] = pd.Categorical(frame[name], categories=cells)
    return frame


def one_hot(**options):
    encoder = OneHotEncoder(handle_unknown="ignore", **options)
    return ColumnTransformer([("hot", encoder, ["sex", "ward"])], remainder="passthrough")


def in_order():
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer([("places", encoder, ["sex", "ward"])], remainder="passthrough")


def filled(**options):
    frequent = SimpleImputer(strategy="most_frequent")
    encoder = OneHotEncoder(handle_unknown="ignore", **options)
    return ColumnTransformer(
        [("hot", make_pipeline(frequent, encoder), CATEGORIES)],
        remainder=make_pipeline(SimpleImputer(), StandardScaler()),
    )


def forest():
    return RandomForestClassifier(8, max_depth=6, random_state=0)


def light(**options):
    return LGBMClassifier(
        **{"n_estimators": 5, "min_child_samples": 5, "verbose": -1, "n_jobs": 1, **options}
    )


def sets():
    return light(min_data_per_group=5, cat_smooth=1, max_cat_to_onehot=1)


def boosted(**options):
    return XGBClassifier(n_estimators=5, max_depth=4, n_jobs=1, **options)


def by_category():
    return boosted(enable_categorical=True, max_cat_to_onehot=1)


BEHIND = {
    "one-hot forest": lambda: make_pipeline(one_hot(), forest()),
    "rare levels together": lambda: make_pipeline(one_hot(min_frequency=100), forest()),
    "one-hot xgboost": lambda: make_pipeline(one_hot(), boosted()),
    "ordinal lightgbm": lambda: make_pipeline(in_order(), light()),
    "ordinal histograms": lambda: make_pipeline(
        in_order(), HistGradientBoostingClassifier(max_iter=5)
    ),
    "categories of codes": lambda: make_pipeline(
        in_order(), HistGradientBoostingClassifier(max_iter=5, categorical_features=[0, 1])
    ),
    "categories": lambda: HistGradientBoostingClassifier(
        max_iter=6, categorical_features=CATEGORIES
    ),
    "imputed and boosted": lambda: make_pipeline(
        filled(), GradientBoostingClassifier(n_estimators=6)
    ),
    "linear": lambda: make_pipeline(filled(drop="if_binary"), LogisticRegression()),
    "a missing level is a level": lambda: make_pipeline(
        ColumnTransformer(
            [("hot", OneHotEncoder(handle_unknown="ignore"), CATEGORIES)], remainder=SimpleImputer()
        ),
        LogisticRegression(max_iter=1000),
    ),
    "perceptron": lambda: make_pipeline(
        filled(), MLPClassifier((6, 4), max_iter=50, random_state=0)
    ),
}


HARD = {
    "three columns of two levels": lambda: make_pipeline(
        ColumnTransformer([("hot", OneHotEncoder(), ["sex"])]),
        MLPClassifier((4,), max_iter=30, random_state=0),
    )
}


@cache
def fitted(name):
    return (BEHIND | HARD)[name]().fit(table(X), Y)


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.filterwarnings("ignore")
def test_behind_encoders_it_says_what_the_library_says_of_every_combination(name):
    model = fitted(name)
    unordered = [1, 2, 3] if name == "a missing level is a level" else [1, 2]
    read = read_estimator(model, INPUTS, X, LEVELS, unordered)
    said = model.predict_proba(table(EVERY))[:, 1]
    most = 1e-9 if isinstance(read, Trees) and "xgboost" not in name else 1e-6
    np.testing.assert_allclose(chances(read, EVERY), said, rtol=0, atol=most)
    assert said.std() > 0.1


@pytest.mark.parametrize("categories", [("ward",), ("ward", "nyha", "sex")])
@pytest.mark.filterwarnings("ignore")
def test_categories_of_lightgbm_in_memory_and_in_a_file(categories, tmp_path):
    levels = LEVELS if "sex" in categories else {**LEVELS, 3: [0, 1]}
    frame = table(X, categories) if "sex" in categories else told_by_numbers(X, categories)
    every = table(EVERY, categories) if "sex" in categories else told_by_numbers(EVERY, categories)
    model = sets().fit(frame, Y)
    said = model.predict_proba(every)[:, 1]
    model.booster_.save_model(str(tmp_path / "m.txt"))
    text = (tmp_path / "m.txt").read_text()
    assert "num_cat=0" not in text[text.index("Tree=0") : text.index("Tree=1")]
    for read in (
        read_estimator(model, INPUTS, X, levels),
        read_lightgbm(tmp_path / "m.txt", INPUTS, levels),
    ):
        np.testing.assert_allclose(chances(read, EVERY), said, rtol=0, atol=1e-9)


def told_by_numbers(x, categories):
    """The sex as 0 or 1."""
    return table(x, categories).assign(sex=x[:, 3].astype(np.float64))


@pytest.mark.filterwarnings("ignore")
def test_categories_of_xgboost_in_memory_and_in_a_file(tmp_path):
    model = by_category().fit(table(X, CATEGORIES), Y)
    known = EVERY[EVERY[:, 1] != WARD_Z]
    said = model.predict_proba(table(known, CATEGORIES))[:, 1]
    model.save_model(tmp_path / "m.json")
    for read in (
        read_estimator(model, INPUTS, X, SEEN),
        read_xgboost(tmp_path / "m.json", INPUTS, SEEN),
    ):
        np.testing.assert_allclose(chances(read, known), said, rtol=0, atol=1e-6)
    with pytest.raises(BadInput, match=r"m\.json: column 'ward': was not trained on level 'Z'"):
        read_xgboost(tmp_path / "m.json", INPUTS, LEVELS)
    with pytest.raises(BadInput, match=r"m\.json: column 'ward': was trained on categories, and"):
        read_xgboost(tmp_path / "m.json", INPUTS)


VALUES = np.array(
    [-2.0, -1.0, -0.5, 0.0, 0.5, *np.arange(1, 9), 2.999, 3.5, 250.0, np.nan], np.float32
)


@pytest.mark.filterwarnings("ignore")
def test_without_levels_numbers_go_where_their_whole_part_does(tmp_path):
    """Categories by their numbers, as a file of an array has them; also below 0 and unknown."""
    x = np.nan_to_num(X[:, :3], nan=1.0).astype(np.float64)
    every = np.stack([np.full(len(VALUES), 50.0), VALUES, np.full(len(VALUES), 2.0)], 1)
    every = np.concatenate([every, every[:, [0, 2, 1]]]).astype(np.float32)
    names = INPUTS[:3]
    light_one = sets().fit(x, Y, categorical_feature=[1, 2])
    light_one.booster_.save_model(str(tmp_path / "m.txt"))
    hard = boosted(enable_categorical=True, max_cat_to_onehot=1, feature_types=["q", "c", "c"])
    hard.fit(x, Y).save_model(tmp_path / "m.json")
    for model, read in (
        (light_one, read_lightgbm(tmp_path / "m.txt", names)),
        (hard, read_xgboost(tmp_path / "m.json", names)),
        (light_one, read_estimator(light_one, names, x.astype(np.float32))),
    ):
        said = model.predict_proba(every.astype(np.float64))[:, 1]
        np.testing.assert_allclose(chances(read, every), said, rtol=0, atol=1e-6)
        assert len(np.unique(said.round(4))) > 2


def test_what_becomes_categories_without_levels_is_not_read():
    model = make_pipeline(
        ColumnTransformer([("hot", OneHotEncoder(handle_unknown="ignore"), [1])]), forest()
    ).fit(np.nan_to_num(X), Y)
    with pytest.raises(NotReadable, match="column 1: becomes categories, and the schema names no"):
        read_estimator(model, INPUTS, np.nan_to_num(X))


@pytest.mark.filterwarnings("ignore")
def test_a_level_that_a_step_refuses_is_said():
    strict = ColumnTransformer([("hot", OneHotEncoder(), ["ward"])], remainder="drop")
    model = make_pipeline(strict, forest()).fit(table(X), Y)
    with pytest.raises(NotReadable, match=r"a step refuses a level .*unknown categories"):
        read_estimator(model, INPUTS, X, LEVELS)
    read = read_estimator(model, INPUTS, X, SEEN)
    known = EVERY[EVERY[:, 1] != WARD_Z]
    said = model.predict_proba(table(known))[:, 1]
    np.testing.assert_allclose(chances(read, known), said, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_levels_that_are_texts_are_no_numbers_of_a_file(tmp_path):
    x = np.nan_to_num(X, nan=1.0).astype(np.float64)
    light().fit(x, Y).booster_.save_model(str(tmp_path / "m.txt"))
    with pytest.raises(BadInput, match=r"column 'ward': was trained on numbers, and its levels"):
        read_lightgbm(tmp_path / "m.txt", INPUTS, {1: LEVELS[1]})
    moved = read_lightgbm(tmp_path / "m.txt", INPUTS, {2: [1, 2, 3, 4]})
    lower = x.astype(np.float32) - np.array([0, 0, 1, 0], np.float32)
    lower[:, 2] = np.maximum(lower[:, 2], 0)
    x[:, 2] = lower[:, 2] + 1
    plain = read_lightgbm(tmp_path / "m.txt", INPUTS)
    np.testing.assert_array_equal(chances(moved, lower), chances(plain, x.astype(np.float32)))


@pytest.mark.filterwarnings("ignore")
def test_levels_that_are_moved_as_numbers_must_be_a_line_before_layers():
    """A proof moves them; as inputs of their own they would stay where they are."""
    with pytest.raises(NotReadable, match="column 2: its levels rise, and are no line before lay"):
        read_estimator(fitted("linear"), INPUTS, X, LEVELS, [1])
    with pytest.raises(NotReadable, match="column 3: a missing level is one more, no number befo"):
        read_estimator(fitted("three columns of two levels"), INPUTS, X, LEVELS)
    frequent = SimpleImputer(strategy="most_frequent")
    scaled = ColumnTransformer(
        [
            ("sex", make_pipeline(frequent, OrdinalEncoder()), ["sex"]),
            ("others", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "nyha"]),
        ]
    )
    model = make_pipeline(scaled, LogisticRegression()).fit(table(X), Y)
    read = read_estimator(model, INPUTS, X, LEVELS)
    assert len(read.preprocessing["scale"][0]) == len(INPUTS)
    said = model.predict_proba(table(EVERY))[:, 1]
    np.testing.assert_allclose(chances(read, EVERY), said, rtol=0, atol=1e-6)


# ---- one split ----


def root(threshold=0.0, missing=False):
    """A tree that asks once: 1 on the left, 2 on the right."""
    return Tree(
        feature=np.zeros(3, np.int64),
        threshold=np.full(3, threshold),
        left=np.array([1, 1, 2]),
        right=np.array([2, 1, 2]),
        missing_left=np.full(3, missing),
        value=np.array([0.0, 1.0, 2.0]),
    )


def summed(tree, x):
    """What a tree alone says of values of its one feature."""
    models = Trees.of("one", [[tree]], ("one",), features=1, link="log_odds", base=[0.0])
    return models.totals(torch.tensor(x, dtype=torch.float32)[None, :, None])[0].tolist()


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_set_of_levels_goes_where_it_should(count, missing):
    for left in itertools.product([False, True], repeat=count):
        made = expanded(root(), {0: of_levels(np.array(left), missing)})
        said = summed(made, [*range(count), np.nan])
        assert said == [1.0 if one else 2.0 for one in (*left, missing)]


def test_a_set_is_read_in_pieces_and_not_in_too_many():
    found = holding(np.array([7, 2, 3, 2]), left=True, missing=False, where="f")
    assert found.first is False
    np.testing.assert_array_equal(found.cuts, np.nextafter(np.array([2.0, 4.0, 7.0, 8.0]), -np.inf))
    nothing = holding(np.array([], dtype=np.int64), left=True, missing=True, where="f")
    assert (len(nothing.cuts), nothing.first, nothing.missing) == (0, False, True)
    with pytest.raises(BadInput, match="f: a set of 2049 categories, more than are read"):
        holding(np.arange(0, MOST_CUTS + 2, 2), left=True, missing=False, where="f")


def test_children_come_after_all_who_lead_to_them():
    left = np.array([True, False, True, False, True])
    tree = Tree(
        feature=np.array([0, 0, 0, 0, 0]),
        threshold=np.array([0.5, 1.5, 0.0, 0.0, 0.0]),
        left=np.array([1, 2, 2, 3, 4]),
        right=np.array([4, 3, 2, 3, 4]),
        missing_left=np.ones(5, bool),
        value=np.arange(5.0),
    )
    made = expanded(tree, {0: of_levels(left, True), 1: Sides(np.array([0.5, 2.5]), True, False)})
    own = np.arange(len(made.left))
    inner = made.left != own
    assert (made.left[inner] > own[inner]).all()
    assert (made.right[inner] > own[inner]).all()
    assert made.value[~inner].tolist() == [2.0, 3.0, 4.0]
    models = Trees.of("one", [[made]], ("one",), features=1, link="log_odds", base=[0.0])
    assert models.architecture.depth == inner.sum()


@pytest.mark.parametrize("missing", [False, True])
def test_a_level_that_stays_missing_goes_where_a_missing_value_does(missing):
    (made,) = on_levels([root(1.5, missing)], {0: np.array([2.0, np.nan, 1.0, np.nan])})
    gone = 1.0 if missing else 2.0
    assert summed(made, [0, 1, 2, np.nan]) == [2.0, gone, 1.0, gone]
