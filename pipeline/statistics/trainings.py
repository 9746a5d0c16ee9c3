"""How far a figure of a recipe moves from one cohort to the next: new patients and new trainings.

A cross-validated figure answers one of two questions. "These models on new patients": the models
stand, patients vary. "This recipe on a new cohort of this size": the models would be others, too.
To the first order the figure of a cohort of n patients is

    figure = its mean over cohorts + (1 / n) sum over patients of (e + a),

where e is what a patient adds as one of those who are asked, and a as one of those who are learned
from (Hoeffding 1948; the influence of a record in the infinitesimal jackknife, Efron 2014,
doi:10.1080/01621459.2013.823775). Hence

    variance = [mean of e² + mean of a² + 2 x mean of e x a] / n + the seeds' share.

The first term is what a bootstrap over patients gives. The others are read off models that train on
random halves of the same patients. One that trains on the half S answers, up to a constant, with
the quality (2 / n) sum over S of a, so that half the mean square of the difference d of two of them
is the mean of a² over n: halves vary as much as cohorts of n do, since they are half as large and
share half of their patients. Nothing is scaled afterwards, but for this one assumption: the
variance of a training falls as 1 / n between n / 2 and n. The mean of e x a over n is likewise the
mean of d x (the difference of the sums of e over the two halves) / n. All d are taken on patients
whom neither model saw.

One figure is another matter: the one that a rule holds where it wants it, by a cut at a quantile of
the very patients who are learned from (specificity under the rule "specificity"). There a = -e, and
the first order is nothing, whatever parts show that are estimated apart. What is left is how the
cohort falls into folds, and the seeds: the repetitions of the cross-validation vary by just that.

A patient with several records is one patient: what his records add is added up before it is squared
(Liang and Zeger 1986, doi:10.1093/biomet/73.1.13; of placements Obuchowski 1997,
doi:10.2307/2533958), and a half holds all of his records or none.

Shapes: M half models, N records, of P patients; `train` (M, N) bool says who learned from whom:
equal rows are trainings on one half with other seeds. Where nobody who is asked is learned from, as
with an official split, `train` is empty and `half` (M,) int64 says which models trained on one
half; e x a is nothing then. `whose` (N,) int64 numbers the patients from 0; None = each record is
of somebody else.
"""

from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal

import numpy as np

from pipeline.statistics import Array
from pipeline.statistics.edges import Share, error_of_difference, is_at_edge, widened_share
from pipeline.statistics.halves import Pairs, pairs_of_auroc, pairs_of_means
from pipeline.statistics.patients import added
from pipeline.statistics.rates import auroc, placements

Figure = Literal["accuracy", "sensitivity", "specificity", "auroc"]
Question = Literal["these models on new patients", "this recipe on a new cohort of this size"]
RECIPE: Question = "this recipe on a new cohort of this size"
MODELS: Question = "these models on new patients"
LEAST = 0.5  # of the larger part, below which no sum of all parts is believed
REPETITIONS = 3  # that show how much they vary, at the least


class TooFewHalves(ValueError):
    """Half models that do not allow an estimate."""


def asked(figure: Figure, y: Array) -> Array:
    """(N,) bool: the patients of whom a figure is a mean of right answers."""
    return np.asarray({"accuracy": y >= 0, "sensitivity": y == 1, "specificity": y == 0}[figure])


def influence_of_mean(each: Array, where: Array) -> Array:
    """(N,): what each patient adds to a mean over the patients `where`; its own mean is 0.

    Args:
        each: (N,) per-patient values, models averaged.
        where: (N,) bool.
    """
    if not where.any():
        return np.full(len(each), np.nan)
    centred = np.where(where, each - each[where].mean(), 0.0)
    return np.asarray(centred * (len(each) / where.sum()))


