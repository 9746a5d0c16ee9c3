"""Sensitivity of groups of patients, without attack and under it."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Fold, Note, Part, Table
from pipeline.presentation.numbers import as_told, with_interval
from pipeline.risks.evasion.chapters.shared import ROWS, sample_parts
from pipeline.risks.evasion.groups import harms
from pipeline.risks.evasion.pictures.panels import by_group
from pipeline.risks.evasion.view import View
from pipeline.statistics.patients import LEAST


def chapter(view: View, folder: Path) -> Chapter | None:
    """By the bands of the data set; None where it has none."""
    groups = view.tables.get("groups", pd.DataFrame({"by": []}))
    groups = groups[groups["by"] != view.cfg.data.target]
    if not len(groups) or groups["sensitivity"].isna().all():
        return None
    own = groups[groups["defense"] == view.first]
    parts: list[Part] = [
        *sample_parts(view),
        by_group(view, folder),
        Table(
            _table(view, own).head(ROWS).drop(columns="defense"),
            "numbers",
            f"By group, {view.who}, at {view.budget(view.eps)}",
        ),
        Note(
            f"Of fewer than {LEAST} patients no figure is given. Harmed: sensitivity told to be "
            "lower than without a defense, on the same patients, corrected over all groups, "
            "defenses and both sensitivities."
        ),
        Fold("Every defense", [Table(_table(view, groups), "numbers", "By group and defense")]),
    ]
    return Chapter("Groups of patients", parts, _result(view, groups))


def _table(view: View, groups: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "defense": groups["defense"].map(view.shown),
            "group": groups["by"] + " " + groups["group"],
            "patients": as_told(groups["patients"]),
            "ill": as_told(groups["ill"]),
            "sensitivity, no attack": with_interval(groups, "sensitivity"),
            "sensitivity under attack": with_interval(groups, "attacked_sensitivity"),
            "specificity, no attack": with_interval(groups, "specificity"),
        }
    )


def _result(view: View, groups: pd.DataFrame) -> str:
    own = groups[groups["defense"] == view.first].dropna(subset=["attacked_sensitivity"])
    lowest = own.sort_values("attacked_sensitivity", kind="stable").iloc[0] if len(own) else None
    said = ""
    if lowest is not None:
        said = (
            f"Of {view.who} the lowest sensitivity at {view.budget(view.eps)} is that of "
            f"{lowest['by']} {lowest['group']}: {lowest['attacked_sensitivity']:.3f} "
            f"({lowest['attacked_sensitivity_low']:.3f} to "
            f"{lowest['attacked_sensitivity_high']:.3f}). "
        )
    if not view.undefended or len(view.shown) < 2:
        return said.strip()
    harmful = harms(groups.assign(harmed=groups["harmed"].fillna(False).astype(bool)))
    if not harmful:
        return f"{said}No defense is told to serve a group worse than none does."
    each = [f"{view.shown[name]}, {words}" for name, words in harmful.items()]
    return f"{said}Told to serve a group worse than no defense: {'; '.join(each)}."
