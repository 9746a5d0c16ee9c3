"""Victims of theft for all tests of what is measured of them: they are trained once."""

import pytest

import tiny
from pipeline.config import ModelConfig
from pipeline.risks.theft.measure.victims import Victims


@pytest.fixture(scope="session")
def quick(smoke_text):
    import yaml

    from pipeline import params

    cfg = params.parse(yaml.safe_load(smoke_text), "conf")
    return cfg.model_copy(update={"model": ModelConfig(name="mlp", hidden=[6])})


@pytest.fixture(scope="session")
def cohort():
    return tiny.records(120, seed=0)


@pytest.fixture(scope="session")
def victims(quick, cohort):
    return Victims.of("baseline", cohort, quick)
