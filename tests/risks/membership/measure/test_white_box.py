"""An auditor of noisy gradients: sees what is there, is wrong as rarely as it says, no more."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import kinds
import tiny
from benchmarks.faults import FAULTS, SAMPLING, planted
from pipeline.defenses.privacy import NoisySteps
from pipeline.models.cnn import convolutional
from pipeline.models.mlp import Architecture
from pipeline.risks.membership.measure.white_box import (
    CLEAR,
    AuditSize,
    canaries,
    clearest,
    slots,
    weights_of,
    white_box_audit,
)
from pipeline.statistics.accounting import gaussian_epsilon

pytestmark = pytest.mark.heavy

LINEAR, MLP = Architecture("linear", 5, 2, ()), Architecture("mlp", 5, 2, (12, 8))
HOW = NoisySteps(3.0, 1.0, 16, 40.0, 0.5, 0.02)  # mu 4 / 3
CLAIM = gaussian_epsilon(4 / 3, 1e-4)
SIZE = AuditSize(4000, 200_000)


def audit(shape, how=HOW, seed=0, size=SIZE):
    return white_box_audit(tiny.SCHEMA, shape, how, size, seed=seed, delta=1e-4, confidence=0.95)


def test_scores_have_the_noise_and_the_signal_that_are_claimed():
    for shape in (LINEAR, MLP):
        found = slots(tiny.SCHEMA, shape, HOW, SIZE, 0)
        noise = found.score - found.mu * found.strength * found.member
        assert found.mu == pytest.approx(4 / 3)
        assert noise.std() == pytest.approx(1.0, abs=0.04)
        assert abs(noise.mean()) < 4 / len(noise) ** 0.5
        assert found.member.mean() == pytest.approx(0.5, abs=0.04)
        assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 4 / len(noise) ** 0.5


def test_canaries_of_a_linear_model_are_orthogonal_and_full():
    found = slots(tiny.SCHEMA, LINEAR, HOW, SIZE, 0)
    assert found.strength == pytest.approx(1.0, abs=1e-4)
    assert len(found.score) == 5 * SIZE.runs(LINEAR)


def test_the_clearest_slots_are_chosen_by_their_strength_alone():
    found = slots(tiny.SCHEMA, MLP, HOW, SIZE, 0)
    clear = clearest(found)
    assert 0 < len(clear.score) < len(found.score)
    assert set(clear.strength) == {one for one in found.strength if one > CLEAR}
    turned = clearest(found._replace(score=-found.score, member=~found.member))
    np.testing.assert_array_equal(turned.strength, clear.strength)
    np.testing.assert_array_equal(turned.score, -clear.score)
    weak = found._replace(strength=found.strength * CLEAR / found.strength.max())
    assert clearest(weak) is weak


@pytest.mark.parametrize(("shape", "share"), [(LINEAR, 0.85), (MLP, 0.65)])
def test_an_honest_mechanism_is_seen_almost_whole(shape, share):
    shown = audit(shape)
    assert share * CLAIM < shown["epsilon_lower_bound"] <= CLAIM * 1.05 < shown["ceiling"]
    assert 0.85 * CLAIM < shown["bounds"]["gaussian"] < 1.05 * CLAIM
    assert shown["bounds"]["counts"] < shown["epsilon_lower_bound"]
    assert shown["surely"] < CLAIM


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        (LINEAR, "no noise"),
        (LINEAR, "half the noise"),
        (LINEAR, "no clipping"),
        (MLP, "no noise"),
        (MLP, "half the noise"),
    ],  # canaries of an MLP overlap: without clipping they drown each other at this small size
)
def test_a_planted_fault_exceeds_the_claim(shape, fault):
    with planted(FAULTS[fault]):
        assert audit(shape)["surely"] > CLAIM


def test_below_sample_rate_1_only_counts_speak():
    how = replace(HOW, sample_rate=0.5, noise=1.0)
    shown = audit(LINEAR, how)
    assert shown["bounds"]["guessing"] is None
    assert shown["bounds"]["gaussian"] is None
    assert shown["epsilon_lower_bound"] == shown["bounds"]["counts"]
    assert shown["ceiling"] == shown["bounds"]["counts_ceiling"]
    with planted(FAULTS["no noise"]):
        assert audit(LINEAR, how)["epsilon_lower_bound"] > shown["epsilon_lower_bound"]
    assert SAMPLING  # faults of the draw are the training's own to measure


@pytest.mark.slow
def test_the_bound_is_wrong_in_at_most_one_of_twenty():
    """40 audits of the honest mechanism; 95 % one-sided."""
    size = AuditSize(400, 100_000)
    shown = [audit(LINEAR, seed=1000 * seed, size=size)["bounds"] for seed in range(40)]
    for kind in ("guessing", "gaussian", "counts"):
        assert sum(one[kind] > CLAIM for one in shown) <= 6, kind  # P(more) = 0.4 %


def test_canaries_are_far_from_everybody_and_of_both_diagnoses():
    found = canaries(tiny.SCHEMA)
    assert found.x.shape == (20, 5)
    away = (found.x - tiny.SCHEMA.column("center").float()) / tiny.SCHEMA.column("scale").float()
    assert (away.abs() > 1).sum(1).tolist() == [1] * 20
    assert torch.equal(found.x[:10], found.x[10:])
    assert found.y.tolist() == [0] * 10 + [1] * 10


def test_a_large_model_is_audited_in_fewer_runs():
    large = Architecture("mlp", 5, 2, (200, 200))
    assert SIZE.runs(LINEAR) == 800
    assert SIZE.runs(large) == SIZE.weights // weights_of(large)
    assert AuditSize(10, 1).runs(large) == 2


# ---- images ----

SCANS, CNN = kinds.SCANS, convolutional((1, 8, 8), 2, [4, 6], [5])
OF_IMAGES = AuditSize(1600, 200_000)


def audit_images(how=HOW):
    return white_box_audit(SCANS, CNN, how, OF_IMAGES, seed=0, delta=1e-4, confidence=0.95)


def test_canaries_among_images_are_single_pixels_far_apart():
    found = canaries(SCANS)
    assert found.x.shape == (64, 1, 8, 8)
    assert torch.equal(found.x[:32], found.x[32:])
    away = (found.x - 8.0) / 4.0  # in the units of the networks
    assert away.abs().flatten(1).sum(1).unique().tolist() == [1000.0]
    places = away[:16].flatten(1).abs().argmax(1)
    rows, columns = places // 8, places % 8
    assert sorted(rows.unique().tolist()) == sorted(columns.unique().tolist()) == [1, 3, 5, 7]
    assert len(places.unique()) == 16
    assert OF_IMAGES.runs(CNN) == 1600 // 32


@pytest.mark.slow
def test_an_honest_mechanism_on_images_is_seen_almost_whole():
    found = slots(SCANS, CNN, HOW, OF_IMAGES, 0)
    noise = found.score - found.mu * found.strength * found.member
    assert noise.std() == pytest.approx(1.0, abs=0.08)
    assert (found.strength > CLEAR).mean() > 0.8
    shown = audit_images()
    assert 0.6 * CLAIM < shown["epsilon_lower_bound"] <= CLAIM * 1.05 < shown["ceiling"]
    assert shown["surely"] < CLAIM


@pytest.mark.parametrize("fault", ["no noise", "half the noise"])
@pytest.mark.slow
def test_a_planted_fault_on_images_exceeds_the_claim(fault):
    with planted(FAULTS[fault]):
        assert audit_images()["surely"] > CLAIM
