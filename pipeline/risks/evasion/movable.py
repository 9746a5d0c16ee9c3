"""Whose record can be changed at all within a radius: where nobody's can, nothing was tested."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.config import Config
from pipeline.data.grid import TICK_TOLERANCE
from pipeline.data.recodes import variants
from pipeline.data.schema import Dataset
from pipeline.data.threat import Threat
from pipeline.risks.evasion.measure.examination import Examination
from pipeline.risks.evasion.measure.subject import Trial

Movable = Mapping[tuple[str, float], float]
AT_ONCE = 2**22  # values whose limits exist at once


def movable_shares(
    examined: Mapping[str, Examination], dataset: Dataset, cfg: Config
) -> dict[tuple[str, float], float]:
    """By threat and radius, the share of patients who have at least one admitted change.

    Of the patients whom the threat's goal names, and who were examined; not a number where it names
    nobody.
    """
    shares: dict[tuple[str, float], float] = {}
    first = next(iter(examined.values()))
    for name in first.margins:
        trial = Trial.of(name, dataset, cfg)
        patients = torch.from_numpy(first.told.patients)
        named = patients[trial.threat.attackable(dataset.y[patients])]
        for eps in trial.radii:
            moved = can_move(dataset.x[named], trial.threat, eps).double()
            shares[name, float(eps)] = float(moved.mean()) if len(named) else float("nan")
    return shares


def can_move(x: Tensor, threat: Threat, eps: float) -> Tensor:
    """(N,) bool: whether any value of a record may be another one, or withheld, within the radius.

    Under every norm a single value alone may go as far as its box does.

    Args:
        x: (N, *event) records in clinical units, NaN = missing.
        threat: what may be changed.
        eps: radius in units of the threat's scale, or a number of measurements under l0.
    """
    parts = []
    for part in x.split(max(1, AT_ONCE // max(1, x[0].numel()) if len(x) else 1)):
        low, high = threat.box(part, eps)
        # float32 values lie beside the grid point that they stand for
        elsewhere = (low - part.double()).abs() > TICK_TOLERANCE * threat.step
        moves = (low < high) | (elsewhere & (threat.step > 0))
        moved = moves.flatten(1).any(1)
        if threat.relations:
            moved &= _keeps_relations(part, threat, eps)
        if threat.discrete:  # its own record and the cheapest other one
            found = variants(threat, part, eps, most=2)
            moved[found.row[found.cost > 0]] = True
        parts.append(moved)
    return torch.cat(parts)


def _keeps_relations(x: Tensor, threat: Threat, eps: float) -> Tensor:
    """(N,) bool: whether a version of records (N, D) is found that keeps what they keep.

    One value a step or a tenth of a scale away, or all values together: there may be others, where
    only some values together may move.
    """
    size = torch.where(threat.step > 0, threat.step, threat.scale / 10)
    steps = torch.diag(torch.where(threat.mutable, size, 0.0))[threat.mutable]
    proposals = torch.cat([steps, steps.sum(0, keepdim=True)])
    found = torch.zeros(len(x), dtype=torch.bool)
    for proposal in (*proposals, *-proposals):
        version = threat.project((x.double() + proposal).to(x.dtype), x, eps)
        found |= ((version != x) & ~x.isnan()).any(1)
    return found


def in_words(lines: pd.DataFrame) -> list[str]:
    """The column `movable` of lines about radii, for people; a dash where it is not known."""
    shares = lines.get("movable", pd.Series(np.nan, index=lines.index))
    return ["-" if np.isnan(share) else f"{share:.1%}" for share in shares.astype(float)]


def everybody(lines: pd.DataFrame) -> bool:
    """Whether everybody can be changed at every radius above 0, or nobody says."""
    return "movable" not in lines or bool((lines.loc[lines["eps"] > 0, "movable"] == 1).all())


def empty_radii(lines: pd.DataFrame) -> str:
    """A sentence about the radii above 0 within which nobody can be changed; empty = none."""
    if "movable" not in lines:
        return ""
    empty = lines[(lines["eps"] > 0) & (lines["movable"] == 0)]["eps"].unique()
    if not len(empty):
        return ""
    radii = ", ".join(f"{eps:g}" for eps in empty)
    return (
        f"Within eps {radii} no patient's record has an admitted change: the step at which the "
        "values are recorded is larger, or nothing may be forged. Robust accuracy there is clean "
        "accuracy, and shows nothing of robustness."
    )


def sample_in_words(lines: pd.DataFrame) -> str:
    """Whom the lines of a comparison are of, where not everybody was attacked; else nothing."""
    if "attacked" not in lines:
        return ""
    first = lines.iloc[0]
    return f"a stratified sample of {first['attacked']:.0f} of {first['records']:.0f} records"
