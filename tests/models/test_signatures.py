"""Whoever was fitted on an array says by its signature in which order; another is refused."""

from types import SimpleNamespace

import pytest
import yaml

from pipeline.files import BadInput
from pipeline.models.signatures import refuse_other_order

SCHEMA = SimpleNamespace(names=("glucose", "bmi"))
ON_AN_ARRAY, BY_NAMES = SimpleNamespace(), SimpleNamespace(feature_names_in_=["bmi", "glucose"])


def beside(folder, inputs):
    (folder / "MLmodel").write_text(yaml.safe_dump({"signature": {"inputs": inputs}}))
    return folder / "model.skops"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ('[{"name": "bmi"}, {"name": "glucose"}]', "column 1: 'bmi', of the schema 'glucose'"),
        ('[{"name": "glucose"}]', "column 2: 'none', of the schema 'bmi'"),
        ('[{"name": "glucose"}, {"name": "bmi"}, {"name": "age"}]', "column 3: 'age'"),
    ],
)
def test_another_order_is_refused_unless_columns_are_taken_by_name(inputs, said, tmp_path):
    place = beside(tmp_path, inputs)
    with pytest.raises(BadInput, match=said) as caught:
        refuse_other_order(ON_AN_ARRAY, place, SCHEMA)
    assert "\n" not in str(caught.value)
    refuse_other_order(BY_NAMES, place, SCHEMA)


@pytest.mark.parametrize(
    "inputs", ['[{"name": "glucose"}, {"name": "bmi"}]', None, "no JSON", '[{"type": "tensor"}]']
)
def test_the_same_order_and_no_names_are_not(inputs, tmp_path):
    refuse_other_order(ON_AN_ARRAY, beside(tmp_path, inputs), SCHEMA)
    refuse_other_order(ON_AN_ARRAY, tmp_path / "elsewhere" / "model.skops", SCHEMA)
