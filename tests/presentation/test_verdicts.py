"""Words say no more than the verdict."""

import pytest

from pipeline.presentation.verdicts import best_words, comparison_words
from pipeline.statistics.conclusions import Difference, best, compare


def one(value, se):
    return compare({"a": Difference(value, se)}, patients=768)["a"]


def test_what_is_told_apart_is_said_with_its_size():
    assert comparison_words(one(0.0451, 0.01), "baseline") == "better than baseline: +0.045"
    assert comparison_words(one(-0.0451, 0.01), "baseline") == "worse than baseline: -0.045"


def test_what_is_not_told_apart_says_what_would_show_it():
    # (1.96 + 0.84) x 0.01 = 0.028; 768 x (0.028 / 0.0125)^2 = 3858
    expected = (
        "not told apart from baseline: +0.013; 0.028 would have shown, "
        "about 3 900 patients would settle it"
    )
    assert comparison_words(one(0.0125, 0.01), "baseline") == expected


@pytest.mark.parametrize(
    ("value", "end"),
    [(0.0, "0.028 would have shown"), (1e-5, "more than 1 000 000 patients would settle it")],
)
def test_what_no_number_of_patients_settles(value, end):
    assert comparison_words(one(value, 0.01), "baseline").endswith(end)


def test_best_is_a_name_only_where_it_is_proved():
    figures = {"a": 0.5, "b": 0.7}
    pairs = {("a", "b"): Difference(-0.2, 0.03)}
    assert best_words(best(figures, pairs, patients=768)) == "b"
    wide = {("a", "b"): Difference(-0.2, 0.2)}
    assert best_words(best(figures, wide, patients=768)) == (
        "none told apart: b from a "
        "(ahead by 0.200; 0.560 would have shown, about 6 000 patients would settle it)"
    )
