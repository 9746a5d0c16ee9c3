"""Long work tells how far it is: in a log now and then, and only where somebody asked."""

import io
import re
import time

import pytest
import torch

from pipeline.parallel import share_out
from pipeline.progress import Progress, progress, telling


def slowly(number):
    time.sleep(0.05)
    return number


def lines_of(jobs, every, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    monkeypatch.setattr("pipeline.progress.MINUTE", every)
    with telling("theft"):
        found = share_out(slowly, [(number,) for number in range(jobs)])
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
    done = [int(re.fullmatch(r"theft: (\d+) of \d+ jobs, \d+ s", line)[1]) for line in lines]
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
        from concurrent.futures import Future

        one, two = Future(), Future()
        counted.watch(one)
        counted.watch(two)
        one.set_result(1)
        time.sleep(0.2)
    assert "attack" in out.getvalue()
    assert "1/2" in out.getvalue()
