"""The command: composed as everything is, exit status 0, 1 or 2, files whatever the answer."""

import json
import os
from xml.etree import ElementTree

import pytest

from gate.made_up import RIGHT_ANSWERS, written
from pipeline.api.verbs import run_verb
from tiny import ROOT

pytestmark = pytest.mark.heavy
ONE = f"+gate.one={{figure: {RIGHT_ANSWERS}, at_least: %s}}"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Calls the verb in the checkout on the made-up audit; returns the status and what was said."""
    written(tmp_path / "audit")
    monkeypatch.chdir(ROOT)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        options = ["--audit", str(tmp_path / "audit"), "--defense", "good"]
        status = run_verb(["gate", *options, *arguments])
        return status, capsys.readouterr()

    return run


@pytest.mark.parametrize(("limit", "status"), [(0.7, 0), (0.8, 1), (0.9, 1)])
def test_the_status_says_whether_all_are_passed(call, limit, status):
    found, said = call(ONE % limit)
    assert found == status
    assert f"{3 - status} of 3 gates passed" in said.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gate.no_flags=null", "gate.reviewed=null"], "no gate"),
        (["~gate"], "only gate="),
        (["seed=1"], "only gate="),
        (["gate=defualt"], "did you mean 'default'"),
        (["gate.unclaer=warn"], "did you mean 'gate.unclear'"),
        (
            ["+gate.one={figure: evasion/x, at_leest: 0.1}"],
            "gate.one.at_leest: unknown key; did you mean 'at_least'",
        ),
        (["+gate.one={figure: evasion/x, at_least: 0.1}"], "is no figure"),
        (["+gate.one=3"], "gate.one: unknown key"),
        (["--champion", "nowhere.json"], "nowhere.json: not found"),
        (["--sha256", "00"], "not an audit of the model"),
        (["--defense", "god"], "did you mean 'good'"),
        (["--junit", "/nowhere/x.xml"], "/nowhere/x.xml: cannot write"),
    ],
)
def test_a_mistake_is_status_2_with_the_nearest_name(call, arguments, said):
    status, told = call(*arguments)
    assert status == 2
    assert said in told.err
    assert "passed" not in told.out


def test_files_and_githubs_lines_are_written_where_a_gate_fails(call, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    names = ("junit", "json", "markdown")
    options = [part for name in names for part in (f"--{name}", str(tmp_path / name))]
    status, said = call("--defense", "flagged", *options)
    assert status == 1
    assert ElementTree.parse(tmp_path / "junit").getroot().get("failures") == "1"
    assert json.loads((tmp_path / "json").read_text())["state"] == "failed"
    summary = (tmp_path / "summary.md").read_text()
    assert summary == (tmp_path / "markdown").read_text()
    (line,) = [one for one in said.out.splitlines() if one.startswith("::error")]
    place = line.partition("file=")[2].split(",")[0]
    number = int(line.partition("line=")[2].split(",")[0])
    assert (ROOT / place).read_text().splitlines()[number - 1].startswith("no_flags:")
    assert os.path.relpath(place) == place
