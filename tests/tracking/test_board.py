"""Claims in MLflow: seen by whoever asks the same server, and gone with a dead worker."""

import pytest

from pipeline.tracking import board as module
from pipeline.tracking.board import EXPERIMENT, ServerBoard

pytestmark = pytest.mark.heavy
KEY, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def boards(store, monkeypatch):
    """Of two machines, on one watch."""
    watch = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: watch[0])
    mine, theirs = ServerBoard("mine", 10.0), ServerBoard("theirs", 10.0)
    yield mine, theirs, watch
    client = mine._client()
    for note in client.search_runs([mine._experiment]):
        client.delete_run(note.info.run_id)


def test_a_note_is_seen_from_elsewhere_until_it_is_taken_back(boards):
    mine, theirs, _ = boards
    note = mine.put(KEY)
    assert mine.stands(note)
    assert theirs.others(KEY)
    assert not theirs.others(OTHER)
    assert not mine.others(KEY, note)
    mine.drop(note)
    mine.drop(note)
    assert not theirs.others(KEY)
    assert not mine.stands(note)


def test_who_renews_lives_and_who_does_not_is_dead_by_the_watch_of_whoever_looks(boards):
    mine, theirs, watch = boards
    note = mine.put(KEY)
    assert theirs.others(KEY)
    watch[0] = 9.0
    mine.renew(note)
    assert theirs.others(KEY)
    watch[0] = 18.9
    assert theirs.others(KEY)
    assert mine.stands(note)
    watch[0] = 19.0
    assert not theirs.others(KEY)
    assert not mine.stands(note)


def test_what_another_worker_of_the_same_folder_left_is_a_dead_ones(boards):
    """Whoever looks holds the claim of the folder already."""
    mine, _, _ = boards
    left = mine.put(KEY)
    again = ServerBoard("mine", 10.0)
    assert not again.others(KEY)
    assert not again.stands(left)


def test_a_note_says_nothing_of_this_machine(boards, store):
    mine, _, _ = boards
    run = mine._client().get_run(mine.put(KEY))
    told = {**run.data.tags, "name": run.info.run_name}
    assert not any(str(store) in value or "/" in value for value in told.values())
    assert mine._client().get_experiment(run.info.experiment_id).name == EXPERIMENT
    assert run.info.status == "RUNNING"
