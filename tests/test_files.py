"""A result is there whole or not at all."""

import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest

from pipeline.files import (
    BadInput,
    folder,
    read_json,
    repository_root,
    sha256,
    write_json,
    write_text,
)
from tiny import ROOT


def test_a_folder_appears_when_the_block_ends(tmp_path):
    place = tmp_path / "deep" / "result"
    with folder(place) as out:
        (out / "a.txt").write_text("new")
        assert not place.exists()
    assert (place / "a.txt").read_text() == "new"
    assert [p.name for p in place.parent.iterdir()] == ["result"]


def test_a_folder_replaces_the_earlier_one_in_one_piece(tmp_path):
    place = tmp_path / "result"
    for text, name in (("old", "a.txt"), ("new", "b.txt")):
        with folder(place) as out:
            (out / name).write_text(text)
    assert [p.name for p in place.iterdir()] == ["b.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), BadInput("no")])
def test_a_failure_leaves_the_earlier_folder_and_no_rest(tmp_path, error):
    place = tmp_path / "result"
    with folder(place) as out:
        (out / "a.txt").write_text("old")

    def fail_midway():
        with folder(place) as out:
            (out / "a.txt").write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail_midway()
    assert (place / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_a_full_disk_is_one_line_and_leaves_the_earlier_folder(tmp_path):
    place = tmp_path / "result"
    with folder(place) as out:
        (out / "a.txt").write_text("old")

    def fill_the_disk():
        with folder(place):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(
        BadInput, match=r"result: cannot write \(No space left on device\); earlier results"
    ) as caught:
        fill_the_disk()
    assert "\n" not in str(caught.value)
    assert (place / "a.txt").read_text() == "old"


def test_a_place_below_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"), folder(tmp_path / "file" / "result"):
        pass


def test_a_killed_process_leaves_the_earlier_folder_and_the_next_one_completes(tmp_path):
    place = tmp_path / "result"
    with folder(place) as out:
        (out / "a.txt").write_text("old")
    script = (
        "import os, signal, sys; from pathlib import Path; from pipeline.files import folder\n"
        "with folder(Path(sys.argv[1])) as out:\n"
        "    (out / 'a.txt').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", script, str(place)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert (place / "a.txt").read_text() == "old"
    with folder(place) as out:
        assert not list(out.iterdir())
        (out / "a.txt").write_text("new")
    assert (place / "a.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_json_round_trip_and_stable_bytes(tmp_path):
    value = {"b": [1, 2.5, None], "a": "Grüße"}
    write_json(tmp_path / "x.json", value)
    first = (tmp_path / "x.json").read_bytes()
    write_json(tmp_path / "x.json", read_json(tmp_path / "x.json"))
    assert (tmp_path / "x.json").read_bytes() == first
    assert read_json(tmp_path / "x.json") == value
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_json_refuses_what_json_does_not_know_and_keeps_the_earlier_file(tmp_path):
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", float("nan"))
    assert read_json(tmp_path / "x.json") == 1


def test_missing_and_broken_json_are_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"no\.json: not found; run `dvc repro`"):
        read_json(tmp_path / "no.json")
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(BadInput, match=r"half\.json: not valid JSON"):
        read_json(tmp_path / "half.json")


def test_sha256_is_of_the_bytes_in_the_given_order(tmp_path):
    write_text(tmp_path / "a", "alpha")
    write_text(tmp_path / "b", "beta")
    assert sha256(tmp_path / "a", tmp_path / "b") == hashlib.sha256(b"alphabeta").hexdigest()
    assert sha256(tmp_path / "b", tmp_path / "a") == hashlib.sha256(b"betaalpha").hexdigest()


def test_the_root_is_what_dvc_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert repository_root() == tmp_path.resolve()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
    assert repository_root() == (tmp_path / "elsewhere").resolve()
