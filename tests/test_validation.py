"""Options of attacks and defenses: whatever does not fit a signature is one line that names it."""

import math

import pytest

from pipeline.attacks.evasion import EVASION, SET_BY_PROGRAM
from pipeline.config import Count, Positive, Section, Share
from pipeline.files import BadInput
from pipeline.validation import check_both, check_options, check_two, checked_model, nearest

NAN = math.nan


def complaint(function, *arguments, **keywords):
    with pytest.raises(BadInput) as caught:
        function(*arguments, **keywords)
    line = str(caught.value)
    assert "\n" not in line
    return line


def recipe(data, *, rate: Share, width: Count, size: Positive = 2.0, eps: float):
    raise AssertionError("only its signature is looked at")


def test_options_are_returned_with_defaults_filled_in():
    assert check_options(recipe, {"rate": 0.5, "width": 3}, "here", given=("eps",)) == {
        "rate": 0.5,
        "width": 3,
        "size": 2.0,
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wdth": 4}, "here.wdth: unknown key; did you mean 'width'?"),
        ({"eps": 0.1}, "here.eps: unknown key; known: rate, size, width"),
        ({"data": 1}, "here.data: unknown key; did you mean 'rate'?"),
        ({"width": "3"}, "here.width: input should be a valid integer, not '3'"),
        ({"width": True}, "here.width: input should be a valid integer, not True"),
        ({"width": 3.0}, "here.width: input should be a valid integer, not 3.0"),
        ({"rate": 1.5}, "here.rate: input should be less than or equal to 1, not 1.5"),
        ({"rate": NAN}, "here.rate: input should be a finite number, not nan"),
        ({"size": 0}, "here.size: input should be greater than 0, not 0"),
        ({"size": "2"}, "here.size: input should be a valid number, not '2'"),
    ],
)
def test_an_option_that_does_not_fit_is_named(change, said):
    assert (
        complaint(
            check_options, recipe, {"rate": 0.5, "width": 3, **change}, "here", given=("eps",)
        )
        == said
    )


def test_a_missing_option_is_named():
    assert (
        complaint(check_options, recipe, {"rate": 0.5}, "here", given=("eps",))
        == "here.width: missing"
    )


@pytest.mark.parametrize("wrong", [3, "text", ["rate"]])
def test_options_are_a_mapping(wrong):
    assert complaint(check_options, recipe, wrong, "here").startswith(
        "here: input should be a valid dictionary"
    )


@pytest.mark.parametrize("name", EVASION)
def test_what_the_program_sets_cannot_be_configured(name):
    for given in SET_BY_PROGRAM:
        assert f"{given}: unknown key" in complaint(
            check_options, EVASION[name].run, {given: 0.1}, name, given=SET_BY_PROGRAM
        )


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("glucos", "did you mean 'glucose'?"),
        ("bmi", "did you mean 'bmi'?"),
        ("zzzz", "known: age, bmi, glucose"),
    ],
)
def test_nearest(name, answer):
    assert nearest(name, ["glucose", "bmi", "age"]) == answer
    assert nearest(name, iter(["glucose", "bmi", "age"])) == answer


def test_a_recipe_for_two_classes_says_so_in_its_own_words():
    check_two("forest", ("healthy", "ill"))
    check_both("forest", [0, 1, 1])
    with pytest.raises(BadInput, match=r"^forest: answers about one disease, but there are 3 "):
        check_two("forest", "abc")
    with pytest.raises(BadInput, match=r"^forest: a model would train on one class alone"):
        check_both("forest", [1, 1])


def test_a_misspelt_key_of_a_section_that_may_be_null_is_told_the_nearest_one():
    class Inner(Section):
        patients: str

    class Outer(Section):
        words: Inner | None = None
        features: dict[str, Inner] = {}

    for told in ({"words": {"patiens": "x"}}, {"features": {"a": {"patiens": "x"}}}):
        assert "did you mean 'patients'?" in complaint(checked_model, Outer, told, "file")
