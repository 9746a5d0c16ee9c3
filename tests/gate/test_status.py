"""The command: current 0, stale 1, a mistake 2."""

import json
from datetime import date

import pytest

from gate.made_up import DIGEST, content
from pipeline.api.verbs import run_verb
from pipeline.config import configuration_sha256, schema_sha256
from pipeline.data.raw import read_raw
from pipeline.gate import status
from pipeline.gate.status import records_there, say_status
from pipeline.params import load
from pipeline.risks import RISKS
from tiny import ROOT

pytestmark = pytest.mark.heavy
PIMA = load(ROOT / "params.yaml")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of an audit of what is configured here."""
    told = content()
    told["audited"] |= {"attacks": PIMA.tried}
    told["audited"]["configuration_sha256"] = configuration_sha256(PIMA)
    told["audited"]["cohort"] |= {"name": "pima", "schema_sha256": schema_sha256(PIMA)}
    told["audited"]["threats"]["names"] = list(PIMA.threat)
    (tmp_path / "audit.json").write_text(json.dumps(told))
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(status, "models_there", lambda audit: {})
    monkeypatch.setattr(status, "records_there", lambda cfg: None)
    return tmp_path


def test_what_is_tried_is_what_is_configured():
    listed = {"membership": "attacks", "poisoning": "attacks", "theft": "strategies"}
    wanted = {name: getattr(PIMA.sections[name], key) for name, key in listed.items()}
    assert PIMA.tried == {"attack": list(PIMA.attack), **wanted}
    assert all(PIMA.tried.values())
    kinds = [risk.settings for risk in RISKS if risk.settings]
    assert all(not kind.tried or kind.tried in kind.model_fields for kind in kinds)


def call(place, *arguments):
    return run_verb(["status", "--audit", str(place), "--defense", "good", *arguments])


def test_an_audit_of_what_is_configured_is_current(place, capsys):
    assert call(place) == 0
    assert call(place, "--sha256", DIGEST) == 0
    said = capsys.readouterr().out
    assert "current" in said
    assert said.count("whether it is the same was not asked") == 1
    assert said.count("whether patients are new was not asked") == 2


def test_a_patient_more_in_the_file_is_a_new_one(place, capsys, monkeypatch):
    """The audited digest is that of the records as prepared; the file is read as it is today."""
    dataset, _ = read_raw(PIMA.data, ROOT)
    told = json.loads((place / "audit.json").read_text())
    told["audited"]["cohort"] |= {"sha256": dataset.digest, "patients": 768}
    (place / "audit.json").write_text(json.dumps(told))
    monkeypatch.setattr(status, "records_there", records_there)
    assert call(place) == 0
    more = place / "pima.csv"
    lines = (ROOT / PIMA.data.file).read_text().splitlines()
    cells = lines[1].split(",")
    cells[-2] = str(int(cells[-2]) + 1)
    more.write_text("\n".join([*lines, ",".join(cells)]) + "\n")
    assert call(place, f"data.file={more}") == 1
    assert "new patients: 769 are in the cohort, 768 were audited" in capsys.readouterr().out


def test_a_cohort_that_is_not_here_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    gone = PIMA.data.model_copy(update={"file": "data/local/gone.csv"})
    assert records_there(PIMA.model_copy(update={"data": gone})) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sha256", DIGEST[::-1]], "other model"),
        (["gate.valid_until=2020-01-01"], "expired"),
        (["data.features.glucose.step=2.0"], "other schema"),
        (["seed=7"], "other configuration"),
    ],
)
def test_a_stale_one_says_why(place, capsys, arguments, said):
    assert call(place, *arguments) == 1
    assert said in capsys.readouterr().out


def test_the_day_counts_as_yaml_has_it(place, capsys):
    asked = ([f"gate.valid_until={day}" for day in ("2027-06-30",)], str(place), None, "good")
    assert say_status(*asked, today=date(2027, 6, 30)) == 0
    assert say_status(*asked, today=date(2027, 7, 1)) == 1
    assert "valid until 2027-06-30" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gate.valid_until=soon"], "such as 2027-06-30"),
        (["data=breast_cancer"], "of the cohort pima"),
        (["--defense", "god"], "was not audited"),
        (["sed=7"], "did you mean 'seed'"),
    ],
)
def test_a_mistake_is_status_2(place, capsys, arguments, said):
    assert call(place, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_limit_and_a_day_change_no_audit(place):
    assert call(place, "gate.unclear=warn", "gate.valid_until=2999-01-01") == 0
