"""A source is opened by what it is, or refused in a line that says what would be right."""

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.svm import SVC

import brought
import foreign
import mixed
import tiny
from pipeline.data.schema import Schema
from pipeline.files import BadInput
from pipeline.models.endpoint import Endpoint
from pipeline.models.foreign import Foreign
from pipeline.models.opening import (
    Calls,
    Predicts,
    asked_by,
    imported,
    opened,
    read_native,
    read_of,
)
from pipeline.models.questions import framed
from pipeline.models.reading import NotReadable, chances

DATA = tiny.records(40, seed=1)
FRAME = framed(DATA.x.numpy(), tiny.SCHEMA)


def refused(function, *arguments):
    with pytest.raises(BadInput) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_import_path_is_the_team_s_own_code_called_or_as_it_is():
    assert isinstance(opened("brought:deployed", tiny.SCHEMA), Predicts)
    assert imported("brought:chance", "model") is brought.chance


def test_the_class_of_disease_is_found_by_its_name_wherever_it_stands():
    y = np.where(foreign.Y == 1, "a: ill", "healthy")
    fitted = brought.linear().fit(foreign.table(foreign.X), y)
    assert list(fitted.classes_) == ["a: ill", "healthy"]
    schema = type(tiny.SCHEMA)(tiny.SCHEMA.names, tiny.SCHEMA.features, "o", ("healthy", "a: ill"))
    said = asked_by(fitted, schema)(FRAME)
    np.testing.assert_allclose(said, brought.deployed().predict_proba(FRAME)[:, 1], atol=1e-6)


def test_columns_are_given_in_the_order_that_it_was_fitted_on():
    turned = foreign.table(foreign.X)[list(tiny.SCHEMA.names)[::-1]]
    fitted = brought.linear().fit(turned, foreign.Y)
    said = asked_by(fitted, tiny.SCHEMA)(FRAME)
    np.testing.assert_allclose(said, brought.deployed().predict_proba(FRAME)[:, 1], atol=1e-6)


def test_an_own_class_is_asked_by_the_frame_that_it_may_have_been_fitted_on():
    fitted = brought.Nearest().fit(foreign.table(foreign.X), foreign.Y)
    said = asked_by(fitted, tiny.SCHEMA)(FRAME)
    np.testing.assert_array_equal(said[:, 1], fitted.predict_proba(FRAME)[:, 1])
    arrays = brought.linear().fit(foreign.X, foreign.Y)
    own = arrays.predict_proba(FRAME.to_numpy())[:, 1]
    np.testing.assert_array_equal(asked_by(arrays, tiny.SCHEMA)(FRAME), own)


def test_a_column_that_the_schema_lacks_is_named():
    fitted = brought.linear().fit(foreign.table(foreign.X).assign(sodium=1.0), foreign.Y)
    line = refused(asked_by(fitted, tiny.SCHEMA), FRAME)
    assert line.startswith("model: reads column 'sodium', which the schema lacks")


LINES = {
    "brought:nothing_here": "brought has no 'nothing_here'",
    "no_such_module_at_all:load": "cannot be imported",
    "ward.onnx": "no such model; expected a .skops",
    "brought:of_two": "asks for 2 arguments; expected one, a data frame of records, or none",
    "brought:broken": "fails to open: ValueError: no weights",
}


@pytest.mark.parametrize("source", LINES)
def test_what_cannot_be_opened_is_one_line(source):
    assert LINES[source] in refused(opened, source, tiny.SCHEMA)


def test_a_function_of_a_data_frame_is_the_model_and_a_class_is_made_one():
    assert isinstance(opened("brought:chance", tiny.SCHEMA), Calls)
    assert opened("brought:rule", tiny.SCHEMA).function is brought.chance
    ask = opened("brought:Ready", tiny.SCHEMA)
    np.testing.assert_array_equal(ask(FRAME)[:, 1], brought.chance(FRAME))


def test_what_is_not_fitted_or_gives_no_probabilities_is_refused():
    assert "is not fitted; give it as a recipe" in refused(asked_by, brought.forest(), tiny.SCHEMA)
    assert "cannot be asked for probabilities" in refused(asked_by, 3, tiny.SCHEMA)
    assert isinstance(asked_by(brought.chance, tiny.SCHEMA), Calls)
    assert isinstance(opened("http://127.0.0.1:1/x", tiny.SCHEMA), Endpoint)


def test_a_population_that_is_asked_is_kept_and_opened_again(tmp_path):
    fitted = brought.forest().fit(foreign.table(foreign.X), foreign.Y)
    known = asked_by(brought.deployed(), tiny.SCHEMA, "brought:deployed")
    asked = (asked_by(fitted, tiny.SCHEMA), known)
    two = Foreign(asked, tiny.SCHEMA, ("a", "b"), "0" * 64, "made up")
    two.save(tmp_path)
    again = Foreign.load(tmp_path)
    x = DATA.x.expand(2, -1, -1)
    assert (again(x) == two(x)).all()
    assert (again.labels, again.digest) == (two.labels, two.digest)


def test_a_function_is_not_kept_and_says_so_where_it_is_looked_for(tmp_path):
    one = Foreign((Calls(brought.chance),), tiny.SCHEMA, ("a",), "0" * 64, "ward:fit")
    one.save(tmp_path)
    again = Foreign.load(tmp_path)
    assert again.labels == ("a",)
    assert "ward:fit: is a function, and not kept" in refused(again, DATA.x[None])


