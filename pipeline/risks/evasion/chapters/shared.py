"""What several chapters of evasion hold: tables of radii, whom figures are of."""

from collections.abc import Collection, Mapping

import pandas as pd

from pipeline.presentation.chapter import Note, Part
from pipeline.presentation.numbers import with_interval
from pipeline.risks.evasion.movable import empty_radii
from pipeline.risks.evasion.movable import in_words as movable_in_words
from pipeline.risks.evasion.proofs import proofs_in_words
from pipeline.risks.evasion.view import View

CERTIFIED = ["certified_auc", "certified_auc_low", "certified_auc_high"]  # where it is proved
ROWS = 10  # of a table that stands open


def sample_parts(view: View) -> list[Part]:
    """Whom the figures are of, where that is not everybody."""
    return [Note(f"Of {view.sample}.", small=False)] if view.sample else []


def empty_parts(view: View, lines: pd.DataFrame) -> list[Part]:
    """Whom the figures are of, and the radii at which they test nothing."""
    said = empty_radii(lines)
    return [*sample_parts(view), *([Note(said, small=False)] if said else [])]


def headline_table(
    lines: pd.DataFrame, shown: Mapping[str, str], beyond_proof: Collection[str]
) -> pd.DataFrame:
    """Lines of the headline threat, for people."""
    return pd.DataFrame(
        {
            "defense": lines["defense"].map(shown),
            "eps": lines["eps"].map("{:g}".format),
            "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
            "can be changed": movable_in_words(lines),
            "proved": proofs_in_words(lines, beyond_proof),
            "sensitivity": with_interval(lines, "sensitivity"),
            "specificity": with_interval(lines, "specificity"),
            "balanced accuracy": lines["balanced_accuracy"].map("{:.3f}".format),
            "AUROC under attack": with_interval(lines, "attacked_auc"),
            "certified AUROC": with_interval(
                lines.reindex(columns=lines.columns.union(CERTIFIED)), CERTIFIED[0]
            ),
            "net benefit under attack": with_interval(lines, "net_benefit"),
        }
    )


def other_table(
    lines: pd.DataFrame, shown: Mapping[str, str], beyond_proof: Collection[str]
) -> pd.DataFrame:
    """Lines of another threat, for people."""
    return pd.DataFrame(
        {
            "defense": lines["defense"].map(shown),
            f"eps ({lines['eps_unit'].iloc[0]})": lines["eps"].map("{:g}".format),
            "robust accuracy": with_interval(lines, "robust_accuracy", "robust_low", "robust_high"),
            "can be changed": movable_in_words(lines),
            "proved": proofs_in_words(lines, beyond_proof),
            "sensitivity": with_interval(lines, "sensitivity"),
        }
    )
