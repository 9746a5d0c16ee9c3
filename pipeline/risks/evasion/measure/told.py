"""What rows tell, as arrays: a tenth of their size, and what blocks of patients tell is joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.risks.evasion.measure.margins import Margins, margins_by_threat
from pipeline.standards import THREAT_COLUMNS
from pipeline.statistics import Array

KEY = ["threat", "attack"]


@dataclass(frozen=True)
class Told:
    """What everybody reads of the rows of an examination.

    Attributes:
        patients: (N,) int64, rows of the data set, rising.
        models: labels of those who hold somebody out.
        named: one row per `threat, attack`, in the order of the rows: `THREAT_COLUMNS`, as text,
            and `broken`, of all rows of it the share that is answered wrongly.
        margins: by threat, counted from 0.
    """

    patients: Array
    models: frozenset[str]
    named: pd.DataFrame
    margins: Mapping[str, Margins]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Told":
        """What rows tell, which are in the order of `rows_of`."""
        named = rows.drop_duplicates(KEY)[KEY + list(THREAT_COLUMNS)].astype(str)
        shares = rows.groupby(KEY, observed=True)["broken"].mean().to_dict()
        return cls(
            rows["patient"].unique().astype(np.int64),
            frozenset(map(str, rows["model"].unique())),
            named.assign(
                broken=[shares[key] for key in zip(*named[KEY].T.values, strict=True)]
            ).reset_index(drop=True),
            margins_by_threat(rows),
        )

    @classmethod
    def joined(cls, parts: Sequence["Told"]) -> "Told":
        """What blocks of patients tell together, whose threats, attacks and radii are the same."""
        first, patients = parts[0], np.concatenate([part.patients for part in parts])
        order = np.argsort(patients)
        shares = [len(part.patients) / len(patients) for part in parts]
        broken = sum(
            share * part.named["broken"] for share, part in zip(shares, parts, strict=True)
        )
        margins = {
            threat: replace(
                own,
                y=np.concatenate([part.margins[threat].y for part in parts])[order],
                by_attack={
                    name: np.concatenate(
                        [part.margins[threat].by_attack[name] for part in parts], -1
                    )[..., order]
                    for name in own.by_attack
                },
            )
            for threat, own in first.margins.items()
        }
        models = frozenset[str]().union(*(part.models for part in parts))
        return cls(patients[order], models, first.named.assign(broken=broken), margins)
