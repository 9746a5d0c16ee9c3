"""The accountant equals closed forms where there are any, and other accountants elsewhere.

It is never below the truth.
"""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, norm

from pipeline.statistics.accounting import (
    composition,
    gaussian_auroc,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    gaussian_tpr,
    patient_epsilon,
    pld_epsilon,
    rdp_epsilon,
    recompute,
)
from tiny import ROOT

pytestmark = pytest.mark.heavy

DELTA = 1e-5
RUNS = [
    (0.01, 1.0, 1000),
    (0.05, 1.0, 100),
    (0.2, 2.0, 300),
    (0.001, 0.7, 5000),
    (0.5, 8.0, 50),
]  # rate, noise, steps

# Recorded of an accountant written for this project, with 2**19 points of loss and the orders 2 to
# 256: sample rate, noise multiplier, steps, delta; epsilon by the loss and by Renyi.
RECORDED = [
    (0.001, 1.0, 1000, 1e-6, 0.18551675, 0.86970782),
    (0.001, 8.0, 50, 1e-4, 0.00075162555, 0.010560481),
    (0.01, 0.6, 50, 1e-4, 2.4032188, 3.865446),
    (0.01, 1.0, 1000, 1e-4, 1.5126978, 1.7702341),
    (0.01, 8.0, 1000, 1e-6, 0.14894793, 0.16252958),
    (0.05, 0.6, 50, 1e-4, 7.2245419, 9.6747727),
    (0.05, 2.0, 50, 1e-8, 1.1715347, 1.2760853),
    (0.1, 14.727, 500, 1e-4, 0.44371259, 0.49956142),
    (0.1, 3.113, 500, 1e-4, 2.7101365, 3.0000049),
    (0.1, 1.509, 500, 1e-4, 7.2515545, 8.0174896),
    (0.2, 1.0, 50, 1e-8, 14.002006, 15.151613),
    (0.2, 8.0, 1000, 1e-4, 2.9103329, 3.209842),
    (0.5, 2.0, 1000, 1e-4, 62.506328, 76.42277),
    (0.9, 0.6, 1000, 1e-4, 1338.1006, 2589.3601),
    (0.9, 2.0, 1, 1e-6, 2.1491033, 2.3156728),
    (1.0, 8.0, 80, 1e-4, 4.3455838, 4.8020821),
    (1.0, 0.7, 1, 1e-6, 7.3726427, 7.9304154),
]


def opacus_epsilon(mechanism, sample_rate, noise_multiplier, steps, delta=DELTA):
    from opacus.accountants import create_accountant  # here: who collects tests need not wait

    accountant = create_accountant(mechanism)
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    return accountant.get_epsilon(delta)


def one_step_delta(epsilon, sample_rate, noise_multiplier, removed):
    """Hockey-stick divergence of one step, by integration."""

    z = np.linspace(-12 * noise_multiplier, 12 * noise_multiplier + 1, 20_001)
    without = norm.pdf(z, 0, noise_multiplier)
    with_record = (1 - sample_rate) * without + sample_rate * norm.pdf(z, 1, noise_multiplier)
    p, q = (with_record, without) if removed else (without, with_record)
    return np.trapezoid(np.maximum(p - math.exp(epsilon) * q, 0), z)


# ---- the Gaussian mechanism ----


@pytest.mark.parametrize("mu", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 2.0])
def test_delta_of_the_gaussian_mechanism_is_its_hockey_stick_divergence(mu, epsilon):
    assert gaussian_delta(epsilon, mu) == pytest.approx(
        one_step_delta(epsilon, 1.0, 1 / mu, True), abs=1e-7
    )


