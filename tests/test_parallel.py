"""Work beside this process: the same results, and no process has more threads than it may."""

import io
import os
import re
import subprocess
import sys
import time
from concurrent.futures import Future

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from elsewhere import python_at
from pipeline.files import BadInput
from pipeline.parallel import (
    RAY,
    Inline,
    Progress,
    Tasks,
    in_turn,
    progress,
    share_out,
    telling,
    use_backend,
    workers,
)
from tiny import ROOT


def here(number):
    return number, os.getpid(), torch.get_num_threads()


def blas(_=0):
    """The threads of the libraries beneath NumPy."""
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


def slow_process(_):
    time.sleep(0.05)
    return os.getpid()


def fail():
    raise ValueError("what went wrong")


def test_one_thread_works_inline():
    with workers() as pool:
        assert isinstance(pool, Inline)
        assert pool.submit(here, 3).result() == (3, os.getpid(), 1)


def test_more_threads_are_more_processes_of_one_thread_each(two_threads):
    with workers() as pool:
        results = [pool.submit(here, number).result() for number in range(4)]
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    assert [number for number, _, _ in results] == list(range(4))
    assert len({process for _, process, _ in results} - {os.getpid()}) == 1
    assert {threads for _, _, threads in results} == {1}


def test_numpy_computes_on_one_thread_too_and_gets_its_own_back(two_threads):
    with threadpool_limits(2, user_api="blas"):
        assert share_out(blas, [(number,) for number in range(6)]) == [{1}] * 6
        assert blas() == {2}


def test_numpy_computes_on_one_thread_inline_too():
    """Sums of float32 end in other digits with more threads: results must not depend on them."""
    with threadpool_limits(2, user_api="blas"):
        assert share_out(blas, [(0,)]) == [{1}]
        assert blas() == {2}


def test_who_only_waits_has_a_process_for_every_thread(two_threads):
    with workers(beside=False) as pool:
        waiting = [pool.submit(slow_process, number) for number in range(8)]
        assert len({one.result() for one in waiting} - {os.getpid()}) == 2


def hand_out_and_fail(folder):
    with workers(beside=False) as pool:
        for number in range(100):
            pool.submit(slowly, folder, number)
        fail()


def test_after_a_failure_of_the_caller_no_job_is_begun(two_threads, tmp_path):
    with pytest.raises(ValueError, match="what went wrong"):
        hand_out_and_fail(tmp_path)
    assert len(list(tmp_path.iterdir())) < 50


def total(tensor):
    return tensor.sum()


def test_tensors_stay_where_they_are_while_copies_travel(two_threads):
    """A queue of torch's own moves their memory, beneath whoever computes with them."""
    tensor = torch.arange(1_000_000.0)
    place = tensor.data_ptr()
    with workers(beside=False) as pool:
        waiting = [pool.submit(total, tensor) for _ in range(8)]
        tensor[:] = 0  # what was handed in is what counts
        assert [one.result() for one in waiting] == [torch.arange(1_000_000.0).sum()] * 8
    assert tensor.data_ptr() == place
    assert not tensor.is_shared()


def test_an_error_comes_back_and_the_threads_too(two_threads):
    with pytest.raises(ValueError, match="what went wrong"), workers() as pool:
        pool.submit(fail).result()
    assert torch.get_num_threads() == 2


def test_an_error_inline_comes_at_once():
    with pytest.raises(ValueError, match="what went wrong"):
        Inline().submit(fail)


def note(folder, number):
    if number < 0:
        fail()
    (folder / f"{number}").write_text(str(os.getpid()))


def test_jobs_are_done_once_here_and_there(two_threads, tmp_path):
    share_out(note, [(tmp_path, number) for number in range(12)])
    doers = [(tmp_path / f"{number}").read_text() for number in range(12)]
    assert len(set(doers)) <= 2
    share_out(note, [])


@pytest.mark.parametrize("wrong", [0, 5])
def test_what_goes_wrong_in_a_job_is_heard_of(two_threads, tmp_path, wrong):
    with pytest.raises(ValueError, match="what went wrong"):
        share_out(note, [(tmp_path, -1 if number == wrong else number) for number in range(6)])


def slowly(folder, number):
    time.sleep(0.02)
    note(folder, number)


def test_after_a_failure_no_job_is_begun(two_threads, tmp_path):
    with pytest.raises(ValueError, match="what went wrong"):
        share_out(slowly, [(tmp_path, number if number else -1) for number in range(100)])
    assert len(list(tmp_path.iterdir())) < 50


def test_shared_work_returns_in_the_order_of_the_jobs(two_threads):
    found = share_out(here, [(number,) for number in range(8)])
    assert [number for number, _, _ in found] == list(range(8))
    assert {threads for _, _, threads in found} == {1}


# ---- how far it is ----


def at_leisure(number):
    time.sleep(0.05)
    return number


