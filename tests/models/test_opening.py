"""A source is opened by what it is, or refused in a line that says what would be right."""

import numpy as np
import pytest
from sklearn.svm import SVC

import brought
import foreign
import tiny
from pipeline.files import BadInput
from pipeline.models.endpoint import Endpoint
from pipeline.models.foreign import Foreign
from pipeline.models.opening import Calls, Predicts, asked_by, imported, opened, read_of
from pipeline.models.questions import framed
from pipeline.models.reading import NotReadable

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
    "brought:of_two": "fails to open: TypeError",
}


@pytest.mark.parametrize("source", LINES)
def test_what_cannot_be_opened_is_one_line(source):
    assert LINES[source] in refused(opened, source, tiny.SCHEMA)


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
