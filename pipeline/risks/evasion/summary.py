"""The table that a run ends with on the terminal."""

from collections.abc import Collection

import pandas as pd

from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import display_name
from pipeline.risks.evasion.movable import empty_radii, everybody, in_words, sample_in_words
from pipeline.risks.evasion.proofs import proofs_in_words


def defenses_by_radius(
    comparison: pd.DataFrame, headline: str, beyond_proof: Collection[str] = ()
) -> str:
    """Defense x eps under the headline threat, as text; `beyond_proof` as in `proofs_in_words`."""
    lines = comparison[comparison["threat"] == headline]
    shown = pd.DataFrame(
        {
            "defense": [
                display_name(d, f) for d, f in zip(lines["defense"], lines["flags"], strict=True)
            ],
            "eps": [f"{eps:g}" for eps in lines["eps"]],
            "clean accuracy": with_interval(lines, "clean_accuracy", "clean_low", "clean_high"),
            "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
            "proved": proofs_in_words(lines, beyond_proof),
            "can be changed": in_words(lines),
            "sensitivity": with_interval(lines, "sensitivity"),
            "missed diagnoses": with_interval(lines, "missed_diagnosis_rate"),
            "vs baseline": [
                "" if pd.isna(d) else f"{d:+.3f} ({low:+.3f} to {high:+.3f})"
                for d, low, high in zip(
                    *(
                        lines.get(f"difference{s}", pd.Series(index=lines.index, dtype=float))
                        for s in ("", "_low", "_high")
                    ),
                    strict=True,
                )
            ],
        }
    )
    if everybody(lines):
        shown = shown.drop(columns="can be changed")
    shown.loc[shown["defense"].duplicated(), "defense"] = ""
    width = max(map(len, shown["defense"]))
    shown["defense"] = shown["defense"].str.ljust(width)
    sample = sample_in_words(lines)
    said = "\n\n".join(one for one in (sample and f"Of {sample}.", empty_radii(lines)) if one)
    return shown.to_string(index=False, justify="left") + (f"\n\n{said}" if said else "")
