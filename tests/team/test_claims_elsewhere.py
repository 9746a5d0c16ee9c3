"""Two machines that share a tracking server alone: a key is one worker's there as well."""

from uuid import uuid4

import pytest

import holding
from pipeline.sweep import claims
from pipeline.sweep.claims import attempt, boards
from pipeline.tracking.board import EXPERIMENT, ServerBoard

HOLDER = """
import sys, time
from pipeline.sweep.claims import attempt, boards
print("held" if attempt(sys.argv[1], boards()) else "refused", flush=True)
time.sleep(120)
"""


@pytest.fixture
def key():
    """One that no killed worker of another test left a note of."""
    return uuid4().hex * 2


@pytest.fixture
def elsewhere(told, key):
    """Starts a worker with a folder of its own, which is all that tells a machine from this one."""
    with holding.workers() as start:
        yield lambda root: start(HOLDER, key, {**told, "DVC_ROOT": str(root)})


def notes(servers, key):
    asked = (
        "select count(*) from runs r join experiments e on r.experiment_id = e.experiment_id "
        "join tags t on t.run_uuid = r.run_uuid and t.key = 'claim' "
        f"where e.name = '{EXPERIMENT}' and r.lifecycle_stage = 'active' and t.value = '{key}'"
    )
    return servers.database.ask(asked)[0][0]


def test_a_key_is_one_workers_though_no_folder_is_shared(servers, elsewhere, tmp_path, key):
    with attempt(key, boards()) as mine:
        assert mine.held()
        assert notes(servers, key) == 1
        assert elsewhere(tmp_path / "a")[1] == "refused"
    assert notes(servers, key) == 0
    assert elsewhere(tmp_path / "b")[1] == "held"
    assert attempt(key, boards()) is None


def test_a_killed_worker_is_followed_at_once_in_its_folder_and_after_a_while_elsewhere(
    servers, elsewhere, tmp_path, key
):
    process, said = elsewhere(tmp_path / "a")
    assert said == "held"
    process.kill()
    process.wait()
    watcher = ServerBoard("another machine", dead=1.0)
    assert watcher.others(key)
    again, said = elsewhere(tmp_path / "a")
    assert said == "held"
    assert watcher.others(key)
    again.kill()
    again.wait()
    while watcher.others(key):
        claims.pause()
    assert notes(servers, key) == 0
