"""What travels is small, and a worker refuses to work anywhere but beside whoever started it."""

import dataclasses
import os
import pickle

import pytest

import tiny
from pipeline.files import BadInput, FailedCheck
from pipeline.sweep import work
from pipeline.sweep.work import Fault, Surroundings, Task, do_elsewhere

SMALL_BYTES = 100_000


@pytest.fixture
def task(small):
    return Task(0, "baseline", small(), ["seed=1"], "parent")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Of a process in a root of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Surroundings.own()


def test_a_task_travels_whole_and_holds_no_record(task):
    packed = pickle.dumps(task)
    assert pickle.loads(packed) == task
    assert len(packed) < SMALL_BYTES


def test_a_worker_takes_the_place_of_whoever_started_the_sweep(own, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(elsewhere))
    own.take()
    assert Surroundings.own() == own
    assert os.environ["DVC_ROOT"] == str(tmp_path)


@pytest.mark.parametrize(
    ("differs", "why"),
    [
        ({"here": tiny.ROOT / "nowhere"}, "nowhere: not seen by the worker on .* share"),
        ({"root": tiny.ROOT / "nowhere"}, "works, not .*nowhere"),
        ({"code": "other"}, "other code"),
        ({"store": "other"}, "MLFLOW_TRACKING_URI of the worker"),
    ],
)
def test_a_worker_elsewhere_does_nothing(own, task, differs, why, monkeypatch):
    monkeypatch.setattr(work, "finished", lambda *_: pytest.fail("it worked"))
    with pytest.raises(BadInput, match=why):
        dataclasses.replace(own, **differs).take()
    outcome = do_elsewhere(task, dataclasses.replace(own, **differs))
    assert isinstance(outcome, Fault)
    assert outcome.kind == "mistake"


def test_a_password_in_the_address_of_the_store_does_not_travel(own, task, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://team:secret@host")
    assert b"secret" not in pickle.dumps((task, Surroundings.own()))
    assert Surroundings.own().store != own.store


@pytest.mark.parametrize(
    ("error", "kind"),
    [(BadInput("a"), "mistake"), (FailedCheck("b"), "check"), (ZeroDivisionError("c"), "bug")],
)
def test_what_a_job_raises_comes_back_as_a_line(error, kind, task, monkeypatch):
    def fails(*_):
        raise error

    monkeypatch.setattr(work, "finished", fails)
    outcome = work.do_task(task, lambda: None)
    assert outcome.kind == kind
    assert str(error) in outcome.said
    assert ("ZeroDivisionError" in outcome.said) == (kind == "bug")
