"""What is proved of each defense, in words; and of which defenses nothing can be."""

from collections.abc import Collection

import pandas as pd

from pipeline.presentation.numbers import proved
from pipeline.risks.evasion.measure.subject import PROOFS
from pipeline.risks.risk import Tables

GAPS = "evasion_not_applicable"  # the table of what could not be asked of whom


def unprovable(tables: Tables) -> set[str]:
    """The defenses of which nothing can be proved, because no verifier knows such models."""
    gaps = tables.get(GAPS, pd.DataFrame(columns=["defense", "what"]))
    return set(gaps.loc[gaps["what"] == PROOFS, "defense"])


def proofs_in_words(lines: pd.DataFrame, beyond_proof: Collection[str]) -> list[str]:
    """`exact`, or what share is proved and what undecided; `undecided` where nothing can be proved.

    Args:
        lines: of the comparison.
        beyond_proof: the defenses of which nothing can be proved, whatever the figures are.
    """
    return [
        "undecided" if defense in beyond_proof else said
        for defense, said in zip(lines["defense"], proved(lines), strict=True)
    ]
