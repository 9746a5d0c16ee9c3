"""A model in a notebook, fitted or not, in one call; and scores that somebody has already."""

import doctest
import re

import numpy as np
import pandas as pd
import pytest

import tiny
from pipeline.api import own_model
from pipeline.api.own_model import Audit, is_fitted, membership
from pipeline.files import BadInput
from pipeline.models.opening import HELD
from pipeline.statistics.separation import auroc

CONF = tiny.ROOT / "conf"
QUICK = ("threads=1", "audit.sample=24", "plan.folds=2", "audit.eps=[0.0,0.3]")
FEW = (
    "membership.targets=4",
    "membership.second_seeds=1",
    "inversion.victims=2",
    "attack=[noise,square]",
)


@pytest.fixture(scope="module")
def pima():
    frame = pd.read_csv(tiny.ROOT / "data" / "pima.csv")
    missing = ["glucose", "blood_pressure", "skin_thickness", "insulin", "bmi"]
    frame[missing] = frame[missing].replace(0, np.nan)  # as the schema says
    return frame.iloc[:200, :-1], frame.iloc[:200, -1]


def pipeline_of(**options):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(), RandomForestClassifier(4, max_depth=3, **options))


@pytest.mark.slow
def test_a_fitted_pipeline_is_audited_as_it_is(pima, tmp_path):
    x, y = pima
    model = pipeline_of(random_state=0).fit(x[:100], y[:100])
    known = np.arange(200) < 100
    found = own_model.audit(
        model, x, y, schema="pima", trained_on=known, overrides=["threads=1"], conf=CONF
    )
    assert found.level == "frozen model"
    assert HELD == {}
    said, ill = model.predict_proba(x[100:])[:, 1] > 0.5, (y[100:] == 1).to_numpy()
    comparison = found.table("comparison")
    clean = comparison[comparison["eps"] == 0].iloc[0]
    assert clean["clean_accuracy"] == pytest.approx((said == ill).mean(), abs=1e-6)
    assert clean["missed_diagnosis_rate"] == pytest.approx((~said[ill]).mean(), abs=1e-6)
    assert (comparison["undecided"] == 0).all()  # its trees were read: all is proved
    assert "membership" in found.tables
    assert "missed diagnoses" in found._repr_html_()
    page = found.report(tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert "it was trained elsewhere" in text
    of_recipes = re.compile(r"undefended models? (miss|gives|\[)|\b1 (models|victims)|random half")
    assert not of_recipes.search(text)  # there is one model, and nobody knows its recipe
    assert "the deployed model misses" in text
    with pytest.raises(BadInput, match="is there already"):
        found.report(page)
    with pytest.raises(BadInput, match="no table; there are"):
        found.table("nothing")


@pytest.mark.slow
def test_a_pipeline_that_is_not_fitted_is_a_recipe(pima):
    x, y = pima
    found = own_model.audit(pipeline_of(), x, y, schema="pima", overrides=[*QUICK, *FEW], conf=CONF)
    assert found.level == "recipe"
    assert len(found.table("membership"))
    assert repr(found).startswith("audit of a recipe\n")


def test_what_is_fitted_is_told_from_what_is_not(pima):
    x, y = pima
    assert not is_fitted(pipeline_of())
    assert is_fitted(pipeline_of().fit(x, y))
    assert is_fitted(lambda frame: frame)


FAULTS = {
    "a value out of its range": (lambda x, y: (x.assign(glucose=9000.0), y), "glucose"),
    "a column too few": (lambda x, y: (x.drop(columns="age"), y), "column 'age' is missing"),
    "a diagnosis too few": (lambda x, y: (x, y[:-1]), "199 values, and there are 200 records"),
    "one class": (lambda x, y: (x, 0 * y), "a model needs both classes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_records_are_a_line_before_anything_is_asked(pima, fault):
    change, said = FAULTS[fault]
    x, y = change(*pima)

    def never(frame):
        raise AssertionError("was asked")

    with pytest.raises(BadInput, match=said):
        own_model.audit(never, x, y, schema="pima", conf=CONF)
    assert HELD == {}


# ---- membership ----


def test_scores_of_somebody_are_told_with_intervals():
    draws = np.random.default_rng(0)
    member = draws.random((3, 300)) < 0.5
    scores = draws.normal(size=member.shape) + member
    told = membership(scores, member)
    assert told["auroc"] == pytest.approx(auroc(scores[member], scores[~member]))
    assert told["auroc_low"] < told["auroc"] < told["auroc_high"]
    one = membership(scores[0], member[0])
    assert np.isnan(one["advantage"])  # of one model nobody is left to choose a threshold on
    nothing = membership(draws.normal(size=member.shape), member)
    assert nothing["auroc_low"] < 0.5 < nothing["auroc_high"]


@pytest.mark.parametrize(
    ("scores", "member", "said"),
    [
        ([0.1, 0.2], [True], "of shape"),
        ([0.1, np.nan], [True, False], "1 are no finite numbers"),
        ([0.1, 0.2], [True, True], "one side is empty"),
    ],
)
def test_what_is_no_question_is_one_line(scores, member, said):
    with pytest.raises(BadInput, match=said):
        membership(scores, member)


def test_the_example_is_true():
    assert doctest.testmod(own_model).failed == 0
    assert Audit.__doc__
