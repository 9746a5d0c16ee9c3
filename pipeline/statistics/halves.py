"""Half models against each other: how far apart two are, and how much of that is who was asked.

Shapes: M half models, N records, of P patients; `train` (M, N) bool says who learned from whom.
`whose` (N,) int64 numbers the patients from 0; None = each record is of somebody else.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.statistics import Array
from pipeline.statistics.patients import added, first_records, numbered


@dataclass(frozen=True)
class Pairs:
    """Half models against each other, on the patients whom neither saw.

    Attributes:
        difference: (M, M) figure of model i less that of model j.
        noise: (M, M) variance of that difference over the patients asked, unbiased; not a number
            where fewer than two could be asked.
    """

    difference: Array
    noise: Array


def pairs_of_means(values: Array, train: Array, where: Array, whose: Array | None = None) -> Pairs:
    """Every pair of half models, by a figure that is a mean over records.

    Args:
        values: (M, N) what each model scores with each patient: 1 where right, else 0; of a paired
            difference, one recipe's less the other's.
        train: (M, N) bool.
        where: (N,) bool, the records of which the figure is the mean (`asked`).
        whose: (N,) or None.

    Raises:
        ValueError: some records of a patient were learned from, others not.
    """
    whose = _on_one_side(train, whose)
    each = added(np.where(~train & where, values, 0.0), whose)
    asked_of = _Asked.of(~train, where, whose)
    scored, squares = each @ asked_of.free.T, each**2 @ asked_of.free.T
    total = scored - scored.T
    lean = (asked_of.more * each) @ asked_of.free.T
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = asked_of.noise(squares + squares.T - 2 * each @ each.T, total, lean - lean.T)
        return Pairs(total / asked_of.records, noise)


@dataclass(frozen=True)
class _Asked:
    """Whom two models are asked about, neither of which learned from him.

    Attributes:
        free: (M, P) 1.0 for the patients whom a model did not learn from, of whom a record counts.
        more: (P,) how many records of each count beyond the first.
        patients: (M, M) how many of them two models have in common.
        records: (M, M) how many records.
    """

    free: Array
    more: Array
    patients: Array
    records: Array

    @classmethod
    def of(cls, unseen: Array, where: Array, whose: Array) -> "_Asked":
        """Of the records `unseen` (M, N) by each model, those `where` (N,) counted."""
        count = added(where.astype(np.float64), whose)
        free = (unseen[:, first_records(whose)] & (count > 0)).astype(np.float64)
        more = np.maximum(count - 1, 0)
        patients = free @ free.T
        return cls(free, more, patients, patients + (free * more) @ free.T)

    def noise(self, squares: Array, total: Array, lean: Array) -> Array:
        """(M, M): the variance of `total` over `records`, which patients bring together, unbiased.

        Args:
            squares: (M, M) sums over patients of the squared sum of each.
            total: (M, M) sums over patients.
            lean: (M, M) sums over patients of the sum of each, times `more`.
        """
        size = self.records / self.patients
        spread = squares / self.patients - (total / self.patients) ** 2
        uneven = (self.free * self.more**2) @ self.free.T - self.patients * (size - 1) ** 2
        mean = total / self.records
        leaning = 2 * mean * (lean - (size - 1) * total)
        spread = np.maximum(spread - (leaning - mean**2 * uneven) / self.patients, 0)
        unbiased = spread / (self.patients - 1) / size**2
        return np.asarray(np.where(self.patients > 1, unbiased, np.nan))


def _on_one_side(train: Array, whose: Array | None) -> Array:
    """`whose`, or everybody for himself.

    Raises:
        ValueError: some records of a patient were learned from, others not.
    """
    if whose is None:
        return np.arange(train.shape[1])
    if (train != train[:, first_records(whose)][:, whose]).any():
        raise ValueError("half models learned from some records of a patient, but not from others")
    return whose


def pairs_of_auroc(
    scores: Array, train: Array, y: Array, against: Array | None = None, whose: Array | None = None
) -> Pairs:
    """Every pair of half models, by AUROC: the noise is that of DeLong et al. (1988).

    Placements of one patient are added up before they are squared, those of his records with the
    disease and without it together (Obuchowski 1997, doi:10.2307/2533958).

    Args:
        scores: (M, N) HIGHER = MORE LIKELY ILL.
        train: (M, N) bool.
        y: (N,) 0 or 1.
        against: (M, N) scores of another recipe on the same halves: its AUROC is subtracted.
        whose: (N,) or None.

    Raises:
        ValueError: some records of a patient were learned from, others not.
    """
    whose = _on_one_side(train, whose)
    ill, healthy = (~train[:, y == label] for label in (1, 0))
    free_ill, free_healthy = (free.astype(np.float32) for free in (ill, healthy))
    # of model i on the patients whom neither i nor j saw: wins of each ill one, of each healthy one
    of_ill = np.zeros((len(train), *ill.shape), dtype=np.float32)
    of_healthy = np.zeros((len(train), *healthy.shape), dtype=np.float32)
    for one, (asked_ill, asked_healthy) in enumerate(zip(ill, healthy, strict=True)):
        both_ill, both_healthy = free_ill[:, asked_ill], free_healthy[:, asked_healthy]
        for table, sign in ((scores, 1), (against, -1)):
            if table is None:
                continue
            own = table[one, y == 1][asked_ill], table[one, y == 0][asked_healthy]
            of_ill[one][:, asked_ill] += sign * _lost_to(*own, both_healthy) * both_ill
            won = both_ill.sum(1, keepdims=True) - _lost_to(*own[::-1], both_ill)
            of_healthy[one][:, asked_healthy] += sign * won * both_healthy
    total = of_ill.sum(2, dtype=np.float64)
    total = total - total.T
    sides = [
        _Placed.of(won, total, ~train[:, y == label], whose[y == label])
        for won, label in ((of_ill, 1), (of_healthy, 0))
    ]
    ills, healthies = (side.asked.records for side in sides)
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = sides[0].noise() / healthies**2
        noise += sides[1].noise() / ills**2
        noise += _of_both(*sides) / (ills * healthies)
        return Pairs(total / (ills * healthies), noise)


def _lost_to(scores: Array, others: Array, counts: Array) -> Array:
    """(M, K): how many of the others (L,) each of the scores (K,) outscores, ties half.

    By their order, not pair by pair; of each model's own others alone, `counts` (M, L), 0 or 1.
    """
    order = np.argsort(others, kind="stable")
    below = np.zeros((len(counts), len(others) + 1), dtype=np.float32)
    np.cumsum(counts[:, order], axis=1, out=below[:, 1:])
    ranked = others[order]
    left, right = (np.searchsorted(ranked, scores, side=side) for side in ("left", "right"))
    return np.asarray((below[:, left] + below[:, right]) / 2)


@dataclass(frozen=True)
class _Placed:
    """How much more model i wins than model j, patient by patient, on one side of the diagnosis.

    Attributes:
        patients: (P,) the numbers of those who have a record on this side.
        won: (M, M, P) what model i wins more than model j, records added up.
        total: (M, M) sums over patients.
        asked: who they are.
    """

    patients: Array
    won: Array
    total: Array
    asked: _Asked

    @classmethod
    def of(cls, won: Array, total: Array, unseen: Array, whose: Array) -> "_Placed":
        """From wins (M, M, n) of n records on this side, of the patients `whose` (n,)."""
        own = numbered(whose)
        asked_of = _Asked.of(unseen, np.ones(len(own), dtype=bool), own)
        more = won - won.transpose(1, 0, 2)
        return cls(whose[first_records(own)], added(more, own), total, asked_of)

    def noise(self) -> Array:
        """(M, M): variance of the mean over the records of what model i won more than model j."""
        squares = np.einsum("ijk,ijk->ij", self.won, self.won)
        return self.asked.noise(squares, self.total, self.won @ self.asked.more)

    def off_mean(self, some: Array) -> Array:
        """(M, M, K): of some patients, what each adds to the mean over the records; 0 if seen."""
        free = self.asked.free[:, some]
        count = (free * (1 + self.asked.more[some]))[:, None] * free
        mean, records = self.total / self.asked.records, self.asked.records
        return np.asarray((self.won[..., some] - mean[..., None] * count) / records[..., None])


def _of_both(ill: _Placed, healthy: _Placed) -> Array | float:
    """(M, M): twice the covariance by patients who have records of both diagnoses."""
    both, *places = np.intersect1d(ill.patients, healthy.patients, return_indices=True)
    if not len(both):
        return 0.0
    shared = ill.asked.free[:, places[0]]
    patients = ill.asked.patients + healthy.asked.patients - shared @ shared.T
    sides = (side.off_mean(some) for side, some in zip((ill, healthy), places, strict=True))
    return np.asarray(2 * np.einsum("ijk,ijk->ij", *sides) * patients / (patients - 1))
