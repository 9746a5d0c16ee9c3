"""What epsilon a DP-SGD run spent, recomputed from its log alone: a second opinion on the accountant that trained it.

Every function takes what a run logs: `sample_rate` (Poisson, 0 to 1], `noise_multiplier` (standard
deviation of the noise over the clipping norm), `steps`, and the `delta` of the claim. Neighbouring
data sets differ by one record added or removed.
"""

import math
from typing import Any

import numpy as np
from scipy.fft import irfft, rfft
from scipy.optimize import brentq
from scipy.special import gammaln, log_ndtr, logsumexp, ndtr, ndtri

Array = np.ndarray[Any, Any]

ORDERS = np.arange(2, 257)
POINTS = 2**19  # of the grid of privacy losses
TAIL = 1e-3  # share of delta given away for the losses that the grid does not reach


def gaussian_delta(epsilon: float, mu: float) -> float:
    """Exact delta of a mu-GDP mechanism at an epsilon of at least 0 (Balle & Wang 2018, arXiv:1805.06530, theorem 8)."""
    return math.exp(_log_gaussian_delta(epsilon, mu)) if mu > 0 else 0.0


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Exact epsilon of a mu-GDP mechanism.

    Args: mu: Sensitivity over noise. `steps` steps on the whole data set have mu = sqrt(steps) /
        noise_multiplier (Dong, Roth & Su 2019, arXiv:1905.02383, corollary 3.3). delta: In (0, 1).

    Returns:
        The least epsilon of at least 0 for which the mechanism is (epsilon, delta)-private.
    """
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
    """The largest mu of which the mechanism is (epsilon, delta)-private: the noise that a budget asks for is 1 / mu."""
    _in_unit_interval(delta)
    low = high = 1.0
    while gaussian_delta(epsilon, high) < delta:
        high *= 2
    while gaussian_delta(epsilon, low) >= delta:
        low /= 2
    return float(
        brentq(lambda mu: _log_gaussian_delta(epsilon, mu) - math.log(delta), low, high, xtol=1e-13)
    )


def _log_gaussian_delta(epsilon: float, mu: float) -> float:
    """log(cdf(mu / 2 - epsilon / mu) - e^epsilon cdf(-mu / 2 - epsilon / mu)), without leaving the logarithms."""
    first = float(log_ndtr(mu / 2 - epsilon / mu))
    gap = epsilon + float(log_ndtr(-mu / 2 - epsilon / mu)) - first
    return first + math.log(-math.expm1(gap)) if gap < 0 else -math.inf


def rdp_epsilon(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Upper bound of epsilon from Rényi divergences: safe, 10 to 20 % too large for an epsilon of 1 to 10, more outside of it.

    Divergences of the sampled Gaussian at integer orders: Mironov, Talwar & Zhang 2019
    (arXiv:1908.10530, section 3.3). To (epsilon, delta): Canonne, Kamath & Steinke 2020
    (arXiv:2004.00010, proposition 12).
    """
    _check(sample_rate, noise_multiplier, steps, delta)
    return _rdp(sample_rate, noise_multiplier, steps, delta)[0]


