"""What the page says of a certified defence: how many poisoned records change no right answer, whoever chose them."""

from pathlib import Path

import pandas as pd

from pipeline.presentation.html import html_table, picture
from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import COLOURS, axes_of, save_figure

SHOWN = (0, 1, 2, 3, 5, 10, 15, 20, 30, 50)  # records, in the table of the page; certificate.csv has all


def draw_certificate(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Certified accuracy and sensitivity against the number of poisoned records."""
    figure, axes = axes_of(1, 1, (5.2, 3.6))
    for defense, curve in table.groupby("defense", sort=False):
        for colour, figure_name in zip(COLOURS[1:], ("certified_accuracy", "certified_sensitivity"), strict=False):
            label = f"{defense}: {figure_name.replace('_', ' ')}"
            axes[0].step(curve["records"], curve[figure_name], where="mid", color=colour, label=label)
            low, high = curve[f"{figure_name}_low"], curve[f"{figure_name}_high"]
            axes[0].fill_between(curve["records"], low, high, step="mid", color=colour, alpha=0.12, linewidth=0)
    axes[0].set(ylim=(0, 1), xlabel="training records inserted, removed or relabelled", title="right, whoever poisons (proved)")
    axes[0].legend(frameon=False, fontsize=8)
    return [save_figure(figure, folder / "certificate.png")]


def certificate_section(table: pd.DataFrame, figures: list[Path]) -> str:
    """The section of the page."""
    lines = table[table["records"].isin(SHOWN)]
    shown = pd.DataFrame({
        "defence": lines["defense"], "records poisoned": lines["records"], "of which values may be changed": lines["changed"],
        "certified accuracy": with_interval(lines, "certified_accuracy"),
        "certified sensitivity": with_interval(lines, "certified_sensitivity"),
    })  # fmt: skip
    return f"""<h3>What no poison can do</h3>
<p class="note">Patients who are answered rightly, and provably still would be if somebody who knows everything inserted, removed
or relabelled so many training records; one whose values are changed counts double. Patients are out of fold; intervals: bootstrap
over patients. It says nothing of records that are forged at prediction time.</p>
{html_table(shown)}
{"".join(map(picture, figures))}"""
