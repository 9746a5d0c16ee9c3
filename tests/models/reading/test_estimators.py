"""What is read says what the library says: of records, on thresholds, where values are missing."""

import numpy as np
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import foreign
from pipeline.files import BadInput, FailedCheck
from pipeline.models.networks import Networks
from pipeline.models.reading import (
    Asked,
    NotReadable,
    asking,
    chances,
    on_thresholds,
    read_estimator,
)
from pipeline.models.reading import estimators as module
from pipeline.models.trees import Trees


def labels_of(read, records):
    """Who is called ill: class 1 leads."""
    logits = read(torch.from_numpy(records)[None])[0]
    return (logits[:, 1] > logits[:, 0]).numpy()


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", foreign.TREES)
def test_trees_say_what_the_library_says_also_on_their_thresholds(name, named):
    model, probes = foreign.fitted(name, named), foreign.probes()
    read = read_estimator(model, foreign.NAMES, probes)
    assert isinstance(read, Trees)
    asked = Asked.of(model, foreign.NAMES)
    for records in (probes, on_thresholds(read, probes)):
        np.testing.assert_allclose(chances(read, records), asked(records), rtol=0, atol=1e-9)
        said = model.predict(asked.given(records)) == 1
        clear = np.abs(asked(records) - 0.5) > 1e-12
        assert (labels_of(read, records) == said)[clear].all()


def as_float32(monkeypatch):
    """Models are asked about the very float32 of a record, not about the number that was typed."""
    monkeypatch.setattr(asking, "typed", lambda x: x.astype(np.float64))


@pytest.mark.parametrize("name", foreign.NETWORKS)
def test_networks_are_near_what_the_library_says_of_typed_numbers(name):
    model, probes = foreign.fitted(name), foreign.probes()
    read, asked = read_estimator(model, foreign.NAMES, probes), Asked.of(model, foreign.NAMES)
    np.testing.assert_allclose(chances(read, probes), asked(probes), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", foreign.NETWORKS)
def test_networks_say_what_the_library_says_and_float32_stays_near(name, monkeypatch):
    as_float32(monkeypatch)
    model, probes = foreign.fitted(name), foreign.probes()
    said = Asked.of(model, foreign.NAMES)(probes)
    read = read_estimator(model, foreign.NAMES, probes)
    assert isinstance(read, Networks)
    np.testing.assert_allclose(chances(read, probes), said, rtol=0, atol=1e-6)
    assert read(torch.from_numpy(probes)[None]).dtype == torch.float32
    monkeypatch.setattr(module, "rounded", lambda exact: exact)
    exact = read_estimator(model, foreign.NAMES, probes)
    np.testing.assert_allclose(chances(exact, probes), said, rtol=0, atol=1e-9)


def test_float32_is_near_also_far_from_zero(monkeypatch):
    """A mean of 30000 beside a spread of 1: the rounding of the scaler is made up for."""
    as_float32(monkeypatch)
    x = np.random.default_rng(0).normal(30000.3, 1.0, (300, 2)).astype(np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=100.0))
    model.fit(x.astype(np.float64), x.sum(1) > 60000.5)
    read = read_estimator(model, ("a", "b"), x)
    np.testing.assert_allclose(chances(read, x), Asked.of(model, "ab")(x), rtol=0, atol=2e-6)


def test_columns_are_found_by_name_wherever_they_stand():
    model, order = foreign.fitted("several forest", True), [4, 2, 0, 3, 1]
    straight = read_estimator(model, foreign.NAMES, foreign.probes())
    turned = read_estimator(
        model, [foreign.NAMES[place] for place in order], foreign.probes()[:, order]
    )
    np.testing.assert_array_equal(
        chances(turned, foreign.probes()[:, order]), chances(straight, foreign.probes())
    )


def test_a_column_that_is_dropped_may_be_lacking_and_no_other():
    model, probes = foreign.fitted("several forest", True), foreign.probes()
    read = read_estimator(model, foreign.NAMES[:4], probes[:, :4])
    assert read.architecture.features == 4
    with pytest.raises(BadInput, match=r"^column 'glucose': [^\n]*$"):
        read_estimator(model, ("glucos", *foreign.NAMES[1:]), probes)
    with pytest.raises(BadInput, match="takes 5 columns without names, and the records have 4"):
        read_estimator(foreign.fitted("forest"), foreign.NAMES[:4], probes[:, :4])


def test_labels_are_told_and_the_second_is_class_1():
    words = np.where(foreign.Y == 1, "yes", "no")
    model = RandomForestClassifier(5, random_state=0).fit(foreign.X, words)
    read = read_estimator(model, foreign.NAMES, foreign.X)
    assert read.facts == {"read_of": "RandomForestClassifier", "classes": ["no", "yes"]}
    assert ((chances(read, foreign.X) > 0.5) == (foreign.Y == 1)).mean() > 0.9


def one_column(x):
    """Records of one column."""
    return np.array(x, dtype=np.float32)[:, None]


