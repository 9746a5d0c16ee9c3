"""What the served model takes, and its example: made of the schema, never of a record."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import kinds
import tiny
from models import ensembles
from pipeline.config import FeatureConfig
from pipeline.data.schema import Schema
from pipeline.data.tabular import checked_values
from pipeline.files import BadInput
from pipeline.models.answers import log_odds
from pipeline.models.cnn import ConvolutionalNetwork
from pipeline.params import configured
from pipeline.serving.release import DECISION, answers, checked_images, input_example, signature

pytestmark = pytest.mark.heavy


def schema(**features):
    usual = tiny.feature(0.0, 10.0, 1.0, True, 5.0, 1.0).model_dump()
    return Schema(
        tuple(features),
        tuple(FeatureConfig(**{**usual, **changes}) for changes in features.values()),
        "outcome",
        ("healthy", "ill"),
    )


@pytest.fixture
def release():
    return tiny.population(1, seed=3)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"center": 5.4}, 5),
        ({"center": 5.4, "kind": "real"}, 5.0),
        ({"center": 5.44, "kind": "real", "step": 0.1}, 5.4),
        ({"center": 0.3, "kind": "real", "step": 0.1, "upper": 0.6}, 0.3),
        ({"center": 5.44, "kind": "real", "step": None}, 5.44),
        ({"center": 5.44, "step": None}, 5),
        ({"center": 99.0}, 10),
        ({"center": -7.0, "lower": 0.4}, 1),
        ({"center": 99.0, "kind": "real", "step": 0.4, "upper": 1.0}, 0.8),
        ({"center": 99.0, "kind": "real", "step": None}, 10.0),
    ],
)
def test_the_example_holds_centres_on_their_grid(changes, value):
    one = input_example(schema(a=changes)).iloc[0, 0]
    assert (one, type(one)) == (value, type(value))


def test_the_example_shows_that_a_value_may_be_missing_and_is_valid_json():
    example = input_example(tiny.SCHEMA)
    assert list(example) == list(tiny.SCHEMA.names)
    assert example.isna().sum(axis=1).tolist() == [0, 2]
    refuse = pytest.fail  # NaN is no JSON
    assert json.loads(json.dumps(example.to_numpy().tolist()), parse_constant=refuse)[1][1] is None


def test_the_example_of_every_data_set_here_is_a_record_that_a_clinic_could_hold():
    for name in ("pima", "breast_cancer"):
        of = Schema.of(configured([f"data={name}"]).data)
        values = input_example(of).to_numpy(dtype=float)
        np.testing.assert_array_equal(checked_values(values.copy(), of, "example", 0), values)


def test_every_column_is_required_every_class_a_double_and_the_decision_a_word():
    made = signature(tiny.SCHEMA).to_dict()
    assert [(c["name"], c["type"], c["required"]) for c in json.loads(made["inputs"])] == [
        (name, "any", True) for name in tiny.SCHEMA.names
    ]
    assert [(c["name"], c["type"]) for c in json.loads(made["outputs"])] == [
        ("healthy", "double"),
        ("ill", "double"),
        (DECISION, "string"),
    ]


RECORD = {"glucose": 148, "bmi": 30.5, "ratio": 5, "pedigree": 0.5, "age": 40}


def test_the_same_record_however_its_numbers_are_stored(release):
    frame = pd.DataFrame([RECORD, RECORD])
    answer = answers(release, tiny.SCHEMA, frame.astype(float))
    for same in (
        frame,
        frame.convert_dtypes(),
        frame.astype(object),
        frame.astype(str),
        frame.astype("float32"),
    ):
        pd.testing.assert_frame_equal(answers(release, tiny.SCHEMA, same), answer)
    torch.testing.assert_close(
        torch.tensor(answer[["healthy", "ill"]].sum(axis=1).to_numpy()),
        torch.ones(2, dtype=torch.float64),
    )


@pytest.mark.parametrize("gap", [None, pd.NA, float("nan"), "", " "])
@pytest.mark.parametrize("kind", ["object", "whole column"])
def test_the_same_gap_however_it_is_written(release, gap, kind):
    frame = pd.DataFrame([RECORD, RECORD]).astype(object)
    frame.loc[0 if kind == "object" else [0, 1], "glucose"] = gap
    expected = pd.DataFrame([RECORD, RECORD]).astype(float)
    expected.loc[0 if kind == "object" else [0, 1], "glucose"] = np.nan
    pd.testing.assert_frame_equal(
        answers(release, tiny.SCHEMA, frame), answers(release, tiny.SCHEMA, expected)
    )


def test_a_word_is_one_line_that_says_where(release):
    frame = pd.DataFrame([RECORD, {**RECORD, "glucose": "high"}])
    with pytest.raises(BadInput) as caught:
        answers(release, tiny.SCHEMA, frame)
    assert str(caught.value) == "records: line 1, column 'glucose': 'high' is not a number"


def test_a_record_without_a_measurement_gets_no_answer(release):
    gone = {name: None for name, feature in tiny.FEATURES.items() if feature.mutable}
    frame = pd.DataFrame([RECORD, {**RECORD, **gone}]).astype(object)
    with pytest.raises(BadInput) as caught:
        answers(release, tiny.SCHEMA, frame)
    assert str(caught.value) == (
        "records: line 1: no measurement; at least one of glucose, bmi, ratio must be known"
    )
    frame.loc[1, "bmi"] = 30.5
    assert len(answers(release, tiny.SCHEMA, frame)) == 2


def test_a_model_decides_at_its_own_line_and_says_what_it_said_before(release):
    frame = pd.DataFrame([{**RECORD, "glucose": value} for value in range(60, 260, 10)])
    chance = answers(release, tiny.SCHEMA, frame)["ill"]
    line = float(chance.sort_values().iloc[7:9].mean())
    moved = release.decide_at(torch.tensor([np.log(line / (1 - line))]))
    found = answers(moved, tiny.SCHEMA, frame)
    np.testing.assert_allclose(found["ill"], chance, rtol=0, atol=1e-9)
    assert (found[DECISION] == np.where(chance > line, "ill", "healthy")).all()
    assert set(found[DECISION]) == {"ill", "healthy"}


def test_a_recalibrated_model_answers_with_other_probabilities_and_the_same_decisions(release):
    frame = pd.DataFrame([{**RECORD, "glucose": value} for value in range(60, 260, 10)])
    at = release.decide_at(torch.tensor([0.3]))
    said = at.recalibrate(torch.tensor([0.5]), torch.tensor([-1.0]))
    before, after = (answers(one, tiny.SCHEMA, frame) for one in (at, said))
    odds = np.log(before["ill"] / before["healthy"])
    np.testing.assert_allclose(after["ill"], 1 / (1 + np.exp(1 - odds / 2)), rtol=0, atol=1e-6)
    assert (after[DECISION] == before[DECISION]).all()


# ---- images ----


@pytest.fixture(params=["cnn", "vit", "seda"])
def of_images(request):
    """An untrained release model of each architecture of images, and images that it is asked."""
    shapes = {
        "cnn": ConvolutionalNetwork("cnn", (1, 8, 8), 2, (4,), (6,)),
        "vit": ensembles.TRUNK,
        "seda": ensembles.SMALL,
    }
    return ensembles.untrained(1, architecture=shapes[request.param]), kinds.scans(12, seed=0).x


def test_images_go_in_as_an_array_of_bytes_and_the_example_is_nobodys():
    made = signature(kinds.SCANS).to_dict()
    (into,) = json.loads(made["inputs"])
    assert into["tensor-spec"] == {"dtype": "uint8", "shape": [-1, 8, 8]}
    example = input_example(kinds.SCANS)
    assert (example.dtype, example.shape) == (np.uint8, (2, 8, 8))
    assert len(np.unique(example[0])) == 1
    assert (example[1].min(), example[1].max()) == (0, kinds.LEVELS)
    coloured = replace(kinds.SCANS, image=(3, 8, 8))
    (into,) = json.loads(signature(coloured).to_dict()["inputs"])
    assert into["tensor-spec"]["shape"] == [-1, 3, 8, 8]
    assert input_example(coloured).shape == (2, 3, 8, 8)


def test_images_are_answered_as_the_population_answers_them(of_images):
    release, x = of_images
    release = release.decide_at(log_odds(release, x[None])[0].median()[None])
    found = answers(release, kinds.SCANS, x.byte().numpy())
    odds = log_odds(release, x[None])[0]
    np.testing.assert_allclose(found["ill"], torch.sigmoid(odds), rtol=1e-12)
    called = (release.double()(x[None].double())[0].argmax(-1) == 1).numpy()
    assert (found[DECISION] == np.where(called, "ill", "healthy")).all()
    assert set(found[DECISION]) == {"ill", "healthy"}
    for same in (x[:, 0].byte().numpy(), x.numpy(), x.long().tolist()):
        pd.testing.assert_frame_equal(answers(release, kinds.SCANS, same), found)


def test_no_image_no_answer(of_images):
    release, x = of_images
    assert len(answers(release, kinds.SCANS, x[:0].numpy())) == 0


LEVELS = np.zeros((2, 8, 8))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((2, 8, 9)), "images: an array of 2 x 8 x 9 values; expected any number of"),
        (np.zeros((2, 3, 8, 8)), "images: an array of 2 x 3 x 8 x 8 values; expected any number"),
        (np.array(5), "images: an array of no values"),
        (LEVELS.astype(str), "images: of type <U32; grey levels are whole numbers, uint8"),
        (LEVELS - [[[0]], [[-17]]], "images: image 1: grey level 17; expected"),
        (LEVELS - [[[0]], [[1]]], "images: image 1: grey level -1; expected"),
        (LEVELS + 0.5, "images: image 0: grey level 0.5; expected whole numbers from 0 to 16"),
        (LEVELS * np.nan, "images: image 0: grey level nan; expected whole numbers"),
    ],
)
def test_what_is_no_image_is_one_line(given, said):
    with pytest.raises(BadInput) as caught:
        checked_images(given, kinds.SCANS)
    assert str(caught.value).startswith(said)
