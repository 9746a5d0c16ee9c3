"""A result is there whole or not at all."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.files import (
    PROJECT,
    BadInput,
    folder,
    in_repository,
    read_json,
    repository_root,
    sha256,
    write_json,
    write_text,
    writes_params,
)
from tiny import ROOT

pytestmark = pytest.mark.heavy


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


# ---- several writers at once ----

WRITERS, ROUNDS = 4, 25
WRITE_FOLDERS = """
import sys; from pathlib import Path; from pipeline.files import folder
path, writer, rounds, keep = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "True"
sys.stdin.readline()  # all begin at once
for turn in range(rounds):
    with folder(path, keep=keep) as out:
        for part in range(8):
            (out / f"{part}.txt").write_text(f"{writer} {turn}")
"""
WRITE_TEXTS = """
import sys; from pathlib import Path; from pipeline.files import write_text
path, writer, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.stdin.readline()
for turn in range(rounds):
    write_text(path, f"{writer} {turn}\\n" * 2000)
"""


def at_once(script, *arguments, writers=WRITERS):
    """Processes that run a script and begin together; their standard errors."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, arguments[0], str(writer), *arguments[1:]],
            env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for writer in range(writers)
    ]  # fmt: skip
    time.sleep(0.3)
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * writers, errors


@pytest.mark.parametrize("keep", [False, True])
def test_of_several_writers_of_one_folder_all_end_well_and_one_whole_result_stays(tmp_path, keep):
    at_once(WRITE_FOLDERS, str(tmp_path / "result"), str(ROUNDS), str(keep))
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    parts = {path.name: path.read_text() for path in (tmp_path / "result").iterdir()}
    assert sorted(parts) == [f"{part}.txt" for part in range(8)]
    assert len(set(parts.values())) == 1
    assert not keep or parts["0.txt"].endswith(" 0")  # the first to finish stays


def test_of_several_writers_of_one_file_all_end_well_and_one_whole_text_stays(tmp_path):
    at_once(WRITE_TEXTS, str(tmp_path / "text"), str(ROUNDS))
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
    lines = (tmp_path / "text").read_text().splitlines()
    assert (len(lines), len(set(lines))) == (2000, 1)


def test_the_folder_that_is_kept_is_the_first(tmp_path):
    for text in ("first", "second"):
        with folder(tmp_path / "result", keep=True) as out:
            (out / "a.txt").write_text(text)
    assert (tmp_path / "result" / "a.txt").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_what_a_living_writer_has_is_left_alone_and_what_dead_ones_left_is_cleared(tmp_path):
    dead = [tmp_path / f".{name}.unfinished" for name in ("result.0123", "other.4567", "result")]
    for place in dead:
        place.mkdir()
        (place / "half.txt").write_text("half")
    (tmp_path / ".params.yaml.89ab.unfinished").write_text("half")
    with folder(tmp_path / "result") as mine:
        (mine / "a.txt").write_text("mine")
        with folder(tmp_path / "result") as theirs:
            assert (mine / "a.txt").read_text() == "mine"
            assert sorted(tmp_path.iterdir()) == sorted([mine, theirs])
            (theirs / "a.txt").write_text("theirs")
        write_text(tmp_path / "beside.txt", "text")
        assert (tmp_path / "result" / "a.txt").read_text() == "theirs"
    assert (tmp_path / "result" / "a.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside.txt", "result"]


def test_a_writer_that_died_while_it_exchanged_folders_has_lost_nothing(tmp_path):
    """The earlier folder had been moved aside and the new one was not in its place yet."""
    for name in (
        ".result.0123.replaced",
        ".result.0123.unfinished",
        ".other.4567.replaced",
        "other",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    write_text(tmp_path / "beside.txt", "text")
    assert (tmp_path / "result" / "a.txt").read_text() == ".result.0123.replaced"
    assert (tmp_path / "other" / "a.txt").read_text() == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside.txt", "other", "result"]


def test_a_text_that_cannot_be_written_leaves_the_earlier_one_and_no_rest(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "\udcff")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_files_and_folders_have_the_rights_that_others_have(tmp_path):
    """A name of one's own must not mean for one's own eyes."""
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual.txt").write_text("")
    write_text(tmp_path / "own.txt", "")
    with folder(tmp_path / "own"):
        pass
    for name in ("", ".txt"):
        assert (tmp_path / f"own{name}").stat().st_mode == (
            tmp_path / f"usual{name}"
        ).stat().st_mode


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


@pytest.mark.parametrize("mark", ["dvc.yaml", "params.yaml"])
@pytest.mark.parametrize("below", ["", "conf", "conf/Ärzte und Daten/x"])
def test_the_root_is_found_from_any_folder_below_it(tmp_path, monkeypatch, mark, below):
    root = tmp_path / "med secure"
    (root / below).mkdir(parents=True)
    (root / mark).touch()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(root / below)
    assert repository_root() == root.resolve()
    place = in_repository("artifacts/evaluate")
    assert place.resolve() == root.resolve() / "artifacts" / "evaluate"
    assert str(place) == "../" * len(Path(below).parts) + "artifacts/evaluate"


def test_of_two_roots_the_nearest_counts_and_what_dvc_says_counts_before_either(
    tmp_path, monkeypatch
):
    (tmp_path / "inner" / "conf").mkdir(parents=True)
    for place in (tmp_path, tmp_path / "inner"):
        (place / "dvc.yaml").touch()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path / "inner" / "conf")
    assert repository_root() == (tmp_path / "inner").resolve()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert repository_root() == tmp_path.resolve()


def test_a_project_outside_a_checkout_is_told_of_its_own_command(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").touch()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert writes_params() == "`make params`"
    (tmp_path / PROJECT).touch()
    assert writes_params() == "`medsecure run`"
