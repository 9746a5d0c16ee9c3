"""Claims of a federation are held against what an auditor sees, of records and of hospitals."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.defenses.budget import PrivacyBudget, calibrate
from pipeline.defenses.federated.server import ServerNoise, noisy_server, server_guarantee
from pipeline.defenses.privacy import noisy_fit
from pipeline.files import FailedCheck
from pipeline.risks.federation.measure import claims
from pipeline.risks.federation.measure.claims import CANARIES, audit_server, claim_of, server_slots

pytestmark = pytest.mark.slow

ROUNDS = 5
GUARANTEE = server_guarantee(8.0, 1e-4, ROUNDS, 0.7)


@pytest.fixture
def audited(cfg):
    own = cfg.membership.model_copy(update={"canaries": 8192})
    return cfg.model_copy(update={"membership": own})


def planted(monkeypatch, change):
    """A server that does otherwise than it says."""
    monkeypatch.setattr(claims, "noisy_server", change)


def test_scores_have_the_noise_and_the_signal_that_are_claimed():
    how = ServerNoise(2.0, 0.7, CANARIES)
    found = server_slots(how, ROUNDS, 60, seed=0)
    noise = found.score - found.mu * found.member
    assert found.mu == pytest.approx(ROUNDS**0.5 / 2)
    assert noise.std() == pytest.approx(1.0, abs=0.04)
    assert abs(noise.mean()) < 4 / len(noise) ** 0.5
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 4 / len(noise) ** 0.5
    assert found.member.mean() == pytest.approx(0.5, abs=0.04)


def test_an_honest_server_is_seen_almost_whole(audited):
    audit = audit_server("x", audited, GUARANTEE)
    assert 0.85 * 8 < audit["epsilon_lower_bound"] <= 8 * 1.05
    assert audit["surely"] < 8


def weaker(share):
    return lambda how, seeds: noisy_server(
        replace(how, noise_multiplier=share * how.noise_multiplier), seeds
    )


def unbounded(how, seeds):
    """Three times the bound, and the noise of the one that is claimed."""
    loose = ServerNoise(how.noise_multiplier / 3, 3 * how.clip, how.hospitals)
    return noisy_server(loose, seeds)


@pytest.mark.parametrize(
    "change",
    [weaker(0.0), weaker(0.5), unbounded],
    ids=["no noise", "half the noise", "a bound three times as large"],
)
def test_a_planted_fault_exceeds_the_claim(audited, monkeypatch, change):
    planted(monkeypatch, change)
    with pytest.raises(FailedCheck, match=r"^x: claims epsilon 8\.000, but \d+ of \d+ guesses"):
        audit_server("x", audited, GUARANTEE)


def test_rounds_that_the_accountant_does_not_count_exceed_the_claim(audited):
    once = server_guarantee(8.0, 1e-4, 1, 0.7)
    with pytest.raises(FailedCheck, match="claims epsilon"):
        audit_server("x", audited, {**once, "rounds": ROUNDS})


def test_each_claim_is_audited_as_what_it_is_of(dataset, audited, monkeypatch):
    asked = []

    def audit(name, *given):
        asked.append((name, given[-1]))
        return {}

    monkeypatch.setattr(claims, "audit_claim", audit)
    monkeypatch.setattr(claims, "audit_server", audit)
    of_records = calibrate(PrivacyBudget(1.0, 1e-4, 1.0, 80))
    measured = {"checks": [{"noise": {"measured": 1.01}}]}
    for name, guarantee in (
        ("central", of_records),
        ("local", {**of_records, "rounds": 10}),
        ("server", GUARANTEE),
    ):
        found = claim_of(name, {"guarantee": guarantee, "measured": measured}, dataset, audited)
        assert found["noise"] == 1.01
        assert found["epsilon"] == found["accounts"]["exact"] == pytest.approx(guarantee["epsilon"])
    (_, central), (_, local), (_, server) = asked
    assert central is noisy_fit
    assert "noisy_rounds" in local.__qualname__
    assert server is GUARANTEE
