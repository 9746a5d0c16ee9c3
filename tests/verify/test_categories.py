"""Categories, binary values, levels and gaps: what is proved is what trying every record finds."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import mixed
import tiny
from every_record import Tried, check_least, check_verifier
from pipeline.defenses.growing import forest
from pipeline.models.foreign import framed
from pipeline.models.opening import levels_of
from pipeline.models.reading import read_estimator
from pipeline.verify import verify

LARGEST = {"linf": 1.0, "l2": 1.2, "l0": 2.0}
pytestmark = pytest.mark.heavy


def everything(record, limits):
    """All that could be presented instead of a record: values (K, D), changes (K, D)."""
    return tuple(map(torch.stack, zip(*mixed.everything(record, limits), strict=True)))


@cache
def grown():
    """A forest of the same records."""
    data = mixed.records(120, seed=4)
    plan = tiny.plan(data, folds=2, seeds=1)
    return forest(data, plan, None, kind="forest", trees=9, depth=5, leaf=2)


@cache
def by_sets():
    """Boosting that splits by sets of levels of what can be forged, as it is read."""
    data = mixed.records(120, seed=4)
    glucose, nyha, thal = data.x[:, :3].nan_to_num(1.0).T
    y = (glucose - 120) / 30 + 2.0 * (nyha % 2) + torch.tensor([1.5, -2.0, 1.0])[thal.long()] > 1.2
    names, levels = mixed.SCHEMA.names, levels_of(mixed.SCHEMA)
    sets = [mixed.SCHEMA.names[place] for place in levels]
    library = HistGradientBoostingClassifier(
        max_iter=12, max_leaf_nodes=9, min_samples_leaf=4, categorical_features=sets
    )
    library.fit(framed(data.x.numpy(), mixed.SCHEMA), y.numpy())
    read = read_estimator(library, names, data.x.numpy(), levels)
    assert any(len(np.unique(tree.right)) < len(tree.right) - 1 for tree in read.trees(0))
    odds = read.log_odds(data.x[None])
    return read.decide_at(odds.median(1).values)


@cache
def encoded():
    """A perceptron behind encoders, as it is read: categories as inputs, other levels on a line."""
    data, schema = mixed.records(120, seed=4), mixed.SCHEMA
    frequent = SimpleImputer(strategy="most_frequent")
    columns = ColumnTransformer(
        [
            ("hot", OneHotEncoder(handle_unknown="ignore"), ["thal", "ward"]),
            ("order", make_pipeline(frequent, OrdinalEncoder()), ["nyha", "smoker"]),
        ],
        remainder=make_pipeline(SimpleImputer(), StandardScaler()),
    )
    model = make_pipeline(columns, MLPClassifier((6,), alpha=0.0, random_state=1, max_iter=400))
    model.fit(framed(data.x.numpy(), schema), data.y.numpy())
    levels, unordered = levels_of(schema), schema.hot[:, 0].tolist()
    return read_estimator(model, schema.names, data.x.numpy(), levels, unordered)


MODELS = {"networks": lambda: mixed.models(1), "forest": grown, "sets": by_sets, "encoded": encoded}


@cache
def asked(norm, withhold, goal="any", kind="networks"):
    models, data = MODELS[kind](), mixed.records(30, seed=4)
    eps = [0, 1, 2] if norm == "l0" else None
    limits = mixed.threat(norm=norm, withhold=withhold, eps=eps, goal=goal)
    return Tried.of(models, data.x, limits, lambda record: everything(record, limits))


CASES = [(norm, withhold) for norm in LARGEST for withhold in (None, 0.6)]


@pytest.mark.parametrize(("norm", "withhold"), CASES)
def test_the_verifier_equals_trying_every_record(norm, withhold):
    check_verifier(asked(norm, withhold), largest=LARGEST[norm], budget=5000, least=5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["forest", "sets", "encoded"])
@pytest.mark.parametrize(("norm", "withhold"), CASES)
def test_of_trees_and_of_what_was_read_too(norm, withhold, kind):
    check_verifier(asked(norm, withhold, kind=kind), largest=LARGEST[norm], budget=5000, least=5)


@pytest.mark.parametrize(("norm", "withhold"), CASES[:2])
@pytest.mark.parametrize("eps", [0.5, 0.8])
def test_the_least_margin_is_that_of_every_record(norm, withhold, eps):
    check_least(asked(norm, withhold), eps, budget=2000)


def test_recodes_and_gaps_matter_and_cost_what_they_cost():
    """The planted fault: with the price of a recode above the radius, less is broken."""
    case = asked("linf", 0.6)
    network, x, y, limits = case.network, case.x, case.y, case.limits

    def broken(largest):
        found = verify(network, x, y, limits, largest=largest, budget=5000)
        return int(found.breaks_at.isfinite().sum())

    kept = mixed.threat()
    without = verify(
        network,
        x,
        y,
        type(kept)(kept.mutable, kept.lower, kept.upper, kept.step, kept.scale),
        largest=1.0,
        budget=5000,
    )
    assert broken(0.49) < broken(0.5) <= broken(0.6) <= broken(1.0)
    assert int(without.breaks_at.isfinite().sum()) < broken(1.0)


def test_a_spent_budget_leaves_variants_open_and_proves_nothing_of_them():
    case = asked("linf", 0.6)
    found = verify(case.network, case.x, case.y, case.limits, largest=1.0, budget=2)
    for row in range(len(case.x)):
        assert float(found.robust_below[row]) <= case.nearest(row) + 1e-6
        assert float(found.breaks_at[row]) >= case.nearest(row) - 1e-6
    assert (found.robust_below < found.breaks_at).any()


def test_whom_the_goal_spares_is_left_alone():
    case = asked("linf", 0.6)
    x, y = case.x, case.y
    limits = mixed.threat(withhold=0.6, goal="miss")
    found = verify(case.network, x, y, limits, largest=1.0, budget=500, spared=y == 0)
    assert found.breaks_at[y == 0].isinf().all()
    assert found.breaks_at[y == 1].isfinite().any()
