"""What epsilon a DP-SGD run spent, recomputed from its log alone, as a second opinion.

It comes from Google's dp-accounting; at sample rate 1 from the closed form, which is here. The
library's distribution of the privacy loss is independent of Opacus; its RDP and Opacus' have one
ancestor. It takes a second to import: who wants the closed form need not wait for it.

Every function takes what a run logs: `sample_rate` (Poisson, 0 to 1], `noise_multiplier` (standard
deviation of the noise over the clipping norm), `steps`, and the `delta` of the claim. Neighbouring
data sets differ by one record added or removed.
"""

import math
from functools import cache
from typing import Any

# Of Rényi divergences. Whole: at fractions the library's series may fail to converge, and log it.
ORDERS = range(2, 257)
SHARE = 3e-5  # of the Rényi bound: how far apart the grid's losses are
FINEST = 1e-5  # their least distance, where that bound comes to nothing
GROUPS = 1e-3  # their distance for several records of a patient; rounded upwards


def gaussian_delta(epsilon: float, mu: float) -> float:
    """Exact delta of a mu-GDP mechanism (Balle & Wang 2018, arXiv:1805.06530, theorem 8)."""
    return math.exp(_log_gaussian_delta(epsilon, mu)) if mu > 0 else 0.0


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Exact epsilon of a mu-GDP mechanism.

    Args:
        mu: Sensitivity over noise. `steps` steps on the whole data set have mu = sqrt(steps) /
            noise_multiplier (Dong, Roth & Su 2019, arXiv:1905.02383, corollary 3.3).
        delta: In (0, 1).

    Returns:
        The least epsilon of at least 0 for which the mechanism is (epsilon, delta)-private.
    """
    from scipy.optimize import brentq  # here, as below: SciPy takes a second to import
    from scipy.special import ndtri

    _in_unit_interval(delta)
    if gaussian_delta(0.0, mu) <= delta:
        return 0.0
    # delta is at most cdf(mu / 2 - epsilon / mu); solving that for epsilon gives a value that is
    # too large, but finite.
    enough = mu * mu / 2 + mu * max(-ndtri(delta), 0.0) + 1e-9
    return float(
        brentq(
            lambda epsilon: _log_gaussian_delta(epsilon, mu) - math.log(delta),
            0.0,
            enough,
            xtol=1e-13,
        )
    )


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The largest mu of which the mechanism is (epsilon, delta)-private: the noise is 1 / mu."""
    from scipy.optimize import brentq

    _in_unit_interval(delta)
    low = high = 1.0
    while gaussian_delta(epsilon, high) < delta:
        high *= 2
    while gaussian_delta(epsilon, low) >= delta:
        low /= 2
    return float(
        brentq(lambda mu: _log_gaussian_delta(epsilon, mu) - math.log(delta), low, high, xtol=1e-13)
    )


def gaussian_tpr(mu: float, fpr: float) -> float:
    """The largest share of members that is found while `fpr` of the others are taken for members.

    Of a mechanism that is mu-GDP (Dong, Roth and Su 2022, arXiv:1905.02383).
    """
    from scipy.special import ndtr, ndtri

    return float(ndtr(mu + ndtri(fpr)))


def gaussian_auroc(mu: float) -> float:
    """The largest area under that curve."""
    from scipy.special import ndtr

    return float(ndtr(mu / math.sqrt(2)))


def _log_gaussian_delta(epsilon: float, mu: float) -> float:
    """log(cdf(mu/2 - epsilon/mu) - e^epsilon cdf(-mu/2 - epsilon/mu)), all in logarithms."""
    from scipy.special import log_ndtr

    first = float(log_ndtr(mu / 2 - epsilon / mu))
    gap = epsilon + float(log_ndtr(-mu / 2 - epsilon / mu)) - first
    return first + math.log(-math.expm1(gap)) if gap < 0 else -math.inf


