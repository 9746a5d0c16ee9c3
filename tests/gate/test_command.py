"""The command: composed as everything is, exit status 0, 1 or 2, files whatever the answer."""

import json
import os
import re
import shlex
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import yaml

from gate.made_up import RIGHT_ANSWERS, written
from pipeline.api.judging import JUDGING
from pipeline.api.verbs import run_verb
from pipeline.risks import RISKS
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


# ---- recipes ----

PAGE = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")


def recipe(title):
    """The block under a heading of the page."""
    (_, _, block) = (
        PAGE.partition(f"### {title}\n")[2].partition("```")[2].split("```")[0].partition("\n")
    )
    return block


def test_every_command_of_the_page_is_one_that_the_parser_takes():
    blocks = re.findall(r"^```(?:sh|yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"medsecure (?:gate|status|compare|keep).*", "".join(blocks))
    assert len(lines) > 8
    for line in lines:
        _, verb, *words = shlex.split(line.split(" ||")[0], comments=True)
        JUDGING[verb].parsed(verb, words)


def test_the_page_names_every_table_that_shows_single_patients():
    private = {f"`{name}.csv`" for risk in RISKS for name in risk.private}
    assert private
    assert all(name in PAGE for name in private)


@pytest.mark.parametrize("title", ["GitHub", "GitLab"])
def test_a_recipe_is_yaml_that_keeps_what_was_found_whatever_the_status(title):
    told = yaml.safe_load(recipe(title))
    assert "medsecure gate" in str(told)
    assert "always" in str(told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [((), 0, "go"), ((("baseline", "degenerate"),), 1, "gates.md says"), (None, 2, "a mistake")],
)
def test_the_recipe_for_a_shell_does_what_it_says(tmp_path, flags, status, said):
    place = tmp_path / "artifacts" / "evaluate"
    if flags is not None:
        written(place, flags=flags)
    shim = tmp_path / "bin" / "medsecure"
    shim.parent.mkdir()
    code = "import sys; from pipeline.api.verbs import run_verb; sys.exit(run_verb(sys.argv[1:]))"
    shim.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c '{code}' \"$@\"\n")
    shim.chmod(0o755)
    known = {key: one for key, one in os.environ.items() if not key.startswith("GITHUB_")}
    path = f"{shim.parent}{os.pathsep}{known['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", recipe("Plain shell")],
        cwd=tmp_path,
        env=known | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert said in done.stdout.splitlines()[-1]
    assert (tmp_path / "gates.xml").exists() == (tmp_path / "gates.md").exists() == (status < 2)
