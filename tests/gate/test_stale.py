"""Each reason is found alone, and none where nothing has changed."""

from dataclasses import replace
from datetime import date

import pytest

from gate.made_up import DIGEST, content, written
from pipeline.gate.audits import Audit
from pipeline.gate.stale import NOT_SAID, Present, reasons

NOW = Present({"attack": ["fgsm"], "theft": ["active"]}, ["clinical"], "s", "c", {"good": DIGEST})
DAY = date(2027, 6, 30)


@pytest.fixture
def audit(tmp_path):
    """An audit that says all that it can."""
    told = content()
    told["audited"] |= {"attacks": {"attack": ["fgsm"], "theft": ["active"]}}
    told["audited"]["configuration_sha256"] = "c"
    told["audited"]["cohort"]["schema_sha256"] = "s"
    return Audit(tmp_path / "audit.json", told)


def test_nothing_has_changed(audit):
    assert reasons(audit, NOW, None, DAY) == []
    assert reasons(audit, replace(NOW, models={}), None, DAY) == []


@pytest.mark.parametrize(("until", "expired"), [("2027-06-30", False), ("2027-06-29", True)])
def test_it_is_valid_on_its_last_day(audit, until, expired):
    assert any("expired" in one for one in reasons(audit, NOW, until, DAY)) == expired


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": {"good": "0" * 64}}, "other model: good is 000000000000"),
        ({"models": {"unmeasured": "0" * 64}}, "audited was not said"),
        ({"schema": "t"}, "other schema"),
        ({"attacks": {"attack": ["fgsm", "pgd"]}}, "1 that it did not run: pgd (attack)"),
        ({"attacks": {"inversion": ["guess"]}}, "1 that it did not run: guess (inversion)"),
        ({"threats": ["clinical", "new"]}, "1 that it did not run: new (threat model)"),
        ({"configuration": "d"}, "other configuration"),
    ],
)
def test_each_change_is_a_reason_of_its_own(audit, change, said):
    (found,) = reasons(audit, replace(NOW, **change), None, DAY)
    assert said in found


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (("ef" * 32, 450), "new patients: 450 are in the cohort, 400 were audited"),
        (("ef" * 32, 400), "other records"),
        (("ef" * 32, 30), "other records"),
        (("cd" * 32, 400), None),
    ],
)
def test_records_that_were_not_audited_are_told_by_their_digest(audit, records, said):
    found = reasons(audit, replace(NOW, records=records), None, DAY)
    assert len(found) == (said is not None)
    assert not said or said in found[0]


def test_where_the_audit_hides_its_count_none_is_told(audit):
    audit.content["audited"]["cohort"]["patients"] = None
    (found,) = reasons(audit, replace(NOW, records=("ef" * 32, 450)), None, DAY)
    assert "450" not in found


def test_fewer_attacks_than_were_run_are_no_newer_ones(audit):
    assert reasons(audit, replace(NOW, attacks={"attack": []}, threats=[]), None, DAY) == []


def test_an_audit_that_does_not_say_is_not_called_current(tmp_path):
    found = reasons(written(tmp_path), NOW, None, DAY)
    assert found == [f"other schema: {NOT_SAID}", f"attacks: {NOT_SAID}"]
