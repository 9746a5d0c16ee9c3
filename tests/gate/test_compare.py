"""The commands: nothing worse 0, worse 1, a mistake 2; what is kept is for the team alone."""

import json

import pandas as pd
import pytest

import tiny
from gate.made_up import written
from pipeline.api.verbs import run_verb
from pipeline.data.schema import save_dataset
from pipeline.gate.salt import PLACE, VARIABLE
from tiny import ROOT

pytestmark = pytest.mark.heavy
COHORT = tiny.records(60, seed=9)


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for name, value in (("before", 0.80), ("worse", 0.60), ("same", 0.81)):
        written(tmp_path / name, values={"good": value})
    return tmp_path


@pytest.mark.parametrize(("later", "status"), [("same", 0), ("worse", 1)])
def test_the_status_says_whether_anything_is_worse(pair, later, status, capsys):
    call = ["compare", str(pair / "before"), str(pair / later), "--defense", "good"]
    assert run_verb([*call, "--json", str(pair / "x.json"), "gate.looks=2"]) == status
    said = capsys.readouterr().out
    told = json.loads((pair / "x.json").read_text())
    assert ("worse" in said) == bool(status)
    assert "one of 2 planned looks" in said
    assert (len(told["figures"]), told["looks"], told["patients"]) == (2, 2, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["before", "nowhere"], "not found"),
        (["before", "same", "--defense", "god"], "did you mean 'good'"),
        (["before", "same", "--before", "god"], "did you mean 'good'"),
        (["before", "same", "gate.looks=0"], "gate.looks"),
        (["before", "same", "seed=1"], "only gate="),
    ],
)
def test_a_mistake_is_status_2(pair, capsys, arguments, said):
    first, second, *rest = arguments
    options = [] if "--defense" in rest else ["--defense", "good"]
    call = ["compare", str(pair / first), str(pair / second), *options, *rest]
    assert run_verb(call) == 2
    assert said in capsys.readouterr().err


def test_two_kept_audits_of_the_same_patients_are_paired(tmp_path, monkeypatch, capsys):
    """What is kept is enough: neither records nor tables lie beside it."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    prepared = tmp_path / "artifacts" / "prepare"
    prepared.mkdir(parents=True)
    save_dataset(COHORT, prepared)
    place = tmp_path / "artifacts" / "evaluate"
    for name, wrong in (("first", 20), ("second", 30)):
        audit = written(place, tables=False, values={"good": 1 - wrong / 60})
        told = dict(audit.content)
        told["audited"]["threats"]["headline"] = "clinical"
        told["audited"]["cohort"] |= {
            "sha256": COHORT.digest,
            "measurements": list(COHORT.schema.names),
        }
        (place / "audit.json").write_text(json.dumps(told))
        (place / "verdicts").mkdir(exist_ok=True)
        rows = {"threat": "clinical", "patient": range(60), "y": 1, "margin": 1.0}
        breaks = [0.2 if n < wrong else 0.5 for n in range(60)]
        table = pd.DataFrame(rows).assign(breaks_at=breaks)
        table.to_parquet(place / "verdicts" / "good.parquet")
        assert run_verb(["keep", f"kept/{name}"]) == 0
    assert sorted(path.name for path in (tmp_path / "kept/first").iterdir()) == [
        ".gitignore",
        "audit.json",
        "keyed.json",
    ]
    assert (tmp_path / PLACE / "salt").exists()
    capsys.readouterr()
    assert run_verb(["compare", "kept/first", "kept/second", "--defense", "good"]) == 1
    said = capsys.readouterr().out
    assert "paired, 60 patients of both" in said
    assert run_verb(["keep", "kept/first"]) == 2
    (prepared / "records.parquet").unlink()
    save_dataset(tiny.records(60, seed=10), prepared)
    assert run_verb(["keep", "kept/third"]) == 2
    assert "of other records" in capsys.readouterr().err


def test_in_a_sector_what_is_said_is_in_its_words(pair, capsys):
    for name in ("before", "worse"):
        told = json.loads((pair / name / "audit.json").read_text())
        told["audited"]["cohort"]["words"] = {
            "patients": "lots",
            "missed diagnoses": "missed faults",
        }
        (pair / name / "audit.json").write_text(json.dumps(told))
    run_verb(["compare", str(pair / "before"), str(pair / "worse"), "--defense", "good"])
    said = capsys.readouterr().out
    assert "the same lots" in said
    assert "evasion/missed_faults: " in said
    assert "patient" not in said
