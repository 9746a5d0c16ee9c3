"""The stage `prepare`: what cannot be is said before anything is trained."""

import shutil

import pytest

from pipeline import params
from pipeline.files import BadInput
from pipeline.stages import ARTIFACTS
from pipeline.stages.prepare import prepare_cohort
from tiny import ROOT

RECORDS = 768


@pytest.fixture
def prepared(values, tmp_path, monkeypatch):
    """Runs the stage on Pima with some delta for each defense that has one."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def stage(**deltas):
        for name, delta in deltas.items():
            values[name] = {**values["dp_train"], "delta": delta}
        options = {"eps": 0.1, "threat": "clinical", "attack_steps": 1, "attack_step_size": 1.0}
        if "dp_adv_train" in deltas:
            values["dp_adv_train"] |= options
            del values["dp_adv_train"]["engine"]
        prepare_cohort(params.parse(values, "conf"))
        return tmp_path / ARTIFACTS / "prepare"

    return stage


def test_a_delta_below_one_in_the_cohort_is_let_through(prepared):
    assert (prepared(dp_train=0.99 / RECORDS) / "report.json").exists()


@pytest.mark.parametrize("name", ["dp_train", "dp_adv_train"])
def test_a_delta_that_does_not_fit_is_one_line_before_anything_is_trained(prepared, name, tmp_path):
    line = rf"^{name}\.delta: 0\.00130208 is not below 1 / records = 0\.0013; such a claim allows"
    with pytest.raises(BadInput, match=line):
        prepared(**{name: 1 / RECORDS})
    assert not (tmp_path / ARTIFACTS).exists()
