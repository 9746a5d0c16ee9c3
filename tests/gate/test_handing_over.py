"""Only the audited release of passed gates is handed over to the guard."""

from types import SimpleNamespace

import pytest

import tiny
from pipeline.data.schema import save_schema
from pipeline.files import BadInput
from pipeline.gate import handing_over
from pipeline.gate.handing_over import hand_over, policy_of
from pipeline.serving.place import LOG, founded
from pipeline.serving.served import RELEASE, Served, opened
from serving.made_up import NOW, SCHEMA, network, policy

pytestmark = pytest.mark.heavy
DESCRIBED = tiny.threat_config().model_dump(mode="json")


@pytest.fixture
def given(tmp_path, monkeypatch):
    """What a hand-over is asked with: audit, gates, release."""
    monkeypatch.setattr(handing_over, "repository_root", lambda: tmp_path)
    release = tmp_path / "given"
    release.mkdir()
    network().save(release)
    save_schema(SCHEMA, release)
    audit = SimpleNamespace(
        path=tmp_path / "audit.json",
        cohort="ward",
        sha256="a" * 64,
        headline=("clinical", DESCRIBED),
        release_sha256=lambda defense: network().digest if defense == "baseline" else "",
        model_sha256=lambda _: "c" * 64,
    )
    judged = SimpleNamespace(
        state="passed", gate_sha256="b" * 64, outcomes=(), accepted={}, tests=0
    )
    cfg = SimpleNamespace(serving=policy(), gate=SimpleNamespace(defense="baseline"))
    return SimpleNamespace(cfg=cfg, audit=audit, judged=judged, release=release)


def test_the_folder_serves_the_audited_model_under_the_audited_threat(given, tmp_path):
    said = hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    served, population, _, threat = opened(tmp_path / "guard")
    assert served == Served.load(tmp_path / "guard")
    assert (served.audit_sha256, served.gate_sha256) == ("a" * 64, "b" * 64)
    assert population.digest == network().digest
    assert threat.mutable.tolist() == [True, True, False]
    assert served.honest == {}
    assert "no alarms" in said


@pytest.mark.parametrize("state", ["failed", "unclear"])
def test_gates_that_are_not_passed_serve_nothing(given, tmp_path, state):
    given.judged.state = state
    with pytest.raises(BadInput, match="the gates are not passed"):
        hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    assert not (tmp_path / "guard").exists()


def test_another_model_than_was_audited_is_not_served_and_the_old_one_stays(given, tmp_path):
    hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    before = (tmp_path / "guard" / RELEASE / "population.json").read_bytes()
    network(weight=2.0).save(given.release)
    with pytest.raises(BadInput, match="is not the audited release"):
        hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    assert (tmp_path / "guard" / RELEASE / "population.json").read_bytes() == before
    opened(tmp_path / "guard")


def test_a_defense_without_an_audited_release_is_one_line(given, tmp_path):
    given.cfg.serving = policy(defense="adv_train")
    with pytest.raises(BadInput, match="names no release of adv_train"):
        hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    with pytest.raises(BadInput, match="serving: missing"):
        policy_of(SimpleNamespace(serving=None))


def test_log_and_keys_stay_where_they_are(given, tmp_path):
    founded(tmp_path / "guard", NOW)
    before = (tmp_path / "guard" / LOG).read_bytes()
    hand_over(given.cfg, given.audit, given.judged, given.release, tmp_path / "guard")
    assert (tmp_path / "guard" / LOG).read_bytes() == before
    assert founded(tmp_path / "guard", NOW) == []
