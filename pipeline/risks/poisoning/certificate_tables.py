"""From certified records to what people read.

The share of patients whose right answer provably stays right.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.risks.poisoning.harm_tables import unit_of
from pipeline.risks.poisoning.measure.certificate import Certificate
from pipeline.standards import RISKS
from pipeline.statistics import intervals
from pipeline.statistics.intervals import Sampling


def certificate_table(certificates: Mapping[str, Certificate], sampling: Sampling) -> pd.DataFrame:
    """One row per certified defense and number of poisoned records, from 0 on.

    Returns:
        `records` (or patients with all of theirs, as `unit` says), and as many whose values are
        changed count double: `changed`; `certified_accuracy` and `certified_sensitivity`, out of
        fold, with `_low` and `_high`: bootstrap over patients, seeds averaged. At 0 they are
        accuracy and sensitivity. In the last row nobody is certified. Without a certified defense
        there is no row.
    """
    frames = [_certified(one, sampling).assign(defense=name) for name, one in certificates.items()]
    if not frames:
        return pd.DataFrame(columns=["defense", "records"])
    unit = unit_of(sampling, len(next(iter(certificates.values())).y))
    table = pd.concat(frames, ignore_index=True).assign(unit=unit)
    return table.assign(**RISKS["availability_poisoning"].columns())


def _certified(certificate: Certificate, sampling: Sampling) -> pd.DataFrame:
    bears = certificate.records.numpy()  # repetitions x patients
    records = np.arange(max(int(bears.max()), 0) + 2)
    shares = (bears >= records[:, None, None]).mean(1)  # records x patients
    ill = certificate.y.numpy() == 1
    weights = sampling.weights(shares.shape[1])
    lines = []
    for count, share in zip(records, shares, strict=True):
        line: dict[str, float] = {"records": int(count), "changed": int(count) // 2}
        for figure, among in (
            ("certified_accuracy", np.ones_like(ill)),
            ("certified_sensitivity", ill),
        ):
            line |= intervals.bounded_mean_share(figure, share, weights, sampling.confidence, among)
        lines.append(line)
    return pd.DataFrame(lines)
