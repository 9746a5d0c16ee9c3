"""What honest queries look like, as the audit measured it: what alarms are held against.

Shares and counts of bins, of out-of-fold answers; no value of a patient, and no count below 10.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipeline.files import BadInput
from pipeline.statistics import Array
from pipeline.statistics.patients import effective_number
from pipeline.statistics.streams import most

FEW = 10  # patients; fewer are not told
PARTS, PARTS_OF_INPUTS = 10, 5  # into which scores are cut, and each measurement
DIGITS = 2  # to which edges are rounded, so that none is the value of a patient


@dataclass(frozen=True)
class Share:
    """How many of how many, in patients; averages over repetitions are fractions.

    Attributes:
        count: never less than there were: fewer than 10 are told as 9, and where fewer than 10
            are not among them as `of`.
        of: at least 10.
    """

    count: float
    of: float

    def most(self, confidence: float) -> float:
        """The largest honest rate that this is likely to be of; 1 = nothing exceeds it."""
        return most(self.count, self.of, confidence)


@dataclass(frozen=True)
class Bins:
    """How values spread.

    Attributes:
        edges: (K - 1,) increasing, rounded; a value on an edge lies above it.
        counts: (K,) in each bin, at least 10.
        of: patients.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    of: float

    def place(self, value: float) -> int:
        """The bin of a value, 0 ... K - 1."""
        return bisect_right(self.edges, value)


@dataclass(frozen=True)
class Honest:
    """What the audit measured; None where fewer than 10 patients were asked.

    Attributes:
        patients: who were asked.
        referred: of all, who are referred at the radius that alarms count.
        near: of those who are answered, whose radius is near that of the certificate.
        missed: of the ill who are answered, who are answered healthy.
        wrong: of those who are answered, who are answered wrongly.
        scores: how scores spread; None where they do not.
        inputs: how each measurement spreads, where it does.
    """

    patients: int
    referred: Share | None
    near: Share | None
    missed: Share | None
    wrong: Share | None
    scores: Bins | None
    inputs: dict[str, Bins] = field(default_factory=dict)

    def saved(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def read(cls, saved: Mapping[str, Any], where: str) -> "Honest":
        """What `saved` made.

        Raises:
            BadInput: it is something else; the line begins with `where`.
        """
        try:
            return TypeAdapter(cls).validate_python(dict(saved))
        except ValidationError as error:
            fault = error.errors()[0]
            at = ".".join(str(part) for part in fault["loc"])
            raise BadInput(f"{where}: {at}: {fault['msg']}; honest rates are made anew") from error


def honest_rates(
    *,
    y: Array,
    decision: Array,
    score: Array,
    referred: Array,
    alarmed: Array,
    near: Array,
    inputs: Mapping[str, Array],
    whose: Array | None = None,
) -> Honest:
    """The rates of honest queries, of out-of-fold answers: S repetitions of the N records.

    A model that is served was trained on all of them; its own answers to them would be too good.

    Args:
        y: (N,) 0 or 1.
        decision: (S, N) 0 or 1, at the operating point.
        score: (S, N) in 0 to 1.
        referred: (S, N) bool, at the radius of the certificate.
        alarmed: (S, N) bool, at the radius that alarms count.
        near: (S, N) bool, whose radius is near that of the certificate.
        inputs: by column (N,); NaN = not measured.
        whose: (N,) int64, the patient of each record, from 0; None = one record each. Records of
            one patient count as if they said the same.
    """
    people = np.arange(len(y)) if whose is None else whose
    each = effective_number(people) / len(y)
    answered, ill = ~referred.astype(bool), np.broadcast_to(y == 1, decision.shape)
    everyone = np.ones_like(answered)
    return Honest(
        patients=len(np.unique(people)),
        referred=_share(alarmed, everyone, each),
        near=_share(near, answered, each),
        missed=_share(decision == 0, answered & ill, each),
        wrong=_share(decision != y, answered, each),
        scores=_bins(score, PARTS, each),
        inputs={
            name: bins
            for name, values in inputs.items()
            if (bins := _bins(np.asarray(values)[None], PARTS_OF_INPUTS, each)) is not None
        },
    )


def _share(what: Array, among: Array, each: float) -> Share | None:
    of = float(among.sum() / len(among) * each)
    count = float((what.astype(bool) & among).sum() / len(among) * each)
    if of < FEW:
        return None
    if of - count < FEW:
        count = of
    return Share(round(max(count, FEW - 1), 3), round(of, 3))


def _bins(values: Array, parts: int, each: float) -> Bins | None:
    """Equally many in each part, as far as rounded edges and 10 in each allow; None of one part."""
    known = values[~np.isnan(values)]
    unit = each / len(values)
    if len(known) * unit < 2 * FEW:
        return None
    edges: list[float] = []
    for edge in np.unique(_rounded(np.quantile(known, np.arange(1, parts) / parts))):
        between = (known < edge) & (known >= (edges[-1] if edges else -np.inf))
        if between.sum() * unit >= FEW and (known >= edge).sum() * unit >= FEW:
            edges.append(float(edge))
    if not edges:
        return None
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    told = tuple(round(float(count * unit), 3) for count in counts)
    return Bins(tuple(edges), told, round(float(len(known) * unit), 3))


def _rounded(values: Array) -> Array:
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])
