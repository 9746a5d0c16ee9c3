"""The phases of a stage add up, and a moment counts for the phase that it should."""

import builtins
import importlib
import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks import stage_driver
from benchmarks.stage_driver import OTHER, START_UP, WATCHED, Clock, main
from benchmarks.stages import PHASES


@pytest.fixture
def hand(monkeypatch):
    """A clock's hand that only the test moves, whole seconds at a time."""
    hand = SimpleNamespace(at=0)
    monkeypatch.setattr(stage_driver.time, "perf_counter", lambda: hand.at)
    return hand


@pytest.mark.parametrize(("module", "function", "phase"), WATCHED, ids=lambda value: value)
def test_what_is_watched_exists(module, function, phase):
    assert callable(getattr(importlib.import_module(module), function))
    assert phase in PHASES


def test_phases_add_up_to_the_whole(hand):
    clock = Clock()

    def lasts(seconds):
        def work():
            hand.at += seconds

        return work

    hand.at += 1
    clock.within("attack", lasts(2))()
    hand.at += 4
    clock.within("report", lasts(8))()
    assert clock.report() == {OTHER: 5, "attack": 2, "report": 8}


def test_training_within_an_attack_is_part_of_the_attack_but_imports_are_apart(hand):
    clock = Clock()

    def passes(seconds, *inner):
        def work():
            hand.at += seconds
            for one in inner:
                one()

        return work

    training = clock.within("training", passes(1))
    imports = clock.within(START_UP, passes(2))
    clock.within("attack", passes(4, training, imports))()
    assert clock.report() == {OTHER: 0, "attack": 5, START_UP: 2}


def test_a_failed_phase_is_over(hand):
    clock = Clock()

    def fails():
        hand.at += 1
        raise ValueError

    with pytest.raises(ValueError):
        clock.within("attack", fails)()
    hand.at += 2
    assert clock.report() == {"attack": 1, OTHER: 2}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A stage that calls a watched function of another module, and writes down its arguments."""
    (tmp_path / "timed_work.py").write_text("def work():\n    return sum(range(1000))\n")
    (tmp_path / "timed_stage.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom timed_work import work\n"
        "work()\nPath('said').write_text(' '.join(sys.argv[1:]))\nsys.exit(len(sys.argv) - 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(builtins, "__import__", builtins.__import__)
    monkeypatch.setattr(stage_driver, "WATCHED", (("timed_work", "work", "attack"),))
    yield tmp_path
    sys.modules.pop("timed_work", None)


@pytest.mark.parametrize("arguments", [["baseline"], ["baseline", "too many"]])
def test_a_stage_is_run_with_its_arguments_and_timed_also_when_it_fails(stage, arguments):
    with pytest.raises(SystemExit) as end:
        main(stage / "report.json", "timed_stage", arguments)
    assert end.value.code == len(arguments) - 1
    assert (stage / "said").read_text() == " ".join(arguments)
    spent = json.loads((stage / "report.json").read_text())
    assert set(spent) == {START_UP, "attack", OTHER}
    assert min(spent.values()) > 0
