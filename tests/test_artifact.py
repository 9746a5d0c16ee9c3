"""A dataclass of tensors and facts survives the disk bit for bit; another file is one line."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, fields, replace

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import tiny
from mistakes import complaint
from pipeline.artifact import FACTS, read_artifact, write_artifact
from pipeline.files import write_tensors

pytestmark = pytest.mark.heavy


@dataclass(frozen=True)
class Question:
    name: str
    known: bool


@dataclass(frozen=True)
class Result:
    first: Tensor
    of: dict[str, Tensor]
    none: dict[str, Tensor]
    questions: tuple[Question, ...]
    epsilons: tuple[float | None, ...]
    claims: list[dict[str, float]]
    note: str


@dataclass(frozen=True)
class Bare:
    last: Tensor
    first: Tensor


RESULT = Result(
    first=torch.tensor([[0.1, torch.nan], [-0.0, torch.inf]]),
    of={"z/y.x": torch.arange(3), "a": torch.tensor([True, False])},
    none={},
    questions=(Question("age", True), Question("bmi", False)),
    epsilons=(0.5, None),
    claims=[{"delta": 1e-4}, {}],
    note="a, b",
)


def read(path, kind=Result, **how):
    return read_artifact(path, kind, what="a result", advice="run it", **how)


def same(a, b):
    return a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()


def test_it_comes_back_bit_for_bit_in_order_and_of_its_types(tmp_path):
    write_artifact(tmp_path / "file", RESULT)
    again = read(tmp_path / "file")
    assert same(again.first, RESULT.first)
    assert list(again.of) == ["z/y.x", "a"]
    assert all(same(again.of[name], value) for name, value in RESULT.of.items())
    for name in ("none", "questions", "epsilons", "claims", "note"):
        assert getattr(again, name) == getattr(RESULT, name)
        assert type(getattr(again, name)) is type(getattr(RESULT, name))


@pytest.mark.slow
def test_the_same_result_is_the_same_bytes_in_every_process(tmp_path):
    """Hashes of strings differ between processes, and nothing may depend on them."""
    program = "import sys; from test_artifact import *; write_artifact(Path(sys.argv[1]), RESULT)"
    program = "from pathlib import Path; " + program
    paths = os.pathsep.join([str(tiny.ROOT), str(tiny.ROOT / "tests")])
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    surroundings = {**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": paths}
    command = [sys.executable, "-c", program, str(tmp_path / "there")]
    subprocess.run(command, check=True, env=surroundings)
    write_artifact(tmp_path / "here", RESULT)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_tensors_alone_need_no_metadata(tmp_path):
    bare = Bare(torch.zeros(2), torch.ones(3))
    write_artifact(tmp_path / "file", bare)
    with safe_open(tmp_path / "file", "pt") as file:
        assert not file.metadata()
    again = read(tmp_path / "file", Bare)
    assert all(same(getattr(again, one.name), getattr(bare, one.name)) for one in fields(Bare))


def test_facts_may_stand_beside_the_tensors_for_people(tmp_path):
    write_artifact(tmp_path / "file", RESULT, facts=tmp_path / "facts.json")
    written = json.loads((tmp_path / "facts.json").read_text())
    assert written["epsilons"] == [0.5, None]
    again = read(tmp_path / "file", facts=tmp_path / "facts.json")
    assert (again.claims, again.epsilons) == (RESULT.claims, RESULT.epsilons)
    (tmp_path / "facts.json").unlink()
    assert "facts.json" in complaint(read, tmp_path / "file", facts=tmp_path / "facts.json")


def test_a_field_may_be_kept_elsewhere(tmp_path):
    write_artifact(tmp_path / "file", RESULT, beside=["note"])
    assert read(tmp_path / "file", note="mine").note == "mine"
    assert "it lacks 'note'" in complaint(read, tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t, f: t.pop("first"), "it lacks 'first'"),
        (lambda t, f: t.pop("of.a"), "it lacks 'of.a'"),
        (lambda t, f: t.update(more=torch.zeros(1)), "it holds more"),
        (lambda t, f: f.pop("claims"), "it lacks 'claims'"),
        (lambda t, f: f.update(more=1), "it holds more"),
        (lambda t, f: f.update(of=["a"]), "it holds of.z/y.x"),
        (lambda t, f: f.update(epsilons="many"), "valid tuple"),
        (lambda t, f: f.update(questions=[{"name": "age"}]), "known"),
        (lambda t, f: f.update(of=3), "not iterable"),
    ],
)
def test_another_file_is_one_line_that_says_why(tmp_path, change, reason):
    write_artifact(tmp_path / "file", RESULT)
    with safe_open(tmp_path / "file", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(file.metadata()[FACTS])
    change(tensors, facts)
    write_tensors(tmp_path / "other", tensors, {FACTS: json.dumps(facts)})
    line = complaint(read, tmp_path / "other")
    assert line.startswith(f"{tmp_path / 'other'}: not a result (")
    assert line.endswith("; run it")
    assert reason in line


def test_a_missing_or_damaged_file_is_one_line(tmp_path):
    write_artifact(tmp_path / "whole", RESULT)
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:-5])
    write_tensors(tmp_path / "words", {"first": torch.zeros(1)}, {FACTS: "{"})
    for name in ("missing", "half", "words"):
        line = complaint(read, tmp_path / name)
        assert line.startswith(str(tmp_path / name))
        assert line.endswith("; run it")


def test_facts_that_json_cannot_hold_are_not_written(tmp_path):
    with pytest.raises((TypeError, ValueError)):
        write_artifact(tmp_path / "file", replace(RESULT, claims=[{"delta": float("nan")}]))
    assert not (tmp_path / "file").exists()