def influence_of_auroc(scores: Array, y: Array, against: Array | None = None) -> Array:
    """(N,): what each patient adds to the AUROC, by placement (DeLong et al. 1988); mean 0.

    Args:
        scores: (S, N), AUROCs are averaged over S.
        y: (N,) 0 or 1.
        against: (S, N) scores of another recipe, whose AUROC is subtracted.
    """
    won = placements(scores, y)
    if against is not None:
        won = won - placements(against, y)
    each = np.empty(len(y))
    for label in (0, 1):
        own = y == label
        each[own] = (won[own] - won[own].mean()) * (len(y) / max(own.sum(), 1))
    return each


@dataclass(frozen=True)
class Spread:
    """Where the variance of a recipe's figure comes from; each is a variance of the figure.

    Attributes:
        patients: of who is asked, the models as they are.
        trainings: of who is learned from, the seeds' noise taken out; below 0 by chance.
        seeds: of one model's seed; below 0 by chance.
        together: twice the covariance of being asked and being learned from; of either sign.
        models: how many models, each with its own seed, the figure is the mean of.
        held: None, or of a figure that a rule holds where it wants it: the variance of the figure
            by folds and seeds, which is all that is left.
    """

    patients: float
    trainings: float
    seeds: float
    together: float
    models: int
    held: float | None = None

    def variance(self, question: Question = RECIPE) -> float:
        """Of the figure: for the recipe all parts together, for these models that of patients.

        Estimated parts may cancel each other almost entirely, or beyond zero: their sum is never
        taken for less than `LEAST` of the larger part.
        """
        if question == MODELS:
            return self.patients
        if self.held is not None:
            return self.held
        luck = self.seeds
        learned = self.trainings + luck / self.models
        return max(self.patients + learned + self.together, LEAST * max(self.patients, learned))


@dataclass(frozen=True)
class Estimate:
    """A figure and where its variance comes from.

    Attributes:
        value: the figure.
        spread: the parts of its variance.
        shares: of a share what it is the mean of, of a difference of two shares both; empty: of
            neither, and nothing is made wider near 0 or 1.
    """

    value: float
    spread: Spread
    shares: tuple[Share, ...] = field(default=(), compare=False)

    def se(self, question: Question = RECIPE) -> float:
        """The standard error; of the difference of two shares that of `edges` where few differ."""
        found = float(self.spread.variance(question) ** 0.5)
        return error_of_difference(*self.shares, found) if len(self.shares) == 2 else found

    def interval(
        self,
        confidence: float = 0.95,
        question: Question = RECIPE,
        limits: tuple[float, float] = (0.0, 1.0),
    ) -> tuple[float, float]:
        """The normal interval, cut off at the figure's limits: (-1, 1) for a difference.

        That of a share near 0 or 1 is no narrower than Wilson's.
        """
        se = self.se(question)
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * se
        bounds = max(self.value - reach, limits[0]), min(self.value + reach, limits[1])
        if len(self.shares) != 1 or not is_at_edge(self.value, se):
            return bounds
        return widened_share(self.value, bounds, self.shares[0].number, confidence)


def estimate_mean(
    reported: Array,
    halves: Array,
    train: Array,
    where: Array,
    *,
    models: int,
    held: bool = False,
    whose: Array | None = None,
    half: Array | None = None,
    against: Array | None = None,
) -> Estimate:
    """A share of patients, or the paired difference of two recipes in it.

    Args:
        reported: (S, N) out-of-fold values of the reported models in 0 to 1, one row a repetition.
        halves: (M, N) values of the half models; only those of patients outside are read. Of a
            difference, one recipe's less the other's, patient by patient.
        train: (M, N) bool.
        where: (N,) bool, whom the figure is the mean of (`asked`).
        models: how many models the reported figure is the mean of.
        held: whether a rule holds it where it wants it, by a cut chosen on the training patients.
        whose: (N,) or None.
        half: (M,) or None, as `spread` has it.
        against: (S, N) of the other recipe, which are taken away; None = there is none.

    Raises:
        TooFewHalves: the half models do not allow an estimate; see `spread`.
        ValueError: some records of a patient were learned from, others not.
    """
    sides = [np.asarray(one, dtype=np.float64) for one in (reported, against) if one is not None]
    reported = sides[0] if against is None else sides[0] - sides[1]
    each = reported.mean(0)
    shares = tuple(Share(np.where(where, one.mean(0), np.nan), whose) for one in sides)
    pairs = pairs_of_means(halves, train, where, whose)
    own = influence_of_mean(each, where)
    found = spread(own, pairs, train, models=models, whose=whose, half=half)
    if held:
        found = replace(found, held=between_repetitions(reported[:, where].mean(1)))
    return Estimate(float(each[where].mean()), found, shares)


