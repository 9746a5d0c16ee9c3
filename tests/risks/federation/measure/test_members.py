"""Who guesses members: shadows stay shadows, and a participant's own step is taken out."""

import pytest
import torch

import tiny
from pipeline.attacks.rounds import moved_along
from pipeline.defenses.federated.loop import federate, unpacked
from pipeline.defenses.federated.recipe import federation_of
from pipeline.risks.federation.measure.federations import options_of
from pipeline.risks.federation.measure.members import (
    FINAL,
    SERVER,
    Members,
    _Watcher,
    guess_members,
)
from pipeline.risks.membership.measure.shadows import BLIND
from pipeline.statistics.accounting import gaussian_mu
from risks.federation.made_up import settings

pytestmark = pytest.mark.slow


@pytest.fixture
def small(cfg):
    return settings(cfg, sites=3, rounds=3, targets=4)


def test_every_attack_scores_every_patient_in_every_federation(dataset, small, tmp_path):
    found = guess_members(dataset, small)
    assert {FINAL, SERVER, BLIND} < set(found.scores)
    for scores in found.scores.values():
        assert scores.shape == found.member.shape == (4, len(dataset.y))
        assert scores.isfinite().all()
    found.save(tmp_path / "members.safetensors")
    again = Members.load(tmp_path / "members.safetensors")
    assert tiny.same_bits(again.scores[SERVER], found.scores[SERVER])


def test_private_hospitals_are_asked_about_beside_what_their_claim_allows(dataset, small):
    few = small.federation.dp_sgd.model_copy(update={"rounds": 2, "local_steps": 2})
    found = guess_members(dataset, settings(small, dp_sgd=few), True)
    plain = guess_members(dataset, small)
    assert (found.recipe, found.rounds) == ("federated_private", 2)
    assert found.strength == pytest.approx(gaussian_mu(few.epsilon, few.delta))
    assert plain.strength is None
    assert torch.equal(found.member, plain.member)
    assert not torch.equal(found.scores[SERVER], plain.scores[SERVER])


def test_who_asks_takes_out_his_own_step_and_the_server_reads_the_patients_hospital(dataset, small):
    plan = tiny.plan(dataset, seeds=1)
    federation = federation_of(dataset, plan, small, **options_of(small, 3, "mean"))
    watcher, seen = _Watcher(dataset, federation, plan.size), []

    def watch(exchange):
        seen.append(exchange)
        watcher(exchange)

    federate(
        federation.sites, federation.start, 2, federation.local, federation.aggregate, watch=watch
    )
    of = federation.hospitals.of
    for number, exchange in enumerate(seen):
        weights = unpacked(exchange.parameters, federation.start)
        for hospital in range(3):
            rows, others = of == hospital, [one for one in range(3) if one != (hospital + 1) % 3]
            counts = exchange.records[others]
            joint = (exchange.updates[others] * counts[..., None]).sum(0) / counts.sum(0)[:, None]
            moves = {"others": joint, "own": exchange.updates[hospital]}
            for name, where in moves.items():
                by = unpacked(where - exchange.parameters, federation.start)
                expected = moved_along(weights, by, watcher.inputs[:, rows], dataset.y[rows])
                ours = getattr(watcher, name)[number][:, rows]
                torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)