@pytest.mark.parametrize("mu", [1e-3, 0.1, 1.0, 10.0, 50.0])
@pytest.mark.parametrize("delta", [1e-12, 1e-5, 1e-2, 0.6])
def test_epsilon_and_mu_invert_delta(mu, delta):
    epsilon = gaussian_epsilon(mu, delta)
    if epsilon == 0:
        assert gaussian_delta(0.0, mu) <= delta
    else:
        assert gaussian_delta(epsilon, mu) == pytest.approx(delta, rel=1e-6)
        assert gaussian_mu(epsilon, delta) == pytest.approx(mu, rel=1e-6)


def test_at_epsilon_zero_delta_is_the_total_variation_distance():
    assert gaussian_delta(0.0, 2.0) == pytest.approx(2 * norm.cdf(1.0) - 1)
    assert gaussian_mu(0.0, 2 * norm.cdf(1.0) - 1) == pytest.approx(2.0)


def test_no_signal_costs_nothing_and_far_tails_do_not_overflow():
    assert gaussian_delta(1.0, 0.0) == gaussian_epsilon(0.0, DELTA) == 0.0
    assert gaussian_epsilon(100.0, 1e-9) == pytest.approx(5000, rel=0.2)
    assert 0 <= gaussian_delta(700.0, 1.0) < 1e-300


# ---- Rényi ----


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_renyi_is_opacus_renyi_up_to_its_fractional_orders(run):
    reference = opacus_epsilon("rdp", *run)
    assert reference * (1 - 1e-6) <= rdp_epsilon(*run, DELTA) <= reference * 1.03


def test_renyi_without_sampling_has_a_closed_form():
    noise, steps = 3.0, 10
    naive = min(
        steps * a / (2 * noise**2)
        + math.log((a - 1) / a)
        - (math.log(DELTA) + math.log(a)) / (a - 1)
        for a in range(2, 257)
    )
    assert rdp_epsilon(1.0, noise, steps, DELTA) == pytest.approx(naive, rel=1e-9)


# ---- the privacy loss distribution ----


@pytest.mark.slow  # the distribution of the loss takes seconds
@pytest.mark.parametrize("run", RUNS)
def test_the_loss_distribution_agrees_with_opacus_and_is_below_renyi(run):
    epsilon = pld_epsilon(*run, DELTA)
    assert (
        0 <= opacus_epsilon("prv", *run) - epsilon <= 0.011
    )  # Opacus adds its own error bound of 0.01
    assert epsilon < rdp_epsilon(*run, DELTA)


@pytest.mark.slow  # the distribution of the loss takes seconds
@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (2.0, 20), (20.0, 400), (0.5, 30)])
def test_almost_every_record_is_the_gaussian_mechanism(noise, steps):
    exact = gaussian_epsilon(math.sqrt(steps) / noise, DELTA)
    epsilon = pld_epsilon(1 - 1e-9, noise, steps, DELTA)
    assert exact * (1 - 1e-6) <= epsilon <= exact * 1.005


@pytest.mark.slow  # the distribution of the loss takes seconds
@pytest.mark.parametrize("sample_rate", [0.02, 0.3])
@pytest.mark.parametrize("noise", [0.6, 1.5])
def test_one_step_is_an_upper_bound_of_the_integral_and_close_to_it(sample_rate, noise):
    exact = max(
        brentq(lambda e: one_step_delta(e, sample_rate, noise, removed) - DELTA, 0, 30, xtol=1e-6)  # noqa: B023
        if one_step_delta(0, sample_rate, noise, removed) > DELTA
        else 0
        for removed in (True, False)
    )
    assert exact - 1e-4 <= pld_epsilon(sample_rate, noise, 1, DELTA) <= exact * 1.005


@pytest.mark.slow  # the distribution of the loss takes seconds
def test_epsilon_grows_with_steps_and_rate_and_shrinks_with_noise_and_delta():
    base = pld_epsilon(0.05, 1.0, 100, DELTA)
    assert pld_epsilon(0.05, 1.0, 200, DELTA) > base
    assert pld_epsilon(0.06, 1.0, 100, DELTA) > base
    assert pld_epsilon(0.05, 1.1, 100, DELTA) < base
    assert pld_epsilon(0.05, 1.0, 100, 1e-4) < base


