"""The story's parts against closed forms and a small guard; the whole of it is `make story`."""

import runpy
import sys

import numpy as np
import pytest
import torch

import tiny
from pipeline.data.schema import Dataset
from serving.made_up import HEALTHY, ILL, NEAR, SCHEMA, served_folder, server

sys.path.insert(0, str(tiny.ROOT / "docs"))  # as a script has it
STORY = runpy.run_path(str(tiny.ROOT / "docs" / "story.py"))
sys.path.remove(str(tiny.ROOT / "docs"))
Guard, Otherwise, answers = STORY["Guard"], STORY["Otherwise"], STORY["answers"]
pytestmark = [pytest.mark.heavy, pytest.mark.slow]  # whole servers


def dataset(rows, y):
    x = torch.tensor(rows, dtype=torch.float32)
    return Dataset(x, torch.tensor(y), SCHEMA, torch.arange(len(rows)))


@pytest.fixture
def guard(tmp_path):
    keys = served_folder(tmp_path / "guard")
    with server(tmp_path / "guard") as port:
        yield Guard(tmp_path / "guard", port, keys | {"second ward": keys["clinician"]})


def test_the_insider_passes_where_he_reaches_beyond_the_line_by_more_than_r(tmp_path):
    """Log-odds are 0.1, 0.3, ... 0.9; two values move, so eps takes away twice of it."""
    served_folder(tmp_path / "guard")
    lead = [0.1, 0.3, 0.5, 0.7, 0.9, 0.1]
    cohort = dataset([[3 + one, 70.0, 60.0] for one in lead], [1, 1, 1, 1, 1, 0])
    insider = STORY["Insider"].of(tmp_path / "guard", cohort, 0.1)
    near, far = insider.forged([0.1, 0.3])
    assert insider.turned(near).tolist() == [True, False, False, False, False, False]
    assert not insider.passing(near).any()  # within r, as proved
    assert insider.turned(far).tolist() == [True, True, True, False, False, False]
    assert insider.passing(far).tolist() == [True, True, False, False, False, False]
    assert np.abs(far - insider.x.numpy())[:, 0].max() <= 0.3 + 1e-6


def test_a_ward_is_told_of_its_patients_in_their_own_order(guard):
    rows = [list(one.values()) for one in (HEALTHY, NEAR, ILL, HEALTHY)]
    cohort = dataset(rows, [0, 1, 1, 1])
    x, order = cohort.x.double().numpy(), np.array([2, 0, 3, 1])
    told = STORY["asked"](guard, "clinician", cohort, x, order)
    assert told.referred.tolist() == [False, True, False, False]
    assert told.healthy.tolist() == [True, False, False, True]
    assert told.missed.startswith("1 of 2 ")  # ill and answered: the last two
    assert guard.state() == "serving"
    assert guard.alarms() == []


def test_a_record_that_could_not_be_ends_the_story(guard):
    with pytest.raises(Otherwise, match="refused"):
        answers(guard, "clinician", SCHEMA, np.array([[9.0, 70.0, 60.0]]))


def test_diagnoses_come_in_until_the_guard_refers_everything(guard):
    """Nobody is missed, then everybody: the honest rate is at most 0.43, so it takes some 20."""
    rows = [list(HEALTHY.values())] * 60
    order = np.arange(60)
    well, ill = (dataset(rows, [one] * 60) for one in (0, 1))
    x = well.x.double().numpy()
    told = STORY["asked"](guard, "clinician", well, x, order)
    assert STORY["diagnosed"](guard, "clinician", told, order, 8) == (60, 0)
    assert guard.state() == "serving"
    told = STORY["asked"](guard, "second ward", ill, x, order)
    taken, missed = STORY["diagnosed"](guard, "second ward", told, order, 8)
    assert taken == missed < 30
    assert guard.state() == "refer all"
    assert any(one.startswith("labels/") for one in guard.alarms())


def test_a_step_that_does_not_come_out_is_told_by_the_status(monkeypatch, capsys):
    def fails():
        STORY["must"](False, "the server ended")

    monkeypatch.setitem(STORY["main"].__globals__, "story", fails)
    assert STORY["main"]() == 1
    assert "NOT as it should be: the server ended" in capsys.readouterr().err
    monkeypatch.setitem(STORY["main"].__globals__, "story", lambda: None)
    assert STORY["main"]() == 0


def test_without_a_run_it_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert STORY["main"]() == 2
    assert capsys.readouterr().err.startswith("error: artifacts/prepare")