def rdp_epsilon(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Upper bound of epsilon from Rényi divergences, by dp-accounting.

    Safe; 10 to 20 % too large for an epsilon of 1 to 10, more outside of it. Divergences at integer
    orders: Mironov, Talwar & Zhang 2019 (arXiv:1908.10530, section 3.3). To (epsilon, delta):
    Canonne, Kamath & Steinke 2020 (arXiv:2004.00010, proposition 12).
    """
    _check(sample_rate, noise_multiplier, steps, delta)
    return _spent(_rdp_account(), sample_rate, noise_multiplier, steps, delta)


def pld_epsilon(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Upper bound of epsilon from the distribution of the privacy loss, by dp-accounting.

    The loss of one step is put on a grid and composed by FFT; rounding is pessimistic (Doroshenko
    et al. 2022, arXiv:2207.04380). The worse of adding and removing a record counts. At sample
    rates of 0.001 to 0.9, noises of 0.6 to 8, up to 1000 steps and deltas of 1e-8 to 1e-4 it lies
    at most 0.12 % above, and 0.02 % below, another FFT over 2**19 losses, also rounded upwards.
    Elsewhere looser: 1 % at a sample rate of 1e-5, or at an epsilon of 480 whose Rényi bound is
    6500. The tails that the library cuts limit it to a delta above about 1e-12.

    Returns:
        epsilon of at least 0; exact (closed form) at sample rate 1.
    """
    _check(sample_rate, noise_multiplier, steps, delta)
    if sample_rate == 1:
        return gaussian_epsilon(math.sqrt(steps) / noise_multiplier, delta)
    from dp_accounting import NeighboringRelation, pld

    # The grid goes with epsilon: a fixed one is too coarse for the least, too long for the largest.
    interval = max(SHARE * rdp_epsilon(sample_rate, noise_multiplier, steps, delta), FINEST)
    account = pld.PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, interval)
    return _spent(account, sample_rate, noise_multiplier, steps, delta)


@cache
def patient_epsilon(
    sample_rate: float, noise_multiplier: float, steps: int, delta: float, records: int
) -> float:
    """Upper bound of epsilon where all records of one patient are added or removed.

    How many of them a step draws is binomial, and so many times the clipping bound is what they
    move it by: a mixture of Gaussians, which dominates every group of so many records (Ganesh
    2024, arXiv:2401.10294). Tighter than one draw that brings all of them, with chance
    1 - (1 - sample_rate)^records and sensitivity `records`; never to be had by scaling epsilon.

    Args:
        sample_rate: of each record's own Poisson draw.
        noise_multiplier: over the clipping norm of one record.
        steps: of the run.
        delta: of the figure, for patients.
        records: that a patient has at most.

    Returns:
        epsilon of at least 0; `pld_epsilon` of one record; exact (closed form) at sample rate 1.
    """
    _check(sample_rate, noise_multiplier, steps, delta)
    if records == 1:
        return pld_epsilon(sample_rate, noise_multiplier, steps, delta)
    if sample_rate == 1:
        return gaussian_epsilon(records * math.sqrt(steps) / noise_multiplier, delta)
    from dp_accounting.pld import privacy_loss_distribution
    from scipy.stats import binom

    drawn = range(records + 1)
    one = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        noise_multiplier,
        [float(count) for count in drawn],
        [float(binom.pmf(count, records, sample_rate)) for count in drawn],
        value_discretization_interval=GROUPS,
    )
    return float(one.self_compose(steps).get_epsilon_for_delta(delta))