def lines_of(jobs, every, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    monkeypatch.setattr("pipeline.parallel.MINUTE", every)
    with telling("theft"):
        found = share_out(at_leisure, [(number,) for number in range(jobs)])
    assert found == list(range(jobs))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_log_gets_a_plain_line_now_and_then(monkeypatch, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        lines = lines_of(12, 0.06, monkeypatch)
    finally:
        torch.set_num_threads(before)
    ahead = r" of \d+" if threads > 1 else ""  # in turn nobody knows how many there will be
    told = [re.fullmatch(rf"theft: (\d+)({ahead})? jobs, \d+ s", line) for line in lines]
    done = [int(one[1]) for one in told]
    assert done
    assert done == sorted(done)
    assert done[-1] <= 12


def test_short_work_says_nothing(monkeypatch):
    assert lines_of(3, 60.0, monkeypatch) == []


def test_nobody_is_told_where_nobody_asked():
    with progress() as counted:
        assert counted is None


def test_work_within_work_is_told_of_once():
    with telling("attack"):
        with progress(io.StringIO(), 60) as outer:
            with progress() as inner:
                assert inner is None
            assert isinstance(outer, Progress)
        with progress(io.StringIO(), 60) as again:
            assert isinstance(again, Progress)
    with progress() as after:
        assert after is None


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_the_name():
    out = Terminal()
    with telling("attack"), progress(out, 0.02) as counted:
        one, two = Future(), Future()
        counted.watch(one)
        counted.watch(two)
        one.set_result(1)
        time.sleep(0.2)
    assert "attack" in out.getvalue()
    assert "1/2" in out.getvalue()


# ---- one after another, few at a time ----


def made(noted, count):
    for number in range(count):
        noted.append(number)
        yield (number,)


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 4)])
def test_jobs_are_made_as_they_are_handed_out(threads, ahead):
    """Of work that is cut into blocks, few blocks are held."""
    noted, before = [], torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for done, found in enumerate(in_turn(here, made(noted, 12)), start=1):
            assert found[0] == done - 1
            assert len(noted) - done < ahead
    finally:
        torch.set_num_threads(before)
    assert noted == list(range(12))


def test_whoever_stops_taking_stops_the_work(two_threads, tmp_path):
    for _ in in_turn(slowly, [(tmp_path, number) for number in range(100)]):
        break
    assert len(list(tmp_path.iterdir())) < 20


# ---- by Ray ----


@pytest.fixture
def by_ray():
    pytest.importorskip("ray", reason="Ray is an extra: docs/scale.md")
    use_backend(RAY)
    yield
    use_backend("processes")


def number_of(tensor, number):
    return tensor.sum() + number, os.getpid(), torch.get_num_threads()


def dies_once(folder):
    """The worker ends as one does that is killed; the second one finds the mark."""
    if not (folder / "mark").exists():
        (folder / "mark").touch()
        os._exit(1)
    return "done"


@pytest.mark.slow
def test_tasks_of_ray_are_the_same_work(by_ray, two_threads, tmp_path):
    tensor = torch.arange(10.0)
    found = share_out(number_of, [(tensor, number) for number in range(6)])
    assert [float(one) for one, _, _ in found] == [45.0 + number for number in range(6)]
    assert os.getpid() not in {process for _, process, _ in found}
    assert {threads for _, _, threads in found} == {1}
    assert [one[0] for one in in_turn(here, made([], 9))] == list(range(9))
    with workers(beside=False) as pool:
        assert isinstance(pool, Tasks)
        assert pool.submit(here, 3).result()[0] == 3
    with pytest.raises(BadInput, match="what went wrong"):  # as it is, not wrapped by Ray
        share_out(refuse, [()])
    assert share_out(dies_once, [(tmp_path,)]) == ["done"]


def refuse():
    raise BadInput("what went wrong")


HELD = """
import pathlib, sys, psutil, torch, test_parallel
from pipeline.parallel import share_out, use_backend

torch.set_num_threads(2)
use_backend("ray")
assert share_out(test_parallel.dies_once, [(pathlib.Path(sys.argv[1]),)]) == ["done"]
assert share_out(test_parallel.executable, [()]) == [sys.executable]
own = psutil.Process()
heard = [one for all in (own, *own.children(recursive=True)) for one in all.net_connections("inet")]
print({one.laddr.ip.removeprefix("::ffff:") for one in heard if one.status == "LISTEN"})
"""


def executable():
    return sys.executable


@pytest.mark.slow
def test_tasks_of_ray_work_in_a_path_with_a_blank_and_nobody_else_can_connect(tmp_path):
    """As in a stage, where nobody imported Ray before."""
    pytest.importorskip("ray", reason="Ray is an extra: docs/scale.md")
    path = os.pathsep.join(map(str, [ROOT, ROOT / "tests"]))
    said = subprocess.run(
        [python_at(tmp_path), "-c", HELD, tmp_path],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert said.stdout.splitlines()[-1:] == ["{'127.0.0.1'}"], said.stderr  # Ray tells of the death
