"""What is proved of each defense, in a table and in words; and of which nothing can be."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from pipeline.presentation.numbers import proved
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.risk import Tables
from pipeline.verify.nearest import SAME_RADIUS
from pipeline.verify.out_of_fold import Proofs

GAPS = "evasion_not_applicable"  # the table of what could not be asked of whom


def verdicts(by_threat: Mapping[str, Proofs]) -> pd.DataFrame:
    """One row per threat x repetition x patient, beside its key what is proved.

    `margin` is that of the unchanged record, `robust_below` and `breaks_at` are as in `Proofs`.
    """
    frames = []
    for threat, proofs in by_threat.items():
        repetitions, patients = proofs.margin.shape
        columns = {
            name: getattr(proofs, name).flatten().numpy()
            for name in ("margin", "robust_below", "breaks_at")
        }
        place = {
            "repetition": np.repeat(np.arange(repetitions), patients),
            "patient": np.tile(proofs.patients, repetitions),
        }
        y = np.tile(proofs.y, repetitions)
        frames.append(pd.DataFrame({"threat": threat, **place, "y": y, **columns}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def unprovable(tables: Tables) -> set[str]:
    """The defenses of which nothing can be proved, because no verifier knows such models."""
    gaps = tables.get(GAPS, pd.DataFrame(columns=["defense", "what"]))
    return set(gaps.loc[gaps["what"] == PROOFS, "defense"])


def proofs_in_words(lines: pd.DataFrame, beyond_proof: Collection[str]) -> list[str]:
    """`exact`, or what share is proved and what undecided; `undecided` where nothing can be proved.

    Beyond the radius that was verified, that it was not, and which attack leaves least there.

    Args:
        lines: of the comparison.
        beyond_proof: the defenses of which nothing can be proved, whatever the figures are.
    """
    words = []
    for said, (_, line) in zip(proved(lines), lines.iterrows(), strict=True):
        if line["defense"] in beyond_proof:
            words.append("undecided")
        elif is_verified(line):
            words.append(said)
        else:
            words.append(f"not verified beyond {line['verified_to']:g}; {strongest(line)} alone")
    return words


def is_verified(line: pd.Series) -> bool:
    """Whether the verifier looked as far as the radius of a line of the comparison."""
    return bool(line["eps"] <= line.get("verified_to", np.inf) + SAME_RADIUS)


def strongest(line: pd.Series) -> str:
    """The attack that leaves the least accuracy at the radius of a line of the comparison."""
    prefix = "accuracy_"
    left = {name: line[name] for name in map(str, line.index) if name.startswith(prefix)}
    known = {name: value for name, value in left.items() if not pd.isna(value)}
    return min(known, key=lambda name: known[name]).removeprefix(prefix) if known else "no attack"
