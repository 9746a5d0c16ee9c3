"""A job is one worker's: no order of steps gives it to two, and who is dead holds nothing."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import combinations
from pathlib import Path

import pytest

import holding
import tiny
from pipeline.files import BadInput
from pipeline.sweep import claims
from pipeline.sweep.claims import FolderBoard, attempt, here, wait_for

KEY, OTHER = "a" * 64, "b" * 64
HOLDER = """
import sys, time
from pipeline.sweep.claims import attempt
print("held" if attempt(sys.argv[1]) else "refused", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    yield tmp_path
    for claim in list(claims._held.values()):
        claim.release()


@pytest.fixture
def holder(root):
    """Starts a process that claims a key, and waits for what it says."""
    env = {**os.environ, "PYTHONPATH": str(tiny.ROOT)}
    with holding.workers() as start:
        yield lambda key=KEY, code=HOLDER: start(code, key, env)


@pytest.mark.slow
def test_a_key_is_held_until_it_is_released(holder, root):
    with attempt(KEY) as mine:
        assert mine.held()
        assert holder()[1] == "refused"
        assert holder(OTHER)[1] == "held"
    assert holder()[1] == "held"
    assert attempt(KEY) is None
    left = [note.parent.name for note in (root / "sweeps" / claims.CLAIMS).rglob("*@*")]
    assert sorted(left) == [KEY[:32], OTHER[:32]]


def test_what_is_released_leaves_no_file(root):
    with attempt(KEY):
        pass
    assert not list((root / "sweeps" / claims.CLAIMS).iterdir())


def test_a_claim_inside_a_claim_ends_with_the_outer_one():
    with attempt(KEY) as outer:
        with attempt(KEY) as inner:
            assert inner.held()
        assert outer.held()
        assert here().others(KEY)
    assert not here().others(KEY)


def test_a_killed_worker_holds_nothing(holder):
    process, said = holder()
    assert said == "held"
    assert attempt(KEY) is None
    process.kill()
    process.wait()
    with attempt(KEY) as mine:
        assert mine.held()


def test_a_stopped_worker_still_holds_its_key(holder):
    process, _ = holder()
    process.send_signal(signal.SIGSTOP)
    assert attempt(KEY) is None
    process.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_a_child_that_outlives_a_killed_worker_holds_nothing(holder):
    code = HOLDER.replace("time.sleep(60)", "os.fork(); time.sleep(3)")
    process, _ = holder(code=f"import os\n{code}")
    time.sleep(0.2)
    process.kill()
    process.wait()
    with attempt(KEY) as mine:
        assert mine.held()


@pytest.mark.slow
def test_who_waits_has_it_as_soon_as_the_holder_is_dead(holder, monkeypatch):
    monkeypatch.setattr(claims, "MOMENT", 0.05)
    process, _ = holder()
    threading.Timer(0.3, process.kill).start()
    with wait_for(KEY) as mine:
        assert process.wait() == -signal.SIGKILL
        assert mine.held()


def test_a_note_of_another_machine_counts_until_it_is_not_renewed(monkeypatch, root):
    watch = [0.0]
    monkeypatch.setattr(claims.time, "monotonic", lambda: watch[0])
    board = FolderBoard(root / "notes", dead=10.0)
    monkeypatch.setattr(claims, "machine", lambda: "elsewhere-1")
    note = board.put(KEY)
    os.close(claims._locks.pop(note))  # as where locks do not reach from machine to machine
    monkeypatch.setattr(claims, "machine", lambda: "here-1")
    assert board.others(KEY)
    watch[0] = 9.0
    assert board.others(KEY)
    os.utime(note, ns=(1, 1))  # its clock may say what it likes
    assert board.others(KEY)
    watch[0] = 18.0
    assert board.others(KEY)
    watch[0] = 19.5
    assert not board.others(KEY)
    assert not board.stands(note)


def test_who_was_taken_for_dead_is_told(root):
    with attempt(KEY) as mine:
        ((_, note),) = mine._notes
        Path(note).unlink()
        assert not mine.held()


def test_a_folder_that_cannot_be_written_is_one_line(root):
    (root / "sweeps").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        attempt(KEY)


def test_nothing_is_kept_on_the_first_board_where_the_second_refuses():
    class Full:
        def others(self, *_):
            return True

    assert attempt(KEY, [Full()]) is None
    assert not here().others(KEY)

    class Broken(Full):
        def others(self, *_):
            raise BadInput("no server")

    with pytest.raises(BadInput, match="no server"):
        attempt(KEY, [Broken()])
    assert not here().others(KEY)


class Stepwise:
    """A board that lets one worker at a time do one thing, in the order that it is told."""

    def __init__(self, order):
        self.order, self.notes, self.turn = list(order), [], threading.Condition()

    def seen_by(self, worker):
        board = self

        class Seen:
            def others(self, key, own=""):
                return board.step(worker, lambda: any(note != own for note in board.notes))

            def put(self, key):
                return board.step(worker, lambda: board.notes.append(worker) or worker)

            def drop(self, note):
                board.step(worker, lambda: board.notes.remove(note))

        return Seen()

    def step(self, worker, act):
        with self.turn:
            self.turn.wait_for(lambda: not self.order or self.order[0] == worker, timeout=5)
            done = act()
            if self.order:
                self.order.pop(0)
            self.turn.notify_all()
            return done

    def leave(self, worker):
        """A worker that has ended needs no more turns."""
        with self.turn:
            self.order = [one for one in self.order if one != worker]
            self.turn.notify_all()


def as_a_process():
    """The module once more, as another process has it."""
    spec = importlib.util.spec_from_file_location("claims_elsewhere", claims.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._keep_renewing = lambda: None
    return module


def test_no_order_of_the_steps_of_two_workers_gives_a_key_to_both():
    modules = {name: as_a_process() for name in ("first", "second")}
    winners = []
    for places in combinations(range(8), 4):
        board = Stepwise("first" if at in places else "second" for at in range(8))
        won = []

        def work(name, board=board, won=won):
            modules[name]._held.clear()
            modules[name].here = lambda: board.seen_by(name)
            if modules[name].attempt(KEY):
                won.append(name)
            board.leave(name)

        workers = [threading.Thread(target=work, args=(name,)) for name in modules]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        winners.append(len(won))
    assert len(winners) == 70
    assert max(winners) == 1
    assert winners.count(1) > 20


RACE = """
import os, sys, time
from pathlib import Path
from pipeline.sweep import claims
claims.MOMENT = 0.01
log = Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for job in range(int(sys.argv[3])):
    with claims.wait_for(f"{job:064d}"):
        done = log / str(job)
        if not done.exists():
            with open(log / f"{job}.begun", "a") as file:
                file.write(f"{os.getpid()}\\n")
            time.sleep(0.005)
            done.touch()
"""


@pytest.mark.slow
def test_four_processes_do_each_of_many_jobs_once_though_two_are_killed(root):
    log = root / "log"
    log.mkdir()
    env = {**os.environ, "PYTHONPATH": str(tiny.ROOT)}
    command = [sys.executable, "-c", RACE, "", str(log), "120"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, env=env, **pipes) for _ in range(4)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.close()
    for worker in workers[:2]:
        time.sleep(0.3)
        worker.kill()
    assert [worker.wait(60) for worker in workers] == [-signal.SIGKILL] * 2 + [0, 0]
    for worker in workers:
        worker.stdout.close()
    killed = {str(worker.pid) for worker in workers[:2]}
    for job in range(120):
        assert (log / str(job)).exists()
        *before, last = (log / f"{job}.begun").read_text().split()
        assert set(before) <= killed  # what a killed worker began another one did
        assert len({*before, last}) == len(before) + 1


def test_a_folder_that_goes_while_it_is_made_is_made_again(root, monkeypatch):
    """`mkdir` finds it there, looks whether it is a folder, and the last to leave was faster."""
    made, calls = Path.mkdir, []

    def racing(place, *args, **options):
        calls.append(place)
        if len(calls) == 1:
            raise FileExistsError(17, "File exists", str(place))
        return made(place, *args, **options)

    monkeypatch.setattr(Path, "mkdir", racing)
    with attempt(KEY) as mine:
        assert mine.held()
    assert len(calls) > 1


def test_a_file_in_the_place_of_the_folder_is_one_line(root):
    place = here().place
    place.mkdir(parents=True)
    (place / KEY[:32]).touch()
    with pytest.raises(BadInput, match="is no folder"):
        attempt(KEY)
