"""A model of somebody else's is asked about records of nobody, before anybody's."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.schema import Dataset, Schema
from pipeline.files import BadInput
from pipeline.models.questions import Gaps, chances, framed
from pipeline.models.reading import made_up
from pipeline.statistics import Array

SAME = 1e-6  # of two answers to one record: sums in another order differ in the last digits
PROBES = 256  # made up records that a model is asked about before any patient's
DRAWN = 0  # the seed of these records: one model is known again whatever the seed of an audit
SLOW = 0.02  # seconds a record, from which on hundreds of thousands of questions take hours


def probes(schema: Schema, missing: Sequence[int]) -> Array:
    """Records of nobody, on the clinic's grid: PROBES, and behind them one more for each gap.

    Args:
        schema: of the records.
        missing: places of K columns, each of which one of the last K records lacks.

    Returns:
        (PROBES + K, D) float32; the first PROBES are those of the schema alone.
    """
    x = made_up(schema, DRAWN, PROBES)
    for place, feature in enumerate(schema.features):
        if step := feature.step or (1.0 if feature.kind == "integer" else None):
            on_grid = np.round(x[:, place].astype(np.float64) / step) * step
            x[:, place] = np.clip(on_grid, feature.lower, feature.upper)
    lacking = x[np.arange(len(missing)) % PROBES]
    lacking[np.arange(len(missing)), missing] = np.nan
    return np.concatenate([x, lacking])


def frame_of_nobody(dataset: Dataset, gaps: Gaps = "empty") -> pd.DataFrame:
    """The `probes` beside a data set, as a model is asked about them."""
    missing = dataset.x.isnan().any(0).nonzero()[:, 0].tolist()
    return framed(probes(dataset.schema, missing), dataset.schema, gaps)


def acquainted(
    ask: Callable[[pd.DataFrame], Any], dataset: Dataset, what: str, gaps: Gaps = "empty"
) -> Array:
    """Asks a model about records of nobody, before anybody's.

    Args:
        ask: the model.
        dataset: the records that it will be asked about; what some patient lacks, lacks here too.
        what: it is, for messages.
        gaps: how a missing value is told.

    Returns:
        (PROBES + K,) float64, what it says of the `probes` of K columns.

    Raises:
        BadInput: it answers otherwise than a model does: see `chances`; or with labels, in another
            order, differently on two calls, or too slowly.
    """
    frame = frame_of_nobody(dataset, gaps)
    few = slice(None, -9, -1)  # the last first, and nobody else beside them
    alone, took = _timed(ask, frame[few], what)
    if took > SLOW * len(frame):  # whoever takes minutes is told so after seconds
        alone, took = _timed(ask, frame[few], what)  # some open what they need when first asked
        if took > SLOW * len(frame):
            raise _slow(what, took / len(alone))
    said, took = _timed(ask, frame, what)
    if took > SLOW * len(frame):
        raise _slow(what, took / len(frame))
    if set(np.unique(said)) <= {0.0, 1.0}:
        raise BadInput(
            f"{what}: answers with labels, 0 or 1; expected probabilities of disease, as "
            "predict_proba gives them"
        )
    if (apart := np.abs(chances(ask, frame, what) - said).max()) > SAME:
        raise BadInput(
            f"{what}: answers the same records differently on two calls, by up to {apart:.2g}; "
            "expected a model whose answers repeat"
        )
    if (apart := np.abs(alone - said[few]).max()) > SAME:
        raise BadInput(
            f"{what}: answers in another order than it is asked in, or by what else is asked (by "
            f"up to {apart:.2g}); expected one answer a record, in the order of the records"
        )
    return said


def _timed(
    ask: Callable[[pd.DataFrame], Any], frame: pd.DataFrame, what: str
) -> tuple[Array, float]:
    """What a model says, and the seconds that it takes."""
    began = time.monotonic()
    said = chances(ask, frame, what)
    return said, time.monotonic() - began


def _slow(what: str, took: float) -> BadInput:
    return BadInput(
        f"{what}: takes {took:.2g} s a record, and attacks ask about hundreds of thousands; "
        f"expected at most {SLOW:g} s: take many records in one call"
    )


def digest_of(said: Array) -> str:
    """What tells a model from another, whoever its patients are: what it says of nobody.

    Of records that lack nothing, to six decimals: what patients of one audit lack and those of
    another do not makes no other model of it. So what it makes of gaps is no part of this.
    """
    return _hashed(said[:PROBES])


def version_of_answers(said: Array) -> str:
    """As `digest_of`, and of what it makes of gaps: whoever keeps its answers goes by this."""
    return _hashed(said)


def _hashed(said: Array) -> str:
    return hashlib.sha256(np.round(said, 6).tobytes()).hexdigest()