def test_a_tie_is_called_as_the_library_calls_it():
    """A forest calls a tie healthy, gradient boosting calls log-odds of 0 ill."""
    x, y = one_column([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 1])
    tied = DecisionTreeClassifier().fit(x, y)
    boosted = GradientBoostingClassifier(n_estimators=1, init="zero", max_depth=2).fit(x, y)
    for model, called in ((tied, 0), (boosted, 1)):
        asked = Asked.of(model, ("a",))(x)
        assert asked[2] == asked[3] == 0.5
        read = read_estimator(model, ("a",), x)
        assert model.predict(x).tolist() == [0, 0, called, called, 1, 1]
        assert labels_of(read, x).tolist() == [False, False, bool(called), bool(called), True, True]


def test_a_value_goes_left_up_to_the_last_float32_that_the_pipeline_sends_there():
    """By trying the neighbours of each threshold, one by one."""
    model = foreign.fitted("scaled forest")
    read = read_estimator(model, foreign.NAMES, foreign.probes())
    steps, forest = model[:-1], model[-1]
    for tree, own in zip(read.trees(0), forest.estimators_, strict=True):
        inner = np.flatnonzero(own.tree_.children_left >= 0)
        for node in inner[:6]:
            place, raw = own.tree_.feature[node], np.float32(tree.threshold[node])
            x = np.full((2, 5), np.nan)
            x[:, place] = asking.typed(np.array([raw, np.nextafter(raw, np.float32(np.inf))]))
            seen = steps.transform(x)[:, place].astype(np.float32)
            assert (seen <= own.tree_.threshold[node]).tolist() == [True, False]


def test_a_descending_step_turns_the_question():
    scaler = StandardScaler().fit(foreign.X[:, :2])
    scaler.scale_ = np.array([-3.0, 2.0])
    x = np.nan_to_num(foreign.X[:, :2], nan=50.0)
    forest = RandomForestClassifier(5, random_state=0).fit(scaler.transform(x), foreign.Y)
    model = make_pipeline(scaler, forest)
    probes = np.concatenate([x, foreign.X[:, :2]])
    read = read_estimator(model, ("a", "b"), probes)
    np.testing.assert_allclose(
        chances(read, probes), Asked.of(model, "ab")(probes), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (make_pipeline(SimpleImputer(), PCA(3), RandomForestClassifier(3)), "PCA: this step"),
        (make_pipeline(SimpleImputer(), SVC()), "SVC: neither trees"),
        (make_pipeline(SimpleImputer(), KNeighborsClassifier()), "KNeighborsClassifier: neither"),
        (make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()), "SimpleImputer"),
        (
            make_pipeline(SimpleImputer(), MLPClassifier((3,), activation="tanh", max_iter=5)),
            "MLPClassifier: activation 'tanh'",
        ),
        (
            make_pipeline(SimpleImputer(), GradientBoostingClassifier(loss="exponential")),
            "GradientBoostingClassifier: the loss",
        ),
        (
            make_pipeline(
                ColumnTransformer([("a", SimpleImputer(), [0]), ("b", SimpleImputer(), [0])]),
                LogisticRegression(),
            ),
            "ColumnTransformer: a column is used twice",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_known_is_named_by_its_class(model, line):
    model.fit(foreign.X.astype(np.float64), foreign.Y)
    with pytest.raises(NotReadable, match=f"^{line}[^\n]*$"):
        read_estimator(model, foreign.NAMES, foreign.X)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (RandomForestClassifier(), "RandomForestClassifier: no whole fitted model"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "Pipeline: no whole fitted model"),
    ],
)
def test_what_was_not_fitted_is_refused(model, line):
    with pytest.raises(BadInput, match=f"^{line}[^\n]*$"):
        read_estimator(model, foreign.NAMES, foreign.X)


def test_three_classes_are_not_read():
    model = DecisionTreeClassifier().fit(foreign.X, np.arange(200) % 3)
    with pytest.raises(NotReadable, match="answers about 3 classes"):
        read_estimator(model, foreign.NAMES, foreign.X)


def test_a_model_that_takes_no_missing_value_is_told_of():
    whole = np.nan_to_num(foreign.X, nan=1.0)
    model = GradientBoostingClassifier(n_estimators=3).fit(whole, foreign.Y)
    assert read_estimator(model, foreign.NAMES, whole).architecture.trees == 3
    with pytest.raises(BadInput, match=r"takes no missing value, and [0-9]+ records have one"):
        read_estimator(model, foreign.NAMES, foreign.X)


@pytest.mark.parametrize("name", ["forest", "scaled histograms"])
def test_a_reader_that_takes_less_for_at_most_is_found_out(name, monkeypatch):
    """Thresholds one float32 too low: no made-up record shows it, those on thresholds do."""
    grown = module.scikit.grown

    def strict(model):
        found = grown(model)
        lower = [
            tree._replace(threshold=np.nextafter(tree.threshold.astype(np.float32), -np.inf))
            for tree in found.trees
        ]
        return found._replace(trees=lower)

    monkeypatch.setattr(module.scikit, "grown", strict)
    with pytest.raises(FailedCheck, match="answers otherwise than the model"):
        read_estimator(foreign.fitted(name), foreign.NAMES, foreign.probes())
