"""Forged scans as tables: who is found, what models answer, and what vouches for a scan."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.data.schema import Dataset
from pipeline.models.answers import predicted
from pipeline.risks.columns import DEFENSE, IDS
from pipeline.risks.forgery.measure.answers import Answers
from pipeline.risks.forgery.measure.forged import FILE, ILL, UNTOUCHED, ForgedScans
from pipeline.risks.forgery.measure.settings import ForgerySettings
from pipeline.risks.risk import Context, Sources
from pipeline.standards import Standards
from pipeline.statistics import Array, intervals, rates
from pipeline.statistics.conclusions import Difference, compare
from pipeline.statistics.intervals import Sampling

FOUND, ANSWERED, PROVENANCE, SHOWN = (
    "forgery",
    "forgery_answers",
    "forgery_provenance",
    "forgery_shown",
)
CHANCE, MOST_OF_THEM = 0.5, 0.5
BY_HAND = Standards(("AML.T0043.003", "AML.T0015"), ("NISTAML.022",), ("ML01:2023",))
_FORGERY = {"forgery": "what was done to a part of the scan; none = nothing"}
COLUMNS = {
    FOUND: {
        **_FORGERY,
        "learned": "whether the detector had learned from such forgeries",
        "disguise": "how the forger hid it: not at all, by noise, or by a blur of the whole scan",
        "patients": "whose scans were each forged once",
        "side": "of what was forged, in pixels",
        "height": "of the scan, in pixels",
        "auroc": "chance that a forged scan scores above a genuine one; 0.5 = guessing",
        "found": "share of the forged scans that are found at the false alarms allowed",
        "false_alarms": "share of the genuine scans for which the detector may call",
        "finds": "by rule: the interval of auroc lies above 0.5, and that of found above one half",
        **IDS,
    },
    ANSWERED: {
        **DEFENSE,
        **_FORGERY,
        "patients": "who are asked about",
        "ill": "of them ill",
        "called_ill": "share of the healthy who are called ill, out of fold",
        "called_healthy": "share of the ill who are called healthy, likewise",
        "called_ill_verdict": "against the same scans untouched, after Holm over all of a defense",
        "called_healthy_verdict": "likewise",
        **IDS,
    },
    PROVENANCE: {
        "state": "whether the digest of every scan was held against a signed manifest",
        "scans": "scans that were",
        "covers": "what of each the manifest vouches for",
        "key": "the first digits of the public key",
    },
    SHOWN: {
        **_FORGERY,
        "patient": "row of the data set",
        "height": "of the scan, in pixels",
        "pixels": "its first channel row by row, two hexadecimal digits each, of 256 levels",
    },
}


def draw_up(sources: Sources, context: Context) -> dict[str, pd.DataFrame]:
    """The tables; none where records are no images. The scans only where they may be shown."""
    place = sources.stage("forgery")
    if place is None or not (place / FILE).exists():
        return {}
    found, dataset = ForgedScans.load(place), context.dataset
    sampling = context.sampling.of(found.rows.numpy())
    wanted = context.cfg.section(ForgerySettings)
    tables = {
        FOUND: detection(found, dataset, wanted.false_alarms, sampling),
        ANSWERED: pd.concat(
            [
                answered(name, found, answers, dataset, sampling)
                for name, answers in _answers(place, wanted.recipes)
            ]
            or [pd.DataFrame()]
        ).reset_index(drop=True),
        PROVENANCE: provenance(found),
    }
    if context.cfg.report.patients == "shown":
        tables[SHOWN] = shown(found, dataset)
    return tables


def _answers(place: Path, recipes: list[str]) -> list[tuple[str, Answers]]:
    paths = [(name, place / f"{name}.safetensors") for name in recipes]
    return [(name, Answers.load(path)) for name, path in paths if path.exists()]


def detection(
    found: ForgedScans, dataset: Dataset, false_alarms: float, sampling: Sampling
) -> pd.DataFrame:
    """One row per forgery and disguise: how well the detector tells it from genuine scans.

    A scan that is not forged, and disguised all the same, is the control. Intervals are over
    patients, drawn with their genuine and their forged scans.
    """
    genuine = found.score[0, 0].numpy()
    weights = sampling.weights(len(genuine))
    twice = np.concatenate([weights, weights], 1)
    label = np.repeat([0, 1], len(genuine))
    lines = []
    for at, forgery in enumerate(found.forgeries):
        for how, disguise in enumerate(found.disguises):
            if at == how == 0:
                continue
            forged = found.score[at, how].numpy()
            score = np.concatenate([genuine, forged])[None]
            area = rates.auroc(score, label)
            samples = intervals.bootstrap_auroc(score, label, twice)
            whole = np.ones((1, len(genuine)), dtype=weights.dtype)
            share = float(found_at(genuine, forged, whole, false_alarms)[0])
            shares = found_at(genuine, forged, weights, false_alarms)
            line: dict[str, Any] = {
                "forgery": forgery,
                "learned": forgery in found.learned,
                "disguise": disguise,
                "patients": sampling.patients(len(genuine)),
                "side": found.side,
                "height": dataset.schema.image[1],
                **intervals.bounded_auroc(
                    "auroc", area, samples, label, twice, sampling.confidence
                ),
                **intervals.bounded_share("found", share, shares, weights, sampling.confidence),
                "false_alarms": false_alarms,
            }
            line["finds"] = bool(line["auroc_low"] > CHANCE and line["found_low"] > MOST_OF_THEM)
            ids = Standards() if forgery == UNTOUCHED else BY_HAND
            lines.append(line | ids.columns())
    return pd.DataFrame(lines)


def found_at(genuine: Array, forged: Array, weights: Array, false_alarms: float) -> Array:
    """(R,) the share of forged scans that score above all but so many of the genuine ones.

    Args:
        genuine: (N,) scores.
        forged: (N,) scores of the same scans, forged.
        weights: (R, N) how often each scan is drawn, both as genuine and as forged.
        false_alarms: the share of the genuine ones that may score above the threshold.
    """
    order = np.argsort(-genuine, kind="stable")
    above = weights[:, order].cumsum(1, dtype=np.float64)
    total = above[:, -1]
    # the highest genuine scores whose weight is allowed; the next one is the threshold
    allowed = (above <= false_alarms * total[:, None] + 1e-9).sum(1)
    highest_first = np.append(genuine[order], -np.inf)
    threshold = highest_first[allowed]
    ranked = np.argsort(-forged, kind="stable")
    count = np.searchsorted(-forged[ranked], -threshold, side="left")  # strictly above it
    caught = np.concatenate(
        [np.zeros((len(weights), 1)), weights[:, ranked].cumsum(1, dtype=np.float64)], 1
    )
    return np.asarray(caught[np.arange(len(weights)), count] / total)


def answered(
    defense: str, found: ForgedScans, answers: Answers, dataset: Dataset, sampling: Sampling
) -> pd.DataFrame:
    """One row per forgery: how often a defense's models err, and how much more than without it.

    Verdicts are after Holm over all forgeries and both errors.
    """
    y = dataset.y[found.rows].numpy()
    weights = sampling.weights(len(y))
    lines, control = [], None
    differences: dict[tuple[int, str], Difference] = {}
    for at, forgery in enumerate(found.forgeries):
        ill = (predicted(answers.margin[at].numpy(), y) == ILL).mean(0)  # (N,), seeds averaged
        errors = {"called_ill": (ill, y != ILL), "called_healthy": (1 - ill, y == ILL)}
        control = control or errors
        line: dict[str, Any] = {
            "defense": defense,
            "forgery": forgery,
            "patients": sampling.patients(len(y)),
            "ill": sampling.patients(len(y), y == ILL),
        }
        for name, (each, who) in errors.items():
            line |= intervals.bounded_mean_share(name, each, weights, sampling.confidence, who)
            paired = intervals.paired_difference(
                each, control[name][0], weights, sampling.confidence, who
            )
            if at:
                differences[at, name] = Difference(-paired["difference"], paired["se"])
            line |= {
                f"{name}_difference": paired["difference"],
                f"{name}_difference_low": paired["low"],
                f"{name}_difference_high": paired["high"],
            }
        ids = Standards() if forgery == UNTOUCHED else BY_HAND
        lines.append(line | ids.columns())
    judged = compare(differences, patients=len(y), confidence=sampling.confidence)
    for (at, name), one in judged.items():
        lines[at][f"{name}_verdict"] = one.verdict
    return pd.DataFrame(lines)


def provenance(found: ForgedScans) -> pd.DataFrame:
    """One row: what `prepare` could say of where the scans come from."""
    said = found.provenance
    covers = said.get("covers", [])
    return pd.DataFrame(
        [
            {
                "state": said["state"],
                "scans": int(str(said.get("scans", 0))),
                "covers": " ".join(covers) if isinstance(covers, list) else "",
                "key": str(said.get("key", "")),
            }
        ]
    )


def shown(found: ForgedScans, dataset: Dataset) -> pd.DataFrame:
    """One scan, untouched and forged in every way.

    Chosen by rule: of the ill, the one whose genuine scan has the lower median score.
    """
    ill = (dataset.y[found.rows] == ILL).nonzero()[:, 0]
    order = found.score[0, 0, ill].argsort(stable=True)
    place = ill[order[(len(ill) - 1) // 2]][None]
    (pixel,) = dataset.schema.features
    lines = []
    for forgery in found.forgeries:
        image = found.scans(forgery, dataset, place)[0, 0].double()
        shares = (image - pixel.lower) / (pixel.upper - pixel.lower)
        levels = (255 * shares).round().clamp(0, 255).to(torch.uint8)
        lines.append(
            {
                "forgery": forgery,
                "patient": int(found.rows[place]),
                "height": len(image),
                "pixels": levels.numpy().tobytes().hex(),
            }
        )
    return pd.DataFrame(lines)
