"""A few forged images as they are: what was taken, what a forger presents, what models say of each.

Chosen by rule, not by eye: of the ill whom the undefended models find, by their first repetition,
the median one of those whose answer falls at each radius and at none before it.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.config import BASELINE
from pipeline.models.answers import disease_probability
from pipeline.risks.columns import DEFENSE
from pipeline.risks.evasion.measure.attackers import TRANSFER
from pipeline.risks.evasion.measure.examination import WORST, Examination, load_adversarial
from pipeline.risks.evasion.measure.margins import Margins
from pipeline.risks.risk import Context, Sources
from pipeline.statistics import Array

SCANS, SCORES = "scans", "scan_scores"
MOST = 3  # images that are shown
FIRST = 0  # the repetition whose models are shown

_IMAGE = {
    "patient": "row of the data set",
    "eps": "the radius at which the answer of the undefended model falls",
}
COLUMNS = {
    SCANS: {
        **_IMAGE,
        "taken": "grey levels as recorded, a byte each, channel by channel and row by row",
        "presented": "likewise, of the worst image for the undefended model within eps",
    },
    SCORES: {
        **DEFENSE,
        **_IMAGE,
        "taken": "probability of disease that is said of the image as recorded",
        "presented": "of what was made for the undefended model, within eps",
        "worst": "of the worst image made for this defense, within eps",
        "cut": "probability from which on its model calls ill",
        "proved": "whether it is proved that no image within eps is called healthy",
    },
}


def scan_tables(
    examined: Mapping[str, Examination], sources: Sources, context: Context
) -> dict[str, pd.DataFrame]:
    """`scans` and `scan_scores`; none where records are no images, or are hidden."""
    schema, threat = context.dataset.schema, context.cfg.audit.headline
    if not schema.image or context.cfg.report.patients == "hidden" or BASELINE not in examined:
        return {}
    if examined[BASELINE].in_blocks is not None:  # no file holds the images of everybody
        return {}
    shown = examined[BASELINE].margins[threat]
    places = chosen(shown)
    if not places:
        return {}
    kept = load_adversarial(sources.examined[BASELINE])[f"{threat}/{WORST}"]
    rows = examined[BASELINE].told.patients
    images = [
        {
            "patient": int(rows[place]),
            "eps": float(shown.eps[at]),
            "taken": _bytes(context.dataset.x[rows[place]].numpy()),
            "presented": _bytes(kept[at, FIRST, place].numpy()),
        }
        for at, place in places
    ]
    scores = [
        {"defense": name, "patient": int(rows[place]), "eps": float(shown.eps[at])}
        | _said(one, threat, at, place)
        for at, place in places
        for name, one in examined.items()
    ]
    return {SCANS: pd.DataFrame(images), SCORES: pd.DataFrame(scores)}


def chosen(margins: Margins) -> list[tuple[int, int]]:
    """(radius, patient), as places: of those who fall there first the lower median by their margin.

    Of the radii above 0 at which anybody falls the largest few.
    """
    right = margins.worst[:, FIRST] > 0  # (E, N)
    found: list[tuple[int, int]] = []
    for at in range(1, len(margins.eps)):
        falls = np.flatnonzero((margins.y == 1) & right[at - 1] & ~right[at])
        if len(falls):
            order = np.argsort(margins.worst[0, FIRST, falls], kind="stable")
            found.append((at, int(falls[order[(len(falls) - 1) // 2]])))
    return found[-MOST:]


def _said(one: Examination, threat: str, at: int, place: int) -> dict[str, float | bool]:
    """What the first repetition's model of a defense says of an image."""
    margins = one.margins[threat]
    y, cut = margins.y, np.broadcast_to(margins.cut, margins.worst.shape[1:])[FIRST]
    sent = margins.by_attack.get(TRANSFER)
    each = {
        "taken": margins.worst[0, FIRST],
        "presented": margins.worst[at, FIRST] if sent is None else sent[at, FIRST],
        "worst": margins.worst[at, FIRST],
    }
    said: dict[str, float | bool] = {
        name: float(disease_probability(values, y, cut)[place]) for name, values in each.items()
    }
    line = np.zeros_like(y, dtype=np.float64)
    said["cut"] = float(disease_probability(line, y, cut)[place])
    said["proved"] = bool(one.proofs[threat].robust_at([float(margins.eps[at])])[0, FIRST, place])
    return said


def _bytes(image: Array) -> bytes:
    return np.ascontiguousarray(image, dtype=np.uint8).tobytes()


def pixels(value: bytes, shape: tuple[int, ...]) -> Array:
    """An image (C, H, W) of a cell of `scans`."""
    return np.frombuffer(value, dtype=np.uint8).reshape(shape).astype(np.float64)
