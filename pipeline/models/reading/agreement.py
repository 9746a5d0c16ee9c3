"""What was read is held against the model itself: the model has the last word."""

from collections.abc import Callable

import numpy as np
import torch

from pipeline.data.schema import Schema
from pipeline.files import FailedCheck
from pipeline.models.networks import Networks
from pipeline.models.trees import Trees
from pipeline.seeds import Stream, generator
from pipeline.statistics import Array
from pipeline.statistics.operating_point import logistic

AGREES = 1e-9  # probabilities of the library's and of ours; both add up float64
AGREES_ROUNDED = 1e-5  # ours or the library's are float32
# A label is not compared where the chance lies so near the cut: in a forest whose trees tie, it is
# whichever way the library's sum was rounded, which hangs on the order of its threads.
ROUNDING = 1e-12
MOST = float(np.finfo(np.float32).max)
ASKED = 1000  # made up records, on which a reading is checked beside those that are known

Ask = Callable[[Array], Array]  # records (B, D) float32 -> probability of class 1 (B,)


def held_against(
    read: Trees | Networks, ask: Ask, records: Array, *, what: str, tolerance: float | None = None
) -> None:
    """Whether what was read, of one member, says what the model says of records.

    Args:
        read: the reading; its cut is where it calls ill.
        ask: the model itself.
        records: (B, D) float32, NaN = missing; none of them is told of.
        what: is spoken of, for the message.
        tolerance: of a probability; None: `AGREES`, of networks `AGREES_ROUNDED`.

    Raises:
        FailedCheck: a label differs, or a probability by more.
    """
    if tolerance is None:
        tolerance = AGREES_ROUNDED if isinstance(read, Networks) else AGREES
    said, ours = np.asarray(ask(records), dtype=np.float64), chances(read, records)
    if said.shape != ours.shape:
        raise FailedCheck(f"{what}: answers {said.shape} where {ours.shape} were asked for")
    line = float(logistic(read.cut.double().numpy())[0])
    other = ((said > line) != (ours > line)) & ~(np.abs(said - line) <= ROUNDING)
    apart = np.abs(said - ours)
    wrong = other | ~(apart <= tolerance)
    if wrong.any():
        raise FailedCheck(
            f"{what}: what was read answers otherwise than the model: about {int(wrong.sum())} of "
            f"{len(records)} records, by up to {float(apart.max()):.2g} in probability, "
            f"{int(other.sum())} of them with the other label"
        )


@torch.no_grad()
def chances(read: Trees | Networks, records: Array) -> Array:
    """(B,) float64: the probability of class 1 that one member gives to records (B, D)."""
    x = torch.from_numpy(np.ascontiguousarray(records, dtype=np.float32))[None]
    if isinstance(read, Trees):
        total = read.totals(x)[0]
        return (total.sigmoid() if read.architecture.link == "log_odds" else total).numpy()
    logits = read.double()(x.double())[0]
    return np.asarray(logistic((logits[:, 1] - logits[:, 0] + read.cut).numpy()))


def made_up(schema: Schema, seed: int, count: int = ASKED) -> Array:
    """(count, D) float32 records drawn from the plausible range, which nobody trained on."""
    low, high = (schema.column(name).float() for name in ("lower", "upper"))
    drawn = torch.rand(count, len(low), generator=generator(Stream.READING, seed))
    values = low + drawn * (high - low)
    whole = torch.tensor([bool(feature.levels) for feature in schema.features])
    return torch.where(whole, values.round(), values).numpy()


def on_thresholds(read: Trees, records: Array) -> Array:
    """(B, D) float32: the records, each value moved onto a threshold, or next to it above.

    A missing value stays missing, and a feature that nothing is asked about as it is. Here a reader
    shows that takes `<` for `<=`, or a threshold for its neighbour.
    """
    moved, trees = records.astype(np.float32), read.trees(0)
    inner = [tree.left != np.arange(len(tree.left)) for tree in trees]
    feature = np.concatenate([tree.feature[asks] for tree, asks in zip(trees, inner, strict=True)])
    cut = np.concatenate([tree.threshold[asks] for tree, asks in zip(trees, inner, strict=True)])
    for place in range(moved.shape[1]):
        cuts = np.unique(cut[(feature == place) & (np.abs(cut) < MOST)])
        if not len(cuts):
            continue
        turn = np.arange(len(moved)) * (place + 1)
        at = largest_below(cuts)[turn // 2 % len(cuts)]
        beside = np.where(turn % 2 == 0, at, np.nextafter(at, np.float32(np.inf)))
        moved[:, place] = np.where(np.isnan(moved[:, place]), np.float32(np.nan), beside)
    return moved


def largest_below(cuts: Array) -> Array:
    """The largest float32 that is at most each of the thresholds, float64."""
    below = cuts.astype(np.float32)
    return np.where(
        below.astype(np.float64) > cuts, np.nextafter(below, np.float32(-np.inf)), below
    )
