"""The stage never fails, so that nobody loses the report; it says what the command says."""

import json

import pytest

from gate.made_up import RIGHT_ANSWERS, gates, written
from pipeline.stages.gate import judge_gates


@pytest.fixture
def stage(tmp_path, monkeypatch, cfg):
    """Runs the stage with such gates; returns what it said and what it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    written(tmp_path / "artifacts" / "evaluate")

    def run(asked):
        said = judge_gates(cfg.model_copy(update={"gate": asked}))
        return said, (tmp_path / "artifacts" / "gate" / "gate.json").read_bytes()

    return run


def one(**more):
    return {"figure": RIGHT_ANSWERS, **more}


@pytest.mark.parametrize(("limit", "state"), [(0.5, "passed"), (0.8, "unclear"), (0.9, "failed")])
def test_it_writes_what_came_of_the_gates_whatever_that_is(stage, limit, state):
    said, text = stage(gates(one=one(at_least=limit)))
    assert json.loads(text)["state"] == state
    assert said.startswith(f"{state}: ")
    assert stage(gates(one=one(at_least=limit)))[1] == text  # byte for byte


@pytest.mark.parametrize(
    "asked",
    [
        gates(),
        gates(one={"figure": "evasion/nothing", "at_least": 0.5}),
        gates(one={"forbid": ["x"]}),
    ],
)
def test_what_cannot_be_judged_is_written_as_refused_and_fails_no_stage(stage, asked):
    said, text = stage(asked)
    told = json.loads(text)
    assert told["state"] == "refused"
    assert told["faults"]
    assert said.startswith("not judged: ")


def test_a_champion_is_found_from_the_root(stage, tmp_path):
    written(tmp_path / "in_use", values={"good": 0.5})
    asked = gates(one=one(against="champion", margin=0.02))
    assert json.loads(stage(asked)[1])["state"] == "refused"
    named = asked.model_copy(update={"champion": "in_use"})
    assert json.loads(stage(named)[1])["state"] == "passed"
