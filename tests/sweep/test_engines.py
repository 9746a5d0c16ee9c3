"""Whatever engine does them, jobs are done once each, in an order that their comparisons allow."""

import random

import pytest

from pipeline.files import BadInput
from pipeline.project.launchers import LOCAL, RAY, SLURM, Launcher
from pipeline.sweep import engines
from pipeline.sweep.engines import RETRIES, Here, engine_of, in_turn
from pipeline.sweep.work import Done, Fault, Task
from sweep.planted import job

JOBS = [
    job("baseline", control="baseline"),
    job("adv_train", eps=0.1),
    job("adv_train", eps=0.3),
    job("baseline", control="baseline (seed=1)", seed=1),
    job("dp_train", control="baseline (seed=1)", seed=1),
]
LOST = Fault("worker lost", "lost")


def done(task):
    return Done(f"key {task.at}", False, "", (), {}, False)


class Shuffled:
    """Ends what it was handed in any order; some outcomes are planted."""

    def __init__(self, at_once, seed, planted=None):
        self.at_once, self.planted = at_once, planted or {}
        self.dice, self.running, self.handed, self.most = random.Random(seed), [], [], 0

    def hand_in(self, tasks):
        self.handed += [task.at for task in tasks]
        self.running += tasks
        self.most = max(self.most, len(self.running))

    def take(self):
        task = self.running.pop(self.dice.randrange(len(self.running)))
        planted = self.planted.get(task.at)
        return task, planted.pop() if planted else done(task)

    def close(self):
        pass


def ends_of(engine, begin=None, told=None):
    def task(at):
        return Task(at, JOBS[at].defense, None, (), "")

    again = (lambda at, why: told.append((at, why))) if told is not None else None
    return list(in_turn(JOBS, engine, begin or task, again))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_each_job_is_done_once_and_after_whoever_it_is_compared_with(at_once, seed):
    engine = Shuffled(at_once, seed)
    ends = [at for at, _ in ends_of(engine)]
    assert sorted(ends) == sorted(engine.handed) == list(range(len(JOBS)))
    assert engine.most <= at_once
    assert engine.handed.index(1) > engine.handed.index(0)
    for at in (1, 2):
        assert ends.index(0) < ends.index(at)
    assert ends.index(3) < ends.index(4)


def test_what_another_command_is_at_is_asked_for_again_after_the_others(monkeypatch):
    waited = []
    monkeypatch.setattr(engines, "pause", lambda: waited.append(1))
    busy = Fault("another worker is at it", "busy")
    planted = {3: [busy, busy], 1: [busy] * 5}
    engine = Shuffled(1, 0, planted)
    ends = ends_of(engine)
    assert sorted(at for at, _ in ends) == [0, 1, 2, 3, 4]
    assert all(isinstance(outcome, Done) for _, outcome in ends)
    assert ends[-1][0] == 1
    assert waited


def test_this_process_does_jobs_in_their_order():
    order = []
    engine = Here(lambda task: order.append(task.at) or done(task))
    assert [at for at, _ in ends_of(engine)] == order == [0, 1, 2, 3, 4]


def test_a_job_whose_worker_died_is_handed_in_again_and_its_next_outcome_counts():
    told = []
    ends = dict(ends_of(Shuffled(100, 0, {0: [LOST, LOST], 4: [LOST]}), told=told))
    assert all(isinstance(one, Done) for one in ends.values())
    assert sorted(told) == [(0, "worker lost"), (0, "worker lost"), (4, "worker lost")]


def test_a_job_that_kills_every_worker_is_given_up_and_the_others_go_on():
    told = []
    engine = Shuffled(100, 0, {0: [LOST] * (RETRIES + 5)})
    ends = dict(ends_of(engine, told=told))
    assert ends.pop(0) == LOST
    assert engine.handed.count(0) == 1 + RETRIES == 1 + len(told)
    assert sorted(ends) == [1, 2, 3, 4]
    assert all(isinstance(one, Done) for one in ends.values())


def test_a_job_that_another_process_is_at_comes_after_the_others(monkeypatch):
    paused = []
    monkeypatch.setattr("pipeline.sweep.engines.pause", lambda: paused.append(1))
    busy = Fault("another worker is at it", "busy")
    engine = Shuffled(1, 0, {0: [busy] * 3, 3: [busy]})
    ends = ends_of(engine)
    assert all(isinstance(one, Done) for _, one in ends)
    assert sorted(at for at, _ in ends) == [0, 1, 2, 3, 4]
    assert engine.handed.count(0) == 4
    assert len(paused) <= 3


def test_a_mistake_is_not_tried_again_and_who_is_compared_with_it_still_runs():
    engine = Shuffled(1, 0, {0: [Fault("no such luck", "mistake")]})
    ends = dict(ends_of(engine))
    assert ends[0].kind == "mistake"
    assert engine.handed == [0, 1, 2, 3, 4]


def test_a_job_that_cannot_be_begun_costs_no_other():
    def begin(at):
        if at == 3:
            raise BadInput("no store")
        return Task(at, "", None, (), "")

    engine = Shuffled(2, 0)
    ends = dict(ends_of(engine, begin))
    assert ends[3] == Fault("no store", "mistake")
    assert sorted(engine.handed) == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("kind", "package"), [(RAY, "ray"), (LOCAL, "submitit"), (SLURM, "submitit")]
)
def test_a_launcher_without_its_package_says_what_to_install(kind, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    settings = {"ray": {"init": {}, "remote": {}}, "submitit_folder": "x"}
    with (
        pytest.raises(BadInput, match=rf"hydra/launcher={kind}: needs {package}; pip install"),
        engine_of(Launcher(kind, settings), done, 1),
    ):
        pass