def test_a_delta_that_covers_all_leaves_no_epsilon():
    assert pld_epsilon(0.001, 5.0, 2, 0.1) == 0.0


# ---- what was recorded ----


@pytest.mark.slow  # the distribution of the loss takes seconds
@pytest.mark.parametrize("line", RECORDED)
def test_the_loss_distribution_gives_the_recorded_epsilon(line):
    """Within 2e-3 above (the library's grid is the coarser where epsilon is large) and 3e-4 below.

    Below, since the record is rounded upwards too, by up to 2e-4 where noise is small.

    Of its third line, 2.40322, losses 1e-5 apart make 2.40258 rounded downwards and 2.40283
    upwards."""
    *run, recorded, renyi = line
    epsilon = pld_epsilon(*run)
    assert recorded * (1 - 3e-4) <= epsilon <= recorded * (1 + 2e-3)
    assert epsilon < renyi


@pytest.mark.slow
@pytest.mark.parametrize("line", RECORDED)
def test_renyi_gives_the_recorded_epsilon(line):
    """To the eight digits of the record: the orders are the same, and so is the conversion."""
    *run, _, recorded = line
    assert rdp_epsilon(*run) == pytest.approx(recorded, rel=1e-7)


# ---- a claim ----


def test_the_closed_form_does_not_wait_for_the_library():
    script = (
        "import sys; from pipeline.statistics import accounting as a; "
        "a.gaussian_epsilon(1.0, 1e-5); "
        "a.pld_epsilon(1.0, 1.0, 1, 1e-5); sys.exit('dp_accounting' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_claim_is_recomputed_three_ways():
    whole = recompute(1.0, 10.0, 100, DELTA)
    assert whole["exact"] == whole["pld"] == gaussian_epsilon(1.0, DELTA) < whole["rdp"]
    sampled = recompute(0.1, 2.0, 100, DELTA)
    assert sampled["exact"] is None
    assert sampled["pld"] < sampled["rdp"]


@pytest.mark.parametrize(
    "logged",
    [
        (0.0, 1.0, 1, DELTA),
        (1.1, 1.0, 1, DELTA),
        (0.1, 0.0, 1, DELTA),
        (0.1, 1.0, 0, DELTA),
        (1, 1, 1, 0.0),
    ],
)
def test_what_no_run_can_have_logged_is_refused(logged):
    with pytest.raises(ValueError, match="must be"):
        recompute(*logged)


# ---- several models ----


def test_models_without_sampling_add_up_as_one_gaussian_mechanism():
    """The default configuration: 26 models, each patient in 20 folds and the release."""
    sigma = 80**0.5 / gaussian_mu(3.0, 1e-4)
    assert 80**0.5 / sigma == pytest.approx(0.8176, abs=1e-4)
    found = composition(1.0, sigma, 80, 1e-4, 26, 20)
    assert found["epsilon_all"] == pytest.approx(23.48, abs=0.01)
    assert found["epsilon_patient"] == pytest.approx(19.60, abs=0.01)
    assert found["epsilon_replace_one"] == pytest.approx(6.90, abs=0.01)
    assert (found["models"], found["models_of_a_patient"]) == (26, 20)
    assert composition(1.0, sigma, 80, 1e-4, 1, 1)["epsilon_all"] == pytest.approx(3.0, abs=1e-6)


@pytest.mark.slow
def test_models_with_sampling_are_that_many_times_the_steps():
    found = composition(0.1, 3.0, 100, 1e-4, 4, 3)
    assert found["epsilon_all"] == rdp_epsilon(0.1, 3.0, 400, 1e-4)
    assert found["epsilon_patient"] == rdp_epsilon(0.1, 3.0, 300, 1e-4)


def test_a_replaced_record_is_one_removed_and_one_added():
    """Twice epsilon at a smaller delta: checked against the definition, at that delta."""
    found = composition(0.1, 3.0, 100, 1e-4, 1, 1)["epsilon_replace_one"]
    each = found / 2
    own = 1e-4 / (1 + math.exp(each))
    assert each == pytest.approx(rdp_epsilon(0.1, 3.0, 100, own), rel=1e-3)
    assert found > 2 * rdp_epsilon(0.1, 3.0, 100, 1e-4)


# ---- several records of one patient ----


@pytest.mark.parametrize("records", [2, 5])
def test_without_sampling_a_patient_is_one_record_of_so_many_times_the_weight(records):
    found = patient_epsilon(1.0, 9.0, 80, 1e-4, records)
    assert found == pld_epsilon(1.0, 9.0 / records, 80, 1e-4)
    assert found > records * pld_epsilon(1.0, 9.0, 80, 1e-4)  # multiplying is not enough


@pytest.mark.slow
def test_one_record_is_a_patient():
    assert patient_epsilon(0.1, 3.0, 100, 1e-4, 1) == pld_epsilon(0.1, 3.0, 100, 1e-4)
    assert "epsilon_one_patient" not in composition(0.1, 3.0, 100, 1e-4, 4, 3, 1)


@pytest.mark.parametrize(
    "records",
    [2, pytest.param(4, marks=pytest.mark.slow)],  # the distribution of the loss takes seconds
)
def test_with_sampling_it_lies_between_one_record_and_all_of_them_at_once(records):
    """One draw that brings all records dominates; one record is a patient of fewer."""
    found = patient_epsilon(0.1, 4.0, 100, 1e-4, records)
    assert pld_epsilon(0.1, 4.0, 100, 1e-4) * records < found
    assert found < pld_epsilon(1 - 0.9**records, 4.0 / records, 100, 1e-4)


@pytest.mark.slow  # the distribution of the loss takes seconds
def test_one_step_of_a_mixture_is_no_less_than_its_definition():
    """Delta by integrating the densities of one step, records added and removed."""
    rate, sigma, records, delta = 0.3, 1.5, 3, 1e-3
    epsilon = patient_epsilon(rate, sigma, 1, delta, records)
    at = np.linspace(-30, 30, 600_001)
    without = norm.pdf(at, 0, sigma)
    with_him = sum(
        binom.pmf(count, records, rate) * norm.pdf(at, count, sigma) for count in range(records + 1)
    )
    spent = max(
        np.trapezoid(np.maximum(one - np.exp(epsilon) * other, 0), at)
        for one, other in ((with_him, without), (without, with_him))
    )
    assert spent == pytest.approx(delta, rel=0.01)


def test_all_models_are_told_of_a_patient_with_all_records():
    one, three = (composition(1.0, 9.0, 80, 1e-4, 26, 20, records) for records in (1, 3))
    assert three["epsilon_patient"] == pld_epsilon(1.0, 3.0, 80 * 20, 1e-4)
    assert three["epsilon_replace_one"] == one["epsilon_replace_one"]
    assert (three["records_of_a_patient"], three["epsilon_one_patient"]) == (
        3,
        patient_epsilon(1.0, 9.0, 80, 1e-4, 3),
    )


def test_what_a_gaussian_mechanism_lets_anybody_find_is_what_two_normal_scores_give():
    drawn = np.random.default_rng(0)
    others, members = drawn.standard_normal(200_000), 0.8 + drawn.standard_normal(200_000)
    cut = np.quantile(others, 0.99)
    assert gaussian_tpr(0.8, 0.01) == pytest.approx((members > cut).mean(), abs=2e-3)
    assert gaussian_auroc(0.8) == pytest.approx((members > others).mean(), abs=4e-3)
    assert (gaussian_tpr(0.0, 0.01), gaussian_auroc(0.0)) == (pytest.approx(0.01), 0.5)
