"""The story's parts against closed forms and a small guard; the whole of it is `make story`."""

import runpy
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

import tiny
from pipeline.config.serving import ASKING
from pipeline.data.plan import Plan
from pipeline.data.raw import read_raw
from pipeline.data.schema import Dataset, save_schema
from pipeline.data.threat import Threat
from pipeline.defenses.trained import train
from pipeline.gate.rehearsal import rehearsed
from pipeline.kernels import KERNELS
from pipeline.params import configured
from pipeline.serving.keys import Role
from pipeline.serving.model import Model
from pipeline.serving.place import CONSOLE, journal_of
from pipeline.serving.ruling import issued
from pipeline.serving.served import RELEASE, Served
from serving import made_up
from serving.made_up import HEALTHY, ILL, NEAR, SCHEMA, served_folder, server

sys.path.insert(0, str(tiny.ROOT / "docs"))  # as a script has it
STORY = runpy.run_path(str(tiny.ROOT / "docs" / "story.py"))
import story_acts as acts  # noqa: E402
import story_scans  # noqa: E402
from story_guard import Guard, Otherwise, answers  # noqa: E402
from story_insider import Insider  # noqa: E402

sys.path.remove(str(tiny.ROOT / "docs"))
pytestmark = [pytest.mark.heavy, pytest.mark.slow]  # whole servers


def dataset(rows, y):
    x = torch.tensor(rows, dtype=torch.float32)
    return Dataset(x, torch.tensor(y), SCHEMA, torch.arange(len(rows)))


@pytest.fixture
def guard(tmp_path):
    keys = served_folder(tmp_path / "guard")
    with server(tmp_path / "guard") as port:
        keys |= {"second ward": keys["clinician"]}
        yield Guard(tmp_path / "guard", port, tmp_path, keys)


def test_the_insider_passes_where_he_reaches_beyond_the_line_by_more_than_r(tmp_path):
    """Log-odds are 0.1, 0.3, ... 0.9; two values move, so eps takes away twice of it."""
    served_folder(tmp_path / "guard")
    lead = [0.1, 0.3, 0.5, 0.7, 0.9, 0.1]
    cohort = dataset([[3 + one, 70.0, 60.0] for one in lead], [1, 1, 1, 1, 1, 0])
    insider = Insider.of(tmp_path / "guard", cohort, 0.1)
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
    told = acts.asked(guard, "clinician", cohort, x, order)
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
    told = acts.asked(guard, "clinician", well, x, order)
    assert acts.diagnosed(guard, "clinician", told, order, 8) == (60, 0)
    assert guard.state() == "serving"
    told = acts.asked(guard, "second ward", ill, x, order)
    taken, missed = acts.diagnosed(guard, "second ward", told, order, 8)
    assert taken == missed < 30
    assert guard.state() == "refer all"
    assert any(one.startswith("labels/") for one in guard.alarms())


def test_a_step_that_does_not_come_out_is_told_by_the_status(monkeypatch, capsys):
    told = []

    def fails(name):
        told.append(name)
        acts.must(name != "scans", "the server ended")

    monkeypatch.setitem(STORY["main"].__globals__, "story", fails)
    assert STORY["main"](["records"]) == 0
    assert STORY["main"]([]) == 1
    assert told == ["records", "records", "scans"]
    assert "NOT as it should be: the server ended" in capsys.readouterr().err


def test_without_a_run_it_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert STORY["main"]([]) == 2
    assert capsys.readouterr().err.startswith("error: artifacts/prepare")
    assert STORY["main"](["tables"]) == 2
    assert "records or scans" in capsys.readouterr().err


# ---- scans ----


def test_no_scan_is_in_two_parts_and_none_loses_a_grey_level():
    parts = story_scans.archive()
    images = np.concatenate([parts[f"{one}_images"] for one in story_scans.PARTS])
    held = {one.tobytes() for one in images}
    assert len(held) == len(images) == sum(map(sum, story_scans.PARTS.values()))
    assert sorted(set(images.flatten().tolist())) == [round(255 * one / 16) for one in range(17)]
    for part, (ill, healthy) in story_scans.PARTS.items():
        labels = parts[f"{part}_labels"]
        assert (int(labels.sum()), len(labels)) == (ill, ill + healthy)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A guard in front of a CNN of the story's, trained for seconds, and its case."""
    place = tmp_path_factory.mktemp("a ward")
    project = story_scans.founded(place / "scans")
    cfg = configured(["train.epochs=8", "threads=1"], project / "conf")
    every, _ = read_raw(cfg.data, project)
    plan = Plan.of(every, cfg.plan, cfg.seed)
    models = train("baseline", every, plan, cfg)
    tested = plan.held_out.any(0)
    few = tested & (torch.cumsum(tested & (every.y == 0), 0) <= 30)
    few &= torch.cumsum(tested & (every.y == 1), 0) <= 100
    unlimited = {role: {"answers": "rounded"} for role in ASKING}
    rules = made_up.policy(r=4.0, alarm_r=4.0, near=2.0, roles=unlimited)
    threat = cfg.threat["pixels"]
    plan = replace(plan, held_out=plan.held_out & few)
    rates = rehearsed(models, every, plan, Threat.of(every.schema, threat), rules)
    now = datetime.now(UTC)
    keys = served_folder(place / "guard", now=now)
    release = models.release()
    release.save(place / "guard" / RELEASE)
    save_schema(every.schema, place / "guard" / RELEASE)
    said = Served.load(place / "guard")
    changes = {"release_sha256": release.digest, "policy": rules, "threat": threat}
    replace(said, honest=rates.saved(), **changes).save(place / "guard")
    with journal_of(place / "guard") as journal:
        for ward in acts.WARDS:
            keys[ward] = issued(journal, ward, Role.CLINICIAN, days=1, by=CONSOLE, now=now)[1]
    case = story_scans.case_of(project, Dataset(every.x[few], every.y[few], every.schema))
    with server(place / "guard") as port:
        yield Guard(place / "guard", port, project, keys), case, place


def test_scans_are_forged_noticed_stopped_and_replayed(scans, capsys, monkeypatch):
    """Every act but the harder model's fails by itself if a step does not come out."""
    guard, case, place = scans
    order = np.random.default_rng(0).permutation(len(case.dataset.y))
    plain = acts.honest(guard, case, order)
    kept = acts.attack(guard, case, order, plain)
    assert [len(forged) for _, forged in kept] == [len(order)] * 3
    told = capsys.readouterr().out
    assert "Answered so: 0; all are referred, as proved." in told
    assert "By policy the guard now refers everything to people." in told
    for name in KERNELS:  # a shell knows nothing of what this process has chosen
        monkeypatch.delenv(name, raising=False)
    acts.stopped(guard, case, place)
    assert f"{len(order)} the same to the last bit" in capsys.readouterr().out


def test_whoever_turns_an_answer_within_the_near_radius_is_heard_as_near(scans):
    """The honest scan is the counterexample: nothing is proved of the forged one out to there."""
    guard, case, _ = scans
    insider = Insider.of(guard.folder, case.dataset, case.r)
    asked = Model.of(guard.folder).asked
    (forged,) = insider.forged([2 * case.r])
    where = insider.turned(forged)
    said = asked.said(forged[where])
    assert said
    assert all(one.near for one in said if not one.reason)