def test_what_is_on_no_list_of_ours_is_not_written(tmp_path):
    fitted = brought.neighbours().fit(foreign.table(foreign.X), foreign.Y)
    alone = Foreign((asked_by(fitted, tiny.SCHEMA),), tiny.SCHEMA, ("a",), "0" * 64, "m")
    assert "KNeighborsClassifier" in refused(alone.save, tmp_path)
    assert not list(tmp_path.iterdir())  # it holds whom it was trained on


def test_what_cannot_be_looked_into_is_said_by_name():
    fitted = brought.neighbours().fit(foreign.table(foreign.X), foreign.Y)
    alone = Foreign((asked_by(fitted, tiny.SCHEMA),), tiny.SCHEMA, ("a",), "0" * 64, "m")
    with pytest.raises(NotReadable, match="KNeighborsClassifier"):
        read_of(alone, DATA.x.numpy(), 0)
    calls = Foreign((Calls(brought.chance),), tiny.SCHEMA, ("a",), "0" * 64, "m")
    with pytest.raises(NotReadable, match="through its own code alone"):
        read_of(calls, DATA.x.numpy(), 0)


def test_what_is_read_carries_the_label_of_the_member():
    alone = Foreign(
        (asked_by(brought.deployed(), tiny.SCHEMA),), tiny.SCHEMA, ("a",), "0" * 64, "m"
    )
    read = read_of(alone, DATA.x.numpy(), 0)
    assert read.labels == ("a",)
    said, own = read(DATA.x[None])[0], alone(DATA.x[None])[0]
    np.testing.assert_allclose(said[:, 1] - said[:, 0], own[:, 1] - own[:, 0], atol=1e-4)


def test_a_machine_without_probabilities_is_told_what_to_do():
    assert "cannot be asked for probabilities" in refused(asked_by, SVC(), tiny.SCHEMA)


# ---- columns of levels ----

MIXED = mixed.records(150, seed=3)
TABLE = framed(MIXED.x.numpy(), mixed.SCHEMA)
LEVELLED = ["nyha", "thal", "smoker", "ward"]
# the same, with numbers in the file that are not the places
NUMBERED = Schema(
    mixed.SCHEMA.names,
    tuple(
        one.model_copy(update={"levels": {3 - 2 * at: str(at) for at in range(len(one.levels))}})
        for one in mixed.SCHEMA.features
    ),
    "outcome",
    ("healthy", "ill"),
)


def categorised():
    """The records as a team trained on them: each column of texts a category of pandas."""
    return TABLE.astype(dict.fromkeys(LEVELLED, "category"))


def light():
    fitted = lightgbm.LGBMClassifier(
        n_estimators=4,
        min_child_samples=5,
        min_data_per_group=5,
        cat_smooth=1,
        verbose=-1,
        n_jobs=1,
    )
    return fitted.fit(categorised(), MIXED.y.numpy())


def hard():
    fitted = xgboost.XGBClassifier(n_estimators=4, enable_categorical=True, max_cat_to_onehot=1)
    return fitted.fit(categorised(), MIXED.y.numpy())


def behind_an_encoder():
    columns = ColumnTransformer(
        [
            ("hot", OneHotEncoder(handle_unknown="ignore"), ["thal", "smoker", "ward"]),
            ("order", make_pipeline(OrdinalEncoder(), SimpleImputer()), ["nyha"]),
        ],
        remainder=SimpleImputer(),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=500)).fit(TABLE, MIXED.y.numpy())


@pytest.mark.parametrize("make", [light, hard, behind_an_encoder])
@pytest.mark.filterwarnings("ignore")
def test_levels_are_told_as_texts_and_read(make):
    """What is read answers as the model, which is asked about texts as they stand in the file."""
    fitted = make()
    ask = asked_by(fitted, mixed.SCHEMA)
    given = TABLE if make is behind_an_encoder else categorised()
    np.testing.assert_array_equal(ask(TABLE), fitted.predict_proba(given)[:, 1])
    few = TABLE.iloc[:1]  # a level or two alone are still the same levels
    np.testing.assert_allclose(ask(few), fitted.predict_proba(given)[:1, 1], rtol=0, atol=1e-7)
    model = Foreign((ask,), mixed.SCHEMA, ("one",), "digest", "m")
    read = read_of(model, MIXED.x.numpy(), 0)
    np.testing.assert_allclose(
        chances(read, MIXED.x.numpy()), fitted.predict_proba(given)[:, 1], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("make", "name"), [(light, "m.txt"), (hard, "m.json")])
@pytest.mark.filterwarnings("ignore")
def test_a_file_with_categories_is_asked_by_its_library(make, name, tmp_path):
    fitted = make()
    getattr(fitted, "booster_", fitted).save_model(str(tmp_path / name))
    said = fitted.predict_proba(categorised())[:, 1]
    ask = opened(str(tmp_path / name), mixed.SCHEMA)
    np.testing.assert_allclose(ask(TABLE), said, rtol=0, atol=1e-7)
    read = read_native(tmp_path / name, mixed.SCHEMA)
    np.testing.assert_allclose(chances(read, MIXED.x.numpy()), said, rtol=0, atol=1e-6)


def test_a_level_between_two_counts_as_the_lower_one_in_both():
    y = MIXED.y.numpy()
    x = np.nan_to_num(MIXED.x.numpy())
    numbers = framed(x, NUMBERED)
    fitted = RandomForestClassifier(5, random_state=0).fit(numbers, y)
    model = Foreign((asked_by(fitted, NUMBERED),), NUMBERED, ("one",), "digest", "m")
    read = read_of(model, x, 0)
    beside = x + np.float32(0.4) * (np.arange(6) > 0).astype(np.float32)
    np.testing.assert_allclose(chances(read, beside), model.chances(beside), rtol=0, atol=1e-9)
