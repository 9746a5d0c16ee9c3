"""The table that a run ends with on the terminal."""

from collections.abc import Collection

import pandas as pd

from pipeline.presentation.frames import left_justified
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
            "eps": [f"{eps:g}" for eps in lines["eps"]],
            "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
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
            "sensitivity": with_interval(lines, "sensitivity"),
            "proved": proofs_in_words(lines, beyond_proof),
        }
    )
    title, *rows = left_justified(shown).splitlines()
    names = [display_name(d, f) for d, f in zip(lines["defense"], lines["flags"], strict=True)]
    said_of: dict[str, list[str]] = {}
    for name, row in zip(names, rows, strict=True):
        said_of.setdefault(name, []).append(row.rstrip())
    text = "\n".join([title.rstrip(), *(f"{n}\n" + "\n".join(r) for n, r in said_of.items())])
    sample = sample_in_words(lines)
    said = "\n\n".join(one for one in (sample and f"Of {sample}.", empty_radii(lines)) if one)
    if not everybody(lines):
        shares = dict(zip(shown["eps"], in_words(lines), strict=True))
        said += f"{chr(10) * 2 * bool(said)}Can be changed at eps: " + "; ".join(
            f"{eps}: {share}" for eps, share in shares.items()
        )
    return text + (f"\n\n{said}" if said else "")
