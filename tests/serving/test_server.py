"""Several worker processes on one log, as `python -m pipeline.serving` starts them."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from threading import Event

import pytest

import tiny
from pipeline.files import BadInput
from pipeline.serving.console import faults, rows_of
from pipeline.serving.journal import facts_of
from pipeline.serving.server import run_server
from serving.made_up import HEALTHY, ILL, NEAR, call, free_port, served_folder

pytestmark = pytest.mark.heavy
LIFETIME, UP_S = 40, 60
MANY = range(40)  # requests, each of a connection of its own: so many reach both workers
ROLES = {
    "clinician": {"answers": "decision"},
    "researcher": {"answers": "decision", "lifetime": LIFETIME},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Port, keys, folder and supervisor of a guard with two workers."""
    folder, port = tmp_path_factory.mktemp("ward") / "guard", free_port()
    journal = {"records": "encrypted", "retention_days": 1, "head_every": 10}
    changes = {"workers": 2, "port": port, "roles": ROLES, "journal": journal}
    keys = served_folder(folder, now=datetime.now(UTC), **changes)
    with (folder.parent / "said").open("w") as said:
        own = subprocess.Popen(
            [sys.executable, "-m", "pipeline.serving", str(folder)],
            env={**os.environ, "PYTHONPATH": str(tiny.ROOT), "OMP_NUM_THREADS": "1"},
            stderr=said,
            start_new_session=True,
        )
    try:
        both_serve(own.pid, port)
        yield port, keys, folder, own.pid
    finally:
        own.terminate()
        try:
            own.wait(20)
        finally:
            for left in workers(own.pid):
                os.kill(left, signal.SIGKILL)
            own.kill()


def workers(supervisor):
    """Processes of a supervisor that answer; its helper, which tracks resources, is none."""
    found = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    if not found.exists():
        return []
    told = {one: Path(f"/proc/{one}/cmdline") for one in map(int, found.read_text().split())}
    return [
        one for one, said in told.items() if said.exists() and b"spawn_main" in said.read_bytes()
    ]


def gone_from(supervisor, worker):
    """Waits until a worker that was killed is no process any more: on a busy machine it takes."""
    until = time.monotonic() + UP_S
    while worker in workers(supervisor):
        assert time.monotonic() < until, "a killed worker lives on"
        time.sleep(0.05)


def health(port):
    try:
        return call(port, "GET", "/health")[0]
    except (OSError, HTTPException):
        return None


def both_serve(supervisor, port):
    """Waits until each of two workers answers without the other."""
    until = time.monotonic() + UP_S
    while True:
        assert time.monotonic() < until, "two workers do not serve"
        if len(workers(supervisor)) == 2 and health(port) is not None and both_listen(supervisor):
            return
        time.sleep(0.1)


def both_listen(supervisor):
    """Whether each worker waits at the socket that the supervisor opened for them."""
    shared = {one for one in links(supervisor).values() if one.startswith("socket:")}
    return all(listens(one, shared) for one in workers(supervisor))


def listens(worker, shared):
    opened = links(worker)
    waits = [number for number, what in opened.items() if what == "anon_inode:[eventpoll]"]
    for_whom = "".join(read(f"/proc/{worker}/fdinfo/{number}") for number in waits).split("tfd:")
    return any(opened.get(one.split()[0]) in shared for one in for_whom[1:])


def links(process):
    """What a process has open, by number."""
    folder = Path(f"/proc/{process}/fd")
    try:
        return {one.name: os.readlink(one) for one in folder.iterdir()}
    except OSError:
        return {}


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def ask(running, role, record):
    return ask_with(running, running[1][role], record)


def ask_with(running, key, record):
    return call(running[0], "POST", "/v1/predict", key, {"records": [record]})


def until_both(attempt):
    """Repeats what answers many requests until both workers had some: one may take a whole burst.

    Args:
        attempt: by its number; the data keys under which its rows were sealed, one a process.
    """
    until, number = time.monotonic() + UP_S, 0
    while len(attempt(number)) < 2:
        number += 1
        assert time.monotonic() < until, "one worker answers everything"


def asked_rows(folder, client):
    """Rows of a client that were answered or referred, by id."""
    found = (row for row, _ in rows_of(folder, None, None, client, None))
    return {facts_of(row)["id"]: row for row in found if row.kind in ("answered", "referred")}


@pytest.mark.slow
def test_a_budget_is_one_over_all_workers(running):
    port, keys, folder, _ = running

    def attempt(number):
        team = {"client": f"team {number}", "role": "researcher", "days": 1}
        key = call(port, "POST", "/v1/keys", keys["administrator"], team)[1]["token"]
        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda _: ask_with(running, key, ILL), range(2 * LIFETIME)))
        statuses = [status for status, _ in said]
        assert (statuses.count(200), statuses.count(429)) == (LIFETIME, LIFETIME)
        rows = asked_rows(folder, team["client"])
        assert {one["answers"][0]["id"] for status, one in said if status == 200} == set(rows)
        return {row.block for row in rows.values()}

    until_both(attempt)


@pytest.mark.slow
def test_no_answer_is_without_its_row_whenever_a_worker_is_killed(running):
    port, _, folder, supervisor = running
    draw, over, told = random.Random(7), Event(), []

    def client(which):
        while not over.is_set():
            try:
                status, said = ask(running, "clinician", (HEALTHY, ILL, NEAR)[which % 3])
            except (OSError, HTTPException):  # the worker died before all of its answer was out
                continue
            assert status in (200, 503), said
            if status == 200:
                told.append(said["answers"][0]["id"])

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(client, which) for which in range(6)]
        try:
            for _ in range(int(os.environ.get("KILLS", "1"))):
                both_serve(supervisor, port)
                before, number = workers(supervisor), len(told)
                time.sleep(draw.uniform(0.1, 0.5))
                gone = draw.choice(before)
                os.kill(gone, signal.SIGKILL)
                gone_from(supervisor, gone)
                both_serve(supervisor, port)  # its supervisor starts another
                assert len(told) > number
        finally:
            over.set()
        for one in clients:
            one.result()
    assert len(told) == len(set(told)) > 20
    assert set(told) <= set(asked_rows(folder, "clinician"))
    assert faults(folder) == []


@pytest.mark.slow
def test_a_stop_ends_the_answers_of_every_worker(running):
    port, keys, folder, supervisor = running

    def statuses():
        with ThreadPoolExecutor(8) as pool:
            return {
                status for status, _ in pool.map(lambda _: ask(running, "clinician", ILL), MANY)
            }

    earlier = asked_rows(folder, "clinician")

    def attempt(_):
        assert statuses() == {200}
        asked = asked_rows(folder, "clinician")
        return {asked[one].block for one in set(asked) - set(earlier)}

    until_both(attempt)
    before = asked_rows(folder, "clinician")
    stopped = call(port, "POST", "/v1/stop", keys["administrator"], {"reason": "a test"})
    assert (stopped[0], statuses()) == (200, {503})
    os.kill(gone := workers(supervisor)[0], signal.SIGKILL)
    gone_from(supervisor, gone)
    both_serve(supervisor, port)
    assert statuses() == {503}  # of one that was started after it, too
    assert asked_rows(folder, "clinician") == before
    assert faults(folder) == []


def test_an_address_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        served_folder(tmp_path / "guard", port=port)
        with pytest.raises(BadInput, match=f"127.0.0.1:{port}: .*in use"):
            run_server(tmp_path / "guard")


def test_a_folder_that_holds_nothing_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="not found"):
        run_server(tmp_path)
