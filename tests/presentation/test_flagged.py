"""A flagged defense keeps its flag in whatever part of a chapter names it."""

from typing import get_args

import pandas as pd
import pytest

from pipeline.presentation.chapter import (
    Chapter,
    Finding,
    Fold,
    Heading,
    Items,
    NotApplicable,
    Note,
    Part,
    Picture,
    Table,
)
from pipeline.presentation.flagged import chapter_with_flags, finding_with_flags, with_flags

LABELS = {"distill": "distill [masked]", "dp": "dp [harms a group]", "dp_train": "dp_train [leak]"}
NAMES = "distill and dp"
NAMED = "distill [masked] and dp [harms a group]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("distill", "distill [masked]"),
        ("Of distill, dp.", "Of distill [masked], dp [harms a group]."),
        ("distill [masked] stays", "distill [masked] stays"),
        (
            "distilled, redistill, distill-2, distill_x",
            "distilled, redistill, distill-2, distill_x",
        ),
        ("distill.temperature and plots/distill.csv", "distill.temperature and plots/distill.csv"),
        ("dp_train", "dp_train [leak]"),
        ("(dp)", "(dp [harms a group])"),
        ("baseline", "baseline"),
    ],
)
def test_a_name_gets_its_flags_once_and_nothing_else_does(text, said):
    assert with_flags(text, LABELS) == said
    assert with_flags(said, LABELS) == said


def test_a_flag_that_begins_as_a_name_is_none():
    labels = {"masked": "masked [masked mouth]"}
    assert with_flags("masked", labels) == "masked [masked mouth]"
    assert with_flags("masked [masked mouth]", labels) == "masked [masked mouth]"


def test_without_a_flag_nothing_changes():
    assert with_flags("distill", {}) == "distill"


def test_a_name_is_no_pattern():
    assert with_flags("a+b, aab", {"a+b": "a+b [x]"}) == "a+b [x], aab"


def parts(text, path):
    """One part of each kind; `text` wherever one may say something."""
    table = pd.DataFrame({"defense": [text, 1.5], text: [None, "-"]})
    return [
        Note(text),
        Items([(text, text)]),
        Heading(text),
        Table(table, "numbers", text),
        Picture(path, text, text),
        NotApplicable(text, text),
        Fold(text, [Note(text), Fold(text, [Heading(text)])]),
    ]


def test_there_is_a_part_of_every_kind(tmp_path):
    assert {type(one) for one in parts("a", tmp_path)} == set(get_args(Part))


def test_every_kind_of_part_names_the_flags(tmp_path):
    bare = Chapter(NAMES, parts(NAMES, tmp_path), NAMES, {"privacy": parts(NAMES, tmp_path)}, True)
    told = chapter_with_flags(bare, LABELS)
    want = Chapter(NAMED, parts(NAMED, tmp_path), NAMED, {"privacy": parts(NAMED, tmp_path)}, True)
    assert repr(told) == repr(want)
    assert NAMES not in repr(told)


def test_a_finding_names_the_flags_and_whose_it_is():
    found = finding_with_flags(Finding("Of distill 3.", "distill"), LABELS)
    assert found == Finding("Of distill [masked] 3.", "distill")
