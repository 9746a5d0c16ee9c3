"""Verdicts under keys: they add up to the figures, and say nothing of whom without the salt."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch

import tiny
from gate.made_up import content
from pipeline.files import BadInput
from pipeline.gate.audits import Audit
from pipeline.gate.keyed import FILE, Keyed, keep, keyed_text, keys_of, salt_digest

SALT, OTHER = b"s" * 32, b"t" * 32
NAMES = ["a", "b", "c", "d", "e"]
COHORT = tiny.records(40, seed=5, missing=0.1)


def test_a_key_is_of_a_record_and_a_salt():
    keys = keys_of(COHORT, NAMES, SALT)
    assert len(set(keys)) == 40
    assert keys == keys_of(COHORT, NAMES, SALT)
    assert not set(keys) & set(keys_of(COHORT, NAMES, OTHER))
    shuffled = replace(COHORT, x=COHORT.x.flip(0), y=COHORT.y.flip(0))
    assert keys_of(shuffled, NAMES, SALT) == keys[::-1]  # whoever stands where
    x = COHORT.x.clone()
    x[0, 0] = 1.0 + torch.nan_to_num(x[0, 0])
    assert keys_of(replace(COHORT, x=x), NAMES, SALT)[1:] == keys[1:]
    assert keys_of(replace(COHORT, x=x), NAMES, SALT)[0] != keys[0]


def test_equal_records_have_no_key():
    x = COHORT.x.clone()
    x[3] = x[7]
    keys = keys_of(replace(COHORT, x=x), NAMES, SALT)
    assert [place for place, key in enumerate(keys) if not key] == [3, 7]


def audit_of(folder, right, y, half=0.05):
    """An audit whose figures are those of such answers under attack at eps 0.3."""
    told = content({"good": float(right.mean())}, half)
    told["audited"]["threats"]["headline"] = "clinical"
    missed = "missed diagnoses under attack, eps 0.3"
    line = {**told["figures"][0], "figure": missed, "good": "low"}
    told["figures"].append({**line, "value": float(1 - right[y == 1].mean())})
    folder.mkdir(parents=True)
    (folder / "audit.json").write_text(json.dumps(told))
    (folder / "verdicts").mkdir()
    place = pd.RangeIndex(len(y))
    breaks = [0.31 if one else 0.30000001 for one in right]
    rows = pd.DataFrame({"threat": "clinical", "patient": place, "y": y, "margin": 1.0})
    rows = rows.assign(breaks_at=breaks)
    other = rows.assign(threat="sparse", breaks_at=0.0)
    pd.concat([rows, other]).to_parquet(folder / "verdicts" / "good.parquet")
    return Audit.read(folder)


@pytest.fixture
def audit(tmp_path):
    right = torch.arange(40).numpy() % 4 > 0
    return audit_of(tmp_path / "audit", right, COHORT.y.numpy())


def test_verdicts_add_up_to_the_figures(audit, tmp_path):
    text = keyed_text(audit, COHORT, NAMES, SALT)
    assert text == keyed_text(audit, COHORT, NAMES, SALT)
    keep(audit, text, tmp_path / "kept")
    told = Keyed.beside(Audit.read(tmp_path / "kept")).verdicts["good"]
    assert len(told["right_answers_under_attack"]) == 40
    assert len(told["missed_diagnoses_under_attack"]) == int(COHORT.y.sum())
    for line in audit.content["figures"]:
        for name, values in told.items():
            if line["figure"].startswith(name.replace("_", " ")):
                assert sum(values.values()) / len(values) == pytest.approx(line["value"])


def test_what_does_not_add_up_is_not_kept(audit):
    for line in audit.content["figures"]:
        line["value"] += 0.01
    with pytest.raises(BadInput, match="add up"):
        keyed_text(audit, COHORT, NAMES, SALT)


def test_neither_salt_nor_record_nor_order_is_in_it(audit):
    text = keyed_text(audit, COHORT, NAMES, SALT)
    assert SALT.decode() not in text
    told = json.loads(text)["verdicts"]["good"]["right_answers_under_attack"]
    assert list(told) == sorted(told)  # by key, not as in the file of the cohort
    assert list(told) != keys_of(COHORT, NAMES, SALT)
    assert salt_digest(SALT) != salt_digest(OTHER)


def test_several_records_of_a_patient_are_refused(audit):
    same = replace(COHORT, patient=torch.arange(40) // 2)
    with pytest.raises(BadInput, match="several records"):
        keyed_text(audit, same, NAMES, SALT)


def test_verdicts_of_another_audit_are_refused(audit, tmp_path):
    keep(audit, keyed_text(audit, COHORT, NAMES, SALT), tmp_path / "kept")
    assert (tmp_path / "kept" / ".gitignore").read_text() == f"{FILE}\n"
    path = tmp_path / "kept" / "audit.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(BadInput, match="not of the audit"):
        Keyed.beside(Audit.read(path))
    assert Keyed.beside(audit) is None
    with pytest.raises(BadInput, match="nothing is overwritten"):
        keep(audit, "", tmp_path / "kept")
