"""A bootstrap of bundles: the sums are those of the weights, the interval that of patients."""

import numpy as np
import pytest

from pipeline.statistics.bundles import Bundled, bundled_weights
from pipeline.statistics.intervals import (
    Sampling,
    bootstrap_auroc,
    bootstrap_mean,
    drawn_together,
    interval,
    share_interval,
)

N, G, R = 4000, 200, 300


@pytest.fixture(scope="module")
def weights():
    return Sampling(R, 0.95, 0, None, G).weights(N)


def spread_out(weights):
    """The (R, N) weights that bundled ones stand for."""
    return np.array(weights.counts[:, weights.bundle])


def test_what_is_held_is_a_weight_a_bundle(weights):
    assert isinstance(weights, Bundled)
    assert weights.shape == (R, G)
    assert np.bincount(weights.bundle).tolist() == [N // G] * G
    assert (weights.counts.sum(1) == G).all()


def test_products_and_sums_are_those_of_the_weights_of_records(weights):
    values, full = np.random.default_rng(0).normal(size=(N, 3)), spread_out(weights).astype(float)
    np.testing.assert_allclose(weights @ values, full @ values, rtol=1e-9)
    np.testing.assert_allclose(weights @ values[:, 0], full @ values[:, 0], rtol=1e-9)
    np.testing.assert_allclose(weights.sum(1, keepdims=True), full.sum(1, keepdims=True))
    some = values[:, 0] > 0
    np.testing.assert_allclose(weights[:, some] @ values[some], full[:, some] @ values[some])


def test_what_would_mean_something_else_is_refused(weights):
    with pytest.raises(IndexError, match="only records"):
        weights[0]
    with pytest.raises(ValueError, match="over records"):
        weights.sum(0)


@pytest.mark.parametrize("digits", [6, 1])
def test_auroc_is_that_of_the_weights_of_records_ties_or_not(weights, digits):
    rng = np.random.default_rng(1)
    y = (rng.random(N) < 0.3).astype(int)
    score = np.round(rng.normal(size=(2, N)) + y, digits)
    want = bootstrap_auroc(score, y, spread_out(weights))
    np.testing.assert_allclose(bootstrap_auroc(score, y, weights), want, atol=2e-5)


def test_a_resample_of_one_class_has_no_auroc(weights):
    score, y = np.arange(N, dtype=float), np.zeros(N, dtype=int)
    assert np.isnan(bootstrap_auroc(score, y, weights)).all()


def test_few_patients_are_drawn_one_by_one():
    few = Sampling(R, 0.95, 0, None, G).weights(G)
    assert not isinstance(few, Bundled)
    assert few.shape == (R, G)


def test_records_of_a_patient_are_drawn_together():
    patient = np.repeat(np.arange(500), 3)
    weights = Sampling(R, 0.95, 0, patient, 100).weights(1500)
    assert (weights.bundle.reshape(500, 3) == weights.bundle[::3, None]).all()
    assert len(np.unique(drawn_together(weights))) == 500


def test_what_is_true_of_everybody_has_the_interval_of_so_many_patients(weights):
    ones = np.ones(N)
    low, high = share_interval(1.0, bootstrap_mean(ones, weights), weights)
    assert high == 1
    assert low == pytest.approx(1 / (1 + 1.959964**2 / N), abs=1e-6)  # Wilson's, of all right


def test_the_standard_error_is_that_of_a_bootstrap_over_patients():
    """Of 10 000 patients and 1000 bundles: a share, an AUROC, a share of a class."""
    rng, records = np.random.default_rng(2), 10_000
    y = (rng.random(records) < 0.35).astype(int)
    score = rng.normal(size=records) + y
    right = ((score > 0.5) == y).astype(float)
    exact, bundled = (Sampling(400, 0.95, 0, None, g).weights(records) for g in (None, 1000))
    for figure in (
        lambda w: bootstrap_mean(right, w),
        lambda w: bootstrap_mean(right, w, y == 1),
        lambda w: bootstrap_auroc(score, y, w),
    ):
        one, other = figure(exact), figure(bundled)
        assert other.std() / one.std() == pytest.approx(1, abs=0.12)  # 400 draws: 5 % of each
        assert abs(other.mean() - one.mean()) < one.std() / 5


def test_the_interval_covers_the_truth_as_often_as_it_says():
    weights, rng = Sampling(400, 0.95, 0, None, G).weights(N), np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        answers = (rng.random(N) < 0.8).astype(float)
        low, high = interval(answers.mean(), bootstrap_mean(answers, weights))
        covered += low <= 0.8 <= high
    assert 0.92 <= covered / 400 <= 0.98  # 95 % within three standard errors


def test_who_is_in_which_bundle_is_by_chance_and_by_the_seed():
    whose = np.arange(N).tobytes()
    one, same, other = (bundled_weights(whose, G, R, seed) for seed in (0, 0, 1))
    assert (one.bundle == same.bundle).all()
    assert (one.bundle != other.bundle).mean() > 0.9
    assert not one.flags.writeable