def _spent(account: Any, rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """What an empty account of the library makes of a run: Gaussian noise on Poisson samples."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent

    step = PoissonSampledDpEvent(rate, GaussianDpEvent(noise_multiplier))
    return float(account.compose(SelfComposedDpEvent(step, steps)).get_epsilon(delta))


def recompute(
    sample_rate: float, noise_multiplier: float, steps: int, delta: float
) -> dict[str, float | None]:
    """Epsilon of a logged run: `exact` (None if sampled), `pld` (tight) and `rdp` (loose)."""
    logged = (sample_rate, noise_multiplier, steps, delta)
    pld = pld_epsilon(*logged)
    return {"exact": pld if sample_rate == 1 else None, "pld": pld, "rdp": rdp_epsilon(*logged)}


@cache
def composition(
    sample_rate: float,
    noise_multiplier: float,
    steps: int,
    delta: float,
    models: int,
    own: int,
    records: int = 1,
) -> dict[str, Any]:
    """What several models of one recipe spend together, and one model if a record is replaced.

    Of a patient with up to `records` records, all of them added or removed (`patient_epsilon`).

    Exact at sample rate 1, where k models are one Gaussian mechanism with sqrt(k) times the mu, and
    a replaced record moves a sum by twice the clipping bound. Else upper bounds: Rényi divergences
    of k times the steps, and two records' group privacy.

    Args:
        sample_rate: Of each model's Poisson draw.
        noise_multiplier: Of each model.
        steps: Of each model.
        delta: Of each figure.
        models: How many are trained.
        own: In how many of them one patient takes part, at most.
        records: That one patient has, at most.

    Returns:
        models, models_of_a_patient; epsilon_all of an attacker who sees all of them,
        epsilon_patient of those that a patient takes part in, epsilon_replace_one of one model.
        Where somebody has several records also `records_of_a_patient`, and epsilon_one_patient of
        one model; only epsilon_replace_one is of a single record then.
    """
    _check(sample_rate, noise_multiplier, steps, delta)

    everything = [steps * models, steps * own]
    if sample_rate == 1:
        mus = [records * math.sqrt(count) / noise_multiplier for count in everything]
        mus.append(math.sqrt(4 * steps) / noise_multiplier)
        figures = [gaussian_epsilon(mu, delta) for mu in mus]
    else:
        numbers = [(sample_rate, noise_multiplier, count, delta) for count in everything]
        figures = [
            rdp_epsilon(*one) if records == 1 else patient_epsilon(*one, records) for one in numbers
        ]
        figures.append(_replaced(sample_rate, noise_multiplier, steps, delta))
    names = ("epsilon_all", "epsilon_patient", "epsilon_replace_one")
    found = {"models": models, "models_of_a_patient": own, **dict(zip(names, figures, strict=True))}
    if records > 1:
        one = patient_epsilon(sample_rate, noise_multiplier, steps, delta, records)
        found |= {"records_of_a_patient": records, "epsilon_one_patient": one}
    return found


def _replaced(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Epsilon of one model where one record is replaced: one is removed and another added.

    Twice epsilon, at the delta' for which (1 + e^epsilon) delta' is `delta`.
    """
    account = _rdp_account()
    _spent(account, sample_rate, noise_multiplier, steps, delta)

    def of_two(log_delta: float) -> tuple[float, float]:
        """Epsilon and log(delta) of both."""
        one = float(account.get_epsilon(math.exp(log_delta)))
        return 2 * one, log_delta + one + math.log1p(math.exp(-one))

    low, high = math.log(delta) - 100.0, math.log(delta)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if of_two(middle)[1] <= math.log(delta) else (low, middle)
    return of_two(low)[0]


def _rdp_account() -> Any:
    from dp_accounting import NeighboringRelation, rdp

    return rdp.RdpAccountant(ORDERS, NeighboringRelation.ADD_OR_REMOVE_ONE)


def _check(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> None:
    if not 0 < sample_rate <= 1:
        raise ValueError(f"sample_rate must be in (0, 1], not {sample_rate}")
    if noise_multiplier <= 0 or steps < 1:
        raise ValueError(
            f"noise_multiplier and steps must be positive, not {noise_multiplier} and {steps}"
        )
    _in_unit_interval(delta)


def _in_unit_interval(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta must be in (0, 1), not {delta}")
