"""`python -m pipeline.report` prints the last summary, or one line that says how to make one."""

import json
import subprocess
import sys

import pytest

from pipeline.presentation import SCHEMA_VERSION
from pipeline.report.__main__ import main
from tiny import ROOT


def test_the_command_prints_the_last_evaluation(tmp_path, monkeypatch, capsys):
    (tmp_path / "artifacts" / "evaluate").mkdir(parents=True)
    text = "defense  eps\nbaseline  0 → 1\n"
    place = tmp_path / "artifacts" / "evaluate"
    (place / "summary.txt").write_text(text, encoding="utf-8")
    (place / "schema.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION}))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    main([])
    out = capsys.readouterr().out
    assert text in out
    assert "make ui" in out
    assert "artifacts/evaluate/report.html" in out.splitlines()[-1]


def test_the_command_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        main([])
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    said = "artifacts/evaluate/summary.txt: not found; run `dvc repro` to make it"
    assert err == f"error: {said}\n"


@pytest.mark.parametrize(("schema", "found"), [(None, 1), (SCHEMA_VERSION + 1, SCHEMA_VERSION + 1)])
def test_figures_of_another_version_are_not_read_as_if_they_were_of_this_one(
    schema, found, tmp_path, monkeypatch, capsys
):
    place = tmp_path / "artifacts" / "evaluate"
    place.mkdir(parents=True)
    (place / "summary.txt").write_text("old", encoding="utf-8")
    if schema is not None:
        (place / "schema.json").write_text(json.dumps({"schema_version": schema}))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([])
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert f"figures of schema version {found}, not {SCHEMA_VERSION}" in err


def test_who_prints_a_text_waits_for_nothing_that_computes():
    script = "import sys, pipeline.report.__main__; print({'torch', 'pandas'} & set(sys.modules))"
    asked = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert asked.stdout == "set()\n"


def test_help_says_what_it_prints_and_how_to_export(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    said = capsys.readouterr().out
    assert caught.value.code == 0
    for word in ("--export", "--for", "--signed-by", "--patients", "--overwrite", "examples:"):
        assert word in said


@pytest.fixture
def evaluation(tmp_path, monkeypatch):
    place = tmp_path / "artifacts" / "evaluate"
    place.mkdir(parents=True)
    (place / "summary.txt").write_text("said", encoding="utf-8")
    (place / "schema.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION}))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return place


def test_an_export_goes_where_it_is_asked_to_with_what_is_asked(evaluation, monkeypatch, capsys):
    asked = []

    def export(place, target, cut, stamp, *, patients, overwrite):
        asked.append((place.name, target.name, cut, stamp.signed_by, patients, overwrite))
        return ["written"]

    monkeypatch.setattr("pipeline.report.export.export_report", export)
    main(["--export", "out"])
    options = ["--for", "privacy", "--signed-by", "A. Person", "--overwrite", "--patients", "shown"]
    main(["--export", "out", *options])
    assert asked == [
        ("evaluate", "out", "full", "", False, False),
        ("evaluate", "out", "privacy", "A. Person", True, True),
    ]
    assert capsys.readouterr().out == "written\nwritten\n"


def test_an_export_of_what_is_not_there_is_one_line(evaluation, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--export", "out"])
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.startswith("error: artifacts/evaluate/audit.json: not found; run `dvc repro`")
    assert len(err.splitlines()) == 1
