"""A bootstrap of many patients: random bundles of them are drawn, and sums of each are enough.

Shapes: N records, R resamples, G bundles. Each patient is in one bundle, by chance, all his records
with him; a resample draws G bundles with replacement. Of what is a mean, a share or a ratio of sums
over patients the sums of each bundle are a sufficient statistic: a resample adds up G numbers, not
N, and (R, G) weights are held, not (R, N).

As bundles are random, their means vary as means of independent patients do: the interval answers
the question of the bootstrap over patients, these models on new patients. Its standard error is
itself uncertain, by about sqrt(1 / (2 G)) of it. (Politis and Romano 1994 draw subsets; of bags of
little bootstraps, Kleiner et al. 2014, arXiv:1112.5016, this is the plain one.)
"""

from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.seeds import Stream, numpy_generator
from pipeline.statistics import Array

BINS = 2048  # of scores of about equally many records: pairs inside one count half


class Bundled(np.ndarray[Any, np.dtype[Any]]):
    """(R, G) float32, used as the (R, N) weights of records that they stand for.

    Attributes:
        bundle: (N,) int64, in which each record is.
        whose: (N,) int64, the patient of each record.
    """

    bundle: Array
    whose: Array

    @classmethod
    def of(cls, counts: Array, bundle: Array, whose: Array) -> "Bundled":
        """Weights of bundles (R, G), and who is in which."""
        made = counts.view(cls)
        made.bundle, made.whose = bundle, whose
        return made

    def __array_finalize__(self, source: Any) -> None:
        """Copies and other types are of the same records."""
        nobody = np.zeros(0, dtype=np.int64)
        self.bundle = getattr(source, "bundle", nobody)
        self.whose = getattr(source, "whose", nobody)

    @property
    def counts(self) -> Array:
        """The plain (R, G) array."""
        return self.view(np.ndarray)

    def sums(self, values: Array) -> Array:
        """(G,) or (G, K) float64: what values (N,) or (N, K) add up to in each bundle."""
        bundles = self.shape[1]
        if values.ndim == 1:
            return np.bincount(self.bundle, values, minlength=bundles)
        return np.stack([self.sums(column) for column in values.T], -1)

    def __matmul__(self, values: Array) -> Array:  # type: ignore[override]
        """What a product with (R, N) weights is, of values (N,) or (N, K)."""
        return np.asarray(self.counts @ self.sums(np.asarray(values)))

    def sum(self, axis: int = 1, keepdims: bool = False, **_: Any) -> Array:  # type: ignore[override]
        """How many records each resample draws: over records, which are the second axis.

        Raises:
            ValueError: another axis is asked for.
        """
        if axis != 1:
            raise ValueError("bundled weights add up over records alone")
        size = np.bincount(self.bundle, minlength=self.shape[1]).astype(np.float64)
        drawn = self.counts @ size
        return np.asarray(drawn[:, None] if keepdims else drawn)

    def __getitem__(self, chosen: Any) -> Any:
        """Of `[:, where]` the same resamples of some records; no other part is taken.

        Raises:
            IndexError: something else is asked for.
        """
        match chosen:
            case (slice(start=None, stop=None, step=None), where):
                return Bundled.of(self.counts, self.bundle[where], self.whose[where])
        raise IndexError("of bundled weights only records are chosen: weights[:, where]")


@lru_cache(maxsize=4)
def bundled_weights(whose: bytes, bundles: int, resamples: int, seed: int) -> Array:
    """The weights of `Bundled`, read only.

    Args:
        whose: (N,) int64 as bytes, the patient of each record from 0; more patients than bundles.
        bundles: G, of as equally many patients as can be.
        resamples: R.
        seed: of who is in which, and of what is drawn.
    """
    patient = np.frombuffer(whose, dtype=np.int64)
    patients = int(patient.max()) + 1
    drawn = numpy_generator(Stream.BUNDLES, seed)
    place = drawn.permutation(patients) % bundles
    counts = drawn.multinomial(bundles, np.full(bundles, 1 / bundles), resamples)
    counts = counts.astype(np.float32)
    counts.flags.writeable = False
    return Bundled.of(counts, place[patient], patient)


def auroc_of_bundles(score: Array, y: Array, weights: Bundled) -> Array:
    """(R,): the resampled AUROCs, averaged over seeds, from histograms of each bundle.

    Scores are put into bins of about equally many records, equal ones into one; pairs of one bin
    count half. Not a number in a resample of one class.

    Args:
        score: (N,) or (S, N).
        y: (N,) 0 or 1.
        weights: of the N records.
    """
    score = np.atleast_2d(score)
    found = np.zeros(weights.shape[0])
    for one in score:
        edges = np.unique(np.quantile(one, np.linspace(0, 1, BINS + 1)[1:-1]))
        place = np.searchsorted(edges, one, side="right")
        ill, healthy = (
            weights.counts @ _histograms(weights, place, y == of, len(edges) + 1) for of in (1, 0)
        )
        below = healthy.cumsum(1) - healthy / 2
        total = ill.sum(1) * healthy.sum(1)
        won = (ill * below).sum(1)
        found += np.where(total > 0, won / np.maximum(total, 1e-9), np.nan)
    return np.asarray(found / len(score))


def _histograms(weights: Bundled, place: Array, of: Array, bins: int) -> Array:
    """(G, bins) float64: how many records `of` (N,) of each bundle are in each bin."""
    flat = weights.bundle[of] * bins + place[of]
    counted = np.bincount(flat, minlength=weights.shape[1] * bins)
    return counted.reshape(weights.shape[1], bins).astype(np.float64)
