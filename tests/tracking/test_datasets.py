"""The cohort in MLflow: what it is called and made of, and nobody's record."""

import json

import pytest
import torch

import tiny
from pipeline.tracking.datasets import columns, data_digest, dataset_input


def test_another_value_or_another_diagnosis_is_another_digest(dataset):
    digest = data_digest(dataset)
    assert len(digest) <= 36
    assert data_digest(tiny.records(120, seed=0)) == digest
    for changed in ("x", "y"):
        other = tiny.records(120, seed=0)
        values = getattr(other, changed)
        values[3] = values[3] + 1
        assert data_digest(other) != digest


def test_an_input_counts_and_names_and_shows_nobody(dataset, cfg):
    data = cfg.data.model_copy(update={"file": "/home/somebody/cohort.csv"})
    found = dataset_input(dataset, data)
    assert (found.dataset.name, found.dataset.digest) == (data.name, data_digest(dataset))
    assert json.loads(found.dataset.source) == {"uri": "cohort.csv"}
    assert json.loads(found.dataset.profile) == {
        "num_rows": 120,
        "num_patients": 120,
        "num_features": len(dataset.schema.names),
    }
    told = json.loads(found.dataset.schema)["mlflow_colspec"]
    assert [one["name"] for one in told] == [*dataset.schema.names, dataset.schema.target]
    assert {key for one in told for key in one} == {"name", "type", "required"}
    values = {f"{value:g}" for value in dataset.x[~torch.isnan(dataset.x)].tolist()}
    assert not values & set(json.dumps(told).replace('"', " ").split())


def test_levels_are_text_and_mlflow_reads_the_columns(dataset):
    from mlflow.types import Schema as Columns

    told = columns(dataset.schema)
    read = Columns.from_json(json.dumps(told))
    assert read.input_names() == [one["name"] for one in told]


@pytest.mark.heavy
def test_every_run_of_a_defense_was_made_of_the_cohort(logged, evaluated):
    for run in logged.parents:
        (one,) = run.inputs.dataset_inputs
        assert one.dataset.digest == data_digest(evaluated.dataset)
        assert one.dataset.name == evaluated.cfg.data.name
