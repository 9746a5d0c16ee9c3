"""Which cells mean ill is known from their words or said by somebody; it is never made up."""

import numpy as np
import pytest

from pipeline.cohort.dictionary import Entry
from pipeline.cohort.outcome import outcome_of
from pipeline.files import BadInput


def read(cells, positive=(), levels=None):
    texts = np.array([str(cell) for cell in cells], dtype=object)
    return outcome_of(texts, "death", positive, Entry("death", levels=levels or {}), "ward.csv")


@pytest.mark.parametrize(
    ("cells", "ill", "classes"),
    [
        ([0, 1], "1", ("no death", "death")),
        (["0.0", "1.0"], "1", ("no death", "death")),
        (["no", "yes"], "yes", ("no death", "death")),
        (["Yes", "No"], "Yes", ("no death", "death")),
        (["TRUE", "FALSE"], "TRUE", ("no death", "death")),
        (["B", "M"], "M", ("no death", "death")),
        (["benign", "malignant"], "malignant", ("benign", "malignant")),
        (["notckd", "ckd"], None, None),
        (["not present", "present"], "present", ("not present", "present")),
        (["no CKD", "CKD"], "CKD", ("no CKD", "CKD")),
        ([1, 2], "2", ("no death", "death")),
        ([-1, 1], "1", ("no death", "death")),
        ([2, 4], "4", ("no death", "death")),
    ],
)
def test_well_known_pairs(cells, ill, classes):
    if ill is None:
        with pytest.raises(BadInput, match="say which mean ill by --positive"):
            read(cells * 12)
        return
    found = read(cells * 12)
    assert found.classes == classes
    assert [cell for cell, name in found.outcomes.items() if name == classes[1]] == [
        ill.removesuffix(".0")
    ]
    assert found.guessed
    assert found.ill.tolist() == [
        str(cell) == ill or str(cell) == f"{ill}.0" for cell in cells * 12
    ]


def test_a_dictionary_names_the_classes():
    found = read([1, 2] * 12, levels={"1": "Alive", "2": "Dead"})
    assert found.classes == ("Alive", "Dead")
    assert found.outcomes == {"1": "Alive", "2": "Dead"}


def test_somebody_says_which_mean_ill():
    found = read([1, 2, 3] * 12, positive=["2", "3"])
    assert found.outcomes == {"1": "no death", "2": "death", "3": "death"}
    assert not found.guessed
    assert read([1, 2, 3] * 12, positive=["2, 3"]).outcomes == found.outcomes
    assert read(["a", "b,c", "d"] * 12, positive=["b,c"]).ill.sum() == 12
    assert read([0, 1] * 12, positive=["0"]).ill.tolist() == [True, False] * 12
    turned = read([1, 2] * 12, positive=["alive"], levels={"1": "Alive", "2": "Dead"})
    assert turned.classes == ("Dead", "Alive")
    assert read(["a", "b", ""] * 12, positive=["b"]).ill.sum() == 12


@pytest.mark.parametrize(
    ("cells", "positive", "said"),
    [
        ([1, 2, 3] * 12, (), "holds '1', '2', '3'; say which mean ill by --positive, several by"),
        (["red", "blue"] * 12, (), "holds 'blue', 'red'; say which mean ill by --positive"),
        (["red"] * 12 + ["blue"], (), "holds 'red' and 1 others; say which"),
        ([1] * 12, (), "holds '1'; an outcome has two kinds of cells"),
        ([""] * 12, (), "no cell holds anything; an outcome has two"),
        (range(50), (), "50 different cells; an outcome has two"),
        ([0, 1] * 12, ("2",), "--positive: column 'death': '2' is none of its cells"),
        ([0, 1] * 12, ("0", "1"), "--positive: every cell of column 'death' would mean ill"),
    ],
)
def test_what_nobody_can_know_is_asked_in_one_line(cells, positive, said):
    with pytest.raises(BadInput) as caught:
        read(cells, positive)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cells", [["no", "yes"], [0, 1], ["FALSE", "TRUE"]])
def test_where_the_target_says_what_is_well_its_class_is_the_other_one(cells):
    """`--target repaid --positive no`: who did not repay is not called repaid."""
    assert read(cells * 12, [str(cells[0])]).classes == ("death", "no death")
    assert read(cells * 12, [str(cells[1])]).classes == ("no death", "death")
