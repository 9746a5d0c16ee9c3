"""The verbs of the guard, as they are typed."""

import os
import shutil
from pathlib import Path

import pytest

import tiny
from pipeline.api.guarding import day, folder_here
from pipeline.api.verbs import run_verb
from pipeline.files import PROJECT, BadInput
from pipeline.serving.guard import Guard
from pipeline.serving.keys import Client, Role
from serving.made_up import HEALTHY, NEAR, NOW, served_folder

pytestmark = pytest.mark.heavy


@pytest.fixture
def place(tmp_path, monkeypatch):
    keys = served_folder(tmp_path / "guard")
    guard = Guard.open(tmp_path / "guard")
    guard.ask([HEALTHY, NEAR], Client("ward", Role.CLINICIAN), "/x", NOW)
    guard.close(NOW)
    monkeypatch.chdir(tmp_path)
    return keys


def said(capsys, *arguments, status=0):
    assert run_verb(list(arguments)) == status
    found = capsys.readouterr()
    return found.out + found.err


def test_keys_are_issued_listed_and_revoked(place, capsys):
    token = said(capsys, "key", "new", "ward 3", "--role", "clinician").splitlines()[0]
    name = token.split("_")[1]
    listed = said(capsys, "key", "list")
    assert "ward 3" in listed
    assert token.split("_")[2] not in listed
    said(capsys, "key", "revoke", name)
    assert "revoked" in said(capsys, "key", "list")
    assert "no key" in said(capsys, "key", "revoke", "0" * 16, status=2)
    assert "--role" in said(capsys, "key", "new", "x", "--role", "king", status=2)
    assert "is missing" in said(capsys, "key", "new", status=2)


def test_the_guard_of_a_project_is_the_one_that_it_configures(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert folder_here() == Path("guard")  # there is no project
    below = tmp_path / "ward" / "notes"
    below.mkdir(parents=True)
    (tmp_path / "ward" / PROJECT).touch()
    (tmp_path / "ward" / "conf" / "serving").mkdir(parents=True)
    text = (tiny.ROOT / "conf/serving/default.yaml").read_text(encoding="utf-8")
    own = tmp_path / "ward" / "conf" / "serving" / "default.yaml"
    own.write_text(text.replace("folder: guard", "folder: behind/glass"), encoding="utf-8")
    shutil.copy(tiny.ROOT / "conf/config.yaml", tmp_path / "ward" / "conf" / "config.yaml")
    monkeypatch.chdir(below)
    assert folder_here() == tmp_path / "ward" / "behind" / "glass"
    (tmp_path / "ward" / "conf" / "config.yaml").write_text("defaults: [{serving: none}]\n")
    with pytest.raises(BadInput, match="--folder FOLDER asks no conf"):
        folder_here()


def test_a_private_key_of_an_auditor_is_made_outside_the_folder(place, capsys, tmp_path):
    assert "sealed for" in said(capsys, "key", "auditor", "second.key")
    assert (tmp_path / "second.key").stat().st_mode & 0o077 == 0
    assert "keep it where the guard is not" in said(capsys, "key", "auditor", "guard/x", status=2)


def test_one_stops_and_two_start(place, capsys, monkeypatch):
    assert said(capsys, "stop", "--reason", "a doubt").strip() == "stopped: a doubt"
    assert "MEDSECURE_KEY" in said(capsys, "start", "--reason", "mended", status=2)
    for name, expected in (("administrator", "proposed by"), ("second", "serving: proposed by")):
        monkeypatch.setenv("MEDSECURE_KEY", place[name])
        assert expected in said(capsys, "start", "--reason", "mended")
    monkeypatch.setenv("MEDSECURE_KEY", place["clinician"])
    assert "administrator" in said(capsys, "start", "--reason", "again", status=2)
    assert os.environ["MEDSECURE_KEY"] == place["clinician"]


def test_the_log_is_checked_and_shown_and_a_change_is_named(place, capsys, tmp_path):
    import sqlite3

    assert "intact" in said(capsys, "log", "verify")
    shown = said(capsys, "log", "show", "--client", "ward", "--key", "auditor.key")
    assert len(shown.splitlines()) == 2
    assert '"values": [2.0, 60.0, 60.0]' in shown
    assert "values" not in said(capsys, "log", "show", "--client", "ward")
    with sqlite3.connect(tmp_path / "guard/log.sqlite") as one:
        one.execute("DROP TRIGGER rows_update")
    assert "somebody changed" in said(capsys, "log", "verify", status=1)


def test_an_incident_is_a_bundle(place, capsys):
    found = said(
        capsys, "incident", "--from", "2026-11-28", "--key", "auditor.key", "--out", "found"
    )
    assert "2 the same to the last bit" in found
    assert "already" in said(capsys, "incident", "--out", "found", status=2)


def test_a_time_is_one_of_iso_8601_and_of_utc():
    assert day(None) is None
    assert day("2027-06-30").isoformat() == "2027-06-30T00:00:00+00:00"
    assert day("2027-06-30T08:15+02:00").isoformat() == "2027-06-30T08:15:00+02:00"
    with pytest.raises(BadInput, match="expected a time"):
        day("yesterday")
