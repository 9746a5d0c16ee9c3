"""The stage `prepare`: what cannot be is said before anything is trained."""

import runpy
import shutil
import sys

import pytest
import yaml

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


@pytest.mark.parametrize(
    ("delta", "status", "said"),
    [(1 / RECORDS, 2, "error: dp_train.delta: "), (1e-5, 0, "prepare: the records allow what is ")],
)
def test_a_check_says_what_the_stage_would_refuse_and_writes_nothing(
    values, tmp_path, monkeypatch, capsys, delta, status, said
):
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    values["dp_train"]["delta"] = delta
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump(values), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["prepare", "--check"])
    ended = 0
    try:
        runpy.run_path(str(ROOT / "pipeline" / "stages" / "prepare.py"), run_name="__main__")
    except SystemExit as end:
        ended = end.code
    assert ended == status
    told = capsys.readouterr()
    (line,) = (told.out + told.err).splitlines()
    assert line.startswith(said)
    assert not (tmp_path / ARTIFACTS).exists()
