"""Chapters: their names in links, and their order."""

import pytest

from pipeline.presentation.chapter import Chapter, in_order


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("What one eps means", "what-one-eps-means"),
        ("At 1 % FPR (LiRA)", "at-1-fpr-lira"),
        ("  -a-  ", "a"),
        ("糖尿病", "chapter"),
    ],
)
def test_an_anchor_is_made_of_letters_digits_and_hyphens(title, anchor):
    assert Chapter(title, []).anchor == anchor


def test_early_chapters_come_first_and_the_rest_stays_in_order():
    first, second, early = Chapter("a", []), Chapter("b", []), Chapter("c", [], early=True)
    assert in_order([first, early, second]) == [early, first, second]


def test_two_chapters_of_one_name_in_links_are_refused():
    with pytest.raises(ValueError, match="one name in links: what-is-told"):
        in_order([Chapter("What is told", []), Chapter("What is told?", [])])
