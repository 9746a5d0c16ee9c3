"""Out of fold: a plan and untrained models for whatever `dataset` a module has."""

import pytest

import tiny


@pytest.fixture(scope="module")
def plan(dataset):
    return tiny.plan(dataset)


@pytest.fixture(scope="module")
def models(plan, dataset):
    return tiny.untrained(plan, dataset)