def between_repetitions(figures: Array) -> float | None:
    """The variance of the mean of S repetitions by what is drawn anew in each: folds and seeds.

    It is made larger, by what makes a normal interval of 95 % as wide as Student's with S - 1
    degrees of freedom, since so few values know their own variance badly.

    Args:
        figures: (S,) of the repetitions of a cross-validation.

    Returns:
        None where S is below `REPETITIONS`.
    """
    if len(figures) < REPETITIONS:
        return None
    from scipy.stats import norm, t

    wider = t.ppf(0.975, len(figures) - 1) / norm.ppf(0.975)
    return float(figures.var(ddof=1) / len(figures) * wider**2)


def estimate_auroc(
    reported: Array,
    halves: Array,
    train: Array,
    y: Array,
    *,
    models: int,
    against: tuple[Array, Array] | None = None,
    whose: Array | None = None,
    half: Array | None = None,
) -> Estimate:
    """AUROC, or the paired difference of two recipes in it.

    Args:
        reported: (S, N) out-of-fold scores of the reported models, HIGHER = MORE LIKELY ILL.
        halves: (M, N) scores of the half models; only those of patients outside are read.
        train: (M, N) bool.
        y: (N,) 0 or 1.
        models: how many models the reported figure is the mean of.
        against: the other recipe's reported scores and its half models' scores.
        whose: (N,) or None.
        half: (M,) or None, as `spread` has it.

    Raises:
        TooFewHalves: the half models do not allow an estimate; see `spread`.
        ValueError: some records of a patient were learned from, others not.
    """
    others, half_others = against or (None, None)
    pairs = pairs_of_auroc(halves, train, y, half_others, whose)
    influence = influence_of_auroc(reported, y, others)
    found = spread(influence, pairs, train, models=models, whose=whose, half=half)
    value = auroc(reported, y) - (0.0 if others is None else auroc(others, y))
    return Estimate(value, found)


def halves_of(train: Array) -> Array:
    """(M,) int64: models of one number trained on the same patients, by `train` (M, N)."""
    return np.asarray(np.unique(train, axis=0, return_inverse=True)[1].reshape(-1))


def spread(
    influence: Array,
    pairs: Pairs,
    train: Array,
    *,
    models: int,
    whose: Array | None = None,
    half: Array | None = None,
) -> Spread:
    """Takes the variance of a recipe's figure apart.

    Args:
        influence: (N,) of `influence_of_mean` or `influence_of_auroc`, of the reported models.
        pairs: of `pairs_of_means` or `pairs_of_auroc`, of the half models.
        train: (M, N) bool.
        models: that the reported figure is the mean of, each with a seed of its own.
        whose: (N,) or None.
        half: (M,) which models trained on one half; None = those whose rows of `train` are equal.

    Raises:
        TooFewHalves: no two different halves, or no half with two seeds, whose pair leaves enough
            patients to be asked.
    """
    records = len(influence)
    if half is None:
        half = halves_of(train)
    usable = np.triu(np.isfinite(pairs.noise), 1)
    same = usable & (half[:, None] == half)
    others = usable & ~same
    if not same.any() or not others.any():
        raise TooFewHalves("half models must train on several halves, and on some of them twice")
    each = influence if whose is None else added(influence, whose)
    squares = (pairs.difference**2 - pairs.noise) / 2
    learned = train @ influence
    together = pairs.difference * (learned[:, None] - learned) / records
    of_seeds = float(squares[same].mean())
    return Spread(
        patients=float((each**2).sum() / records**2),
        trainings=float(squares[others].mean()) - of_seeds,
        seeds=of_seeds,
        together=2 * float(together[others].mean()),
        models=models,
    )