def _rdp(
    sample_rate: float, noise_multiplier: float, steps: int, delta: float
) -> tuple[float, int]:
    """The epsilon of `rdp_epsilon` and the order that gave it."""
    order, k = ORDERS[:, None].astype(float), np.arange(ORDERS[-1] + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        sampled = k * np.log(sample_rate) + np.where(
            order == k, 0.0, (order - k) * np.log1p(-sample_rate)
        )
    binomial = gammaln(order + 1) - gammaln(k + 1) - gammaln(np.maximum(order - k, 0) + 1)
    terms = np.where(
        k <= order, binomial + sampled + (k * k - k) / (2 * noise_multiplier**2), -np.inf
    )
    divergence = steps * logsumexp(terms, axis=1) / (ORDERS - 1)
    epsilons = (
        divergence + np.log1p(-1 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / (ORDERS - 1)
    )
    best = int(epsilons.argmin())
    return max(float(epsilons[best]), 0.0), int(ORDERS[best])


def pld_epsilon(sample_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Upper bound of epsilon, tight to a fraction of a per cent, from the distribution of the privacy loss.

    The loss of one step is put on a grid and composed by FFT (Koskela, Jälkö & Honkela 2020,
    arXiv:1906.03049; Gopi, Lee & Wutschitz 2021, arXiv:2106.02848). Rounding is pessimistic: see
    `_loss_on_grid`. What the grid does not reach is added to delta. The worse of adding and
    removing a record counts. Floating-point error limits it to a delta above about 1e-10.

    Returns:
        epsilon of at least 0; exact (closed form) at sample rate 1.
    """
    _check(sample_rate, noise_multiplier, steps, delta)
    if sample_rate == 1:
        return gaussian_epsilon(math.sqrt(steps) / noise_multiplier, delta)
    return max(
        _composed(sample_rate, noise_multiplier, steps, delta, removed) for removed in (True, False)
    )


def _composed(
    sample_rate: float, noise_multiplier: float, steps: int, delta: float, removed: bool
) -> float:
    reach, order = _rdp(sample_rate, noise_multiplier, steps, TAIL * delta)
    reach += 1.0  # the Rényi bound is of epsilon; one more makes it a bound of the loss itself
    grid = np.linspace(-reach, reach, POINTS, endpoint=False)
    one, infinite = _loss_on_grid(sample_rate, noise_multiplier, grid, removed)
    # The FFT is circular. Losses below the grid come back at its top, which is pessimistic; those
    # above it come back at the bottom, so their probability (Chernoff's bound) is added to delta.
    beyond = math.exp(
        min(0.0, steps * float(logsumexp((order - 1) * grid, b=one)) - (order - 1) * reach)
    )
    beyond -= math.expm1(steps * math.log1p(-infinite))
    total = np.maximum(np.fft.fftshift(irfft(rfft(np.fft.ifftshift(one)) ** steps, POINTS)), 0.0)

    def excess(epsilon: float) -> float:
        above = np.searchsorted(grid, epsilon)
        return float(total[above:] @ -np.expm1(epsilon - grid[above:])) + beyond - delta

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, reach)) if excess(reach) < 0 else math.inf


def _loss_on_grid(
    sample_rate: float, noise_multiplier: float, grid: Array, removed: bool
) -> tuple[Array, float]:
    """Probabilities of the grid's losses, and of a loss above it, in one step.

    The mass between two losses goes to both of them, such that the probabilities under both data
    sets are kept. That spreads exp(-loss) around its mean, so no delta becomes smaller, in one step
    or composed (Doroshenko et al. 2022, arXiv:2207.04380).
    """

    def gradient(loss: Array) -> Array:
        """The noisy sum, in clipping norms, whose log likelihood ratio (with over without the record) is `loss`."""
        with np.errstate(all="ignore"):  # losses that no outcome has
            odds = loss + np.log(-np.expm1(math.log1p(-sample_rate) - loss)) - math.log(sample_rate)
        return np.asarray(
            np.where(loss > math.log1p(-sample_rate), noise_multiplier**2 * odds + 0.5, -np.inf)
        )

    def without(a: Array, b: Array, mean: float = 0.0) -> Array:
        """Mass between a and b of the noise around `mean`, from the tail that is nearer."""
        a, b = (a - mean) / noise_multiplier, (b - mean) / noise_multiplier
        return np.asarray(np.where(a > 0, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a)))

    def with_record(a: Array, b: Array) -> Array:
        return np.asarray((1 - sample_rate) * without(a, b) + sample_rate * without(a, b, 1.0))

    edges = (
        gradient(np.r_[-np.inf, grid, np.inf])
        if removed
        else gradient(-np.r_[-np.inf, grid, np.inf])
    )
    edges[[0, -1]] = (-np.inf, np.inf) if removed else (np.inf, -np.inf)
    a, b = (edges[:-1], edges[1:]) if removed else (edges[1:], edges[:-1])
    mass, other = (
        (with_record(a, b), without(a, b)) if removed else (without(a, b), with_record(a, b))
    )
    inner, width = mass[1:-1], grid[1] - grid[0]
    with np.errstate(divide="ignore"):
        upper = np.clip(
            (inner - np.exp(grid[:-1] + np.log(other[1:-1]))) / -math.expm1(-width), 0.0, inner
        )
    return np.r_[mass[0], upper] + np.r_[inner - upper, 0.0], float(mass[-1])


def recompute(
    sample_rate: float, noise_multiplier: float, steps: int, delta: float
) -> dict[str, float | None]:
    """Epsilon of a logged run: `exact` (None if records were sampled), and two upper bounds, `pld` (tight) and `rdp` (loose)."""
    logged = (sample_rate, noise_multiplier, steps, delta)
    pld = pld_epsilon(*logged)
    return {"exact": pld if sample_rate == 1 else None, "pld": pld, "rdp": rdp_epsilon(*logged)}


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
