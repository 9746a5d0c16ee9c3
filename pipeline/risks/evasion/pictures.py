"""The pictures of evasion, each drawn from a table that also lies beside it."""

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.config import AuditConfig
from pipeline.presentation.chapter import Picture
from pipeline.presentation.numbers import NOT_TOLD
from pipeline.presentation.pictures import COLOURS, axes_of, display_name, save_picture
from pipeline.risks.evasion.movable import sample_in_words
from pipeline.risks.risk import Tables, nearest_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_all(tables: Tables, cfg: AuditConfig, folder: Path) -> list[Picture]:
    """Draws every figure as SVG into `folder`, with the same bytes for the same tables."""
    comparison = tables["comparison"]
    drawn = {
        f"robustness_{threat}": (
            robustness(comparison, tables["plots/proved"], str(threat)),
            f"robust accuracy and sensitivity of each defense against eps, threat model {threat}",
        )
        for threat in comparison["threat"].unique()
    }
    drawn["roc"] = roc_curves(tables["plots/roc"], comparison), "ROC of each defense, unattacked"
    matrices = confusion_matrices(tables["confusion"], comparison, cfg.headline, cfg.headline_eps)
    drawn["confusion"] = matrices, "confusion matrix of each defense, clean and under attack"
    return [
        save_picture(figure, folder / f"{name}.svg", shows.split(",")[0].capitalize(), shows)
        for name, (figure, shows) in drawn.items()
    ]


def robustness(comparison: pd.DataFrame, exact: pd.DataFrame, threat: str) -> "Figure":
    """What is proved at every radius, and sensitivity under attack, with interval bands.

    The points are those of all attacks together, the verifier's records among them; beyond what was
    verified they are an upper bound, and a line says so.
    """
    figure, axes = axes_of(1, 2, (11, 4.2))
    lines = comparison[comparison["threat"] == threat]
    reached = lines.get("verified_to", lines["eps"])
    beyond = reached[reached < lines["eps"]]
    for colour, (defense, curve) in zip(
        cycle(COLOURS), lines.groupby("defense", sort=False), strict=False
    ):
        label = display_name(str(defense), str(curve["flags"].iloc[0]))
        style = "--" if curve["flags"].iloc[0] else "-"
        proofs = exact[(exact["threat"] == threat) & (exact["defense"] == defense)]
        verified = curve.get("verified_to", curve["eps"]).iloc[-1]
        proofs = proofs[(proofs["eps"] <= verified) & (proofs["proved"] > 0)]
        if len(proofs):
            axes[0].step(
                proofs["eps"], proofs["proved"], style, where="post", color=colour, label=label
            )
        for axis, (value, low, high) in zip(
            axes,
            (
                ("robust_accuracy", "robust_low", "robust_high"),
                ("sensitivity", "sensitivity_low", "sensitivity_high"),
            ),
            strict=True,
        ):
            proved_here = axis is axes[0] and len(proofs) > 0
            axis.plot(
                curve["eps"],
                curve[value],
                ":" if proved_here else style,
                marker="o",
                markersize=3,
                linewidth=1 if proved_here else None,
                color=colour,
                label=None if proved_here else label,
            )
            axis.fill_between(
                curve["eps"], curve[low], curve[high], color=colour, alpha=0.12, linewidth=0
            )
    for axis, title in zip(
        axes,
        ("proved robust accuracy (points: all attacks)", "sensitivity under all attacks"),
        strict=True,
    ):
        if len(beyond):
            axis.axvline(beyond.iloc[0], color="#767676", linewidth=0.8)
            axis.text(beyond.iloc[0], 0.02, f" not verified beyond {beyond.iloc[0]:g}", fontsize=7)
        axis.set(title=title, xlabel=f"eps ({lines['eps_unit'].iloc[0]})", ylim=(0, 1))
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(_and_sample(f"threat model: {threat}", lines), fontsize=11)
    return figure


def roc_curves(roc: pd.DataFrame, comparison: pd.DataFrame) -> "Figure":
    """Clean ROC of each defense, out of fold; `roc` has a column per defense."""
    figure, axes = axes_of(1, 1, (4.6, 4.4))
    auroc = comparison.drop_duplicates("defense").set_index("defense")
    for colour, defense in zip(cycle(COLOURS), auroc.index, strict=False):
        area = auroc.loc[str(defense)]
        figures = f"{area['auroc']:.3f} ({area['auroc_low']:.3f} to {area['auroc_high']:.3f})"
        label = f"{display_name(str(defense), str(area['flags']))}  {figures}"
        axes[0].plot(roc["fpr"], roc[defense], color=colour, label=label)
    axes[0].plot([0, 1], [0, 1], ":", color="#767676")
    title = _and_sample("ROC, unattacked", comparison, "\n")
    axes[0].set_title(title, fontsize="large" if "\n" not in title else 8)
    axes[0].set(xlabel="false-alarm rate", ylabel="sensitivity")
    axes[0].legend(
        frameon=False,
        fontsize=7,
        loc="lower right",
        title="AUROC (95 % interval)",
        title_fontsize=7,
    )
    return figure


def confusion_matrices(
    confusion: pd.DataFrame, comparison: pd.DataFrame, headline: str, eps: float
) -> "Figure":
    """Before and under attack, per defense: how many patients get which answer."""
    attacked = confusion.loc[confusion["eps"] > 0, "eps"]
    radii = [0.0, *([nearest_of(attacked, eps)] if len(attacked) else [])]
    first = comparison.drop_duplicates("defense")
    shown = {
        name: display_name(name, flags)
        for name, flags in zip(first["defense"], first["flags"], strict=True)
    }
    defenses = list(confusion["defense"].unique())
    figure, axes = axes_of(len(radii), len(defenses), (2.6 * len(defenses), 2.7 * len(radii)))
    for row, eps in enumerate(radii):
        for column, defense in enumerate(defenses):
            axis = axes[row * len(defenses) + column]
            cells = confusion[(confusion["defense"] == defense) & (confusion["eps"] == eps)]
            matrix = cells.pivot(index="actual", columns="predicted", values="patients")
            order = list(cells["actual"].unique())
            values = matrix.loc[order, order].to_numpy()
            values = values.astype(float)
            axis.imshow(values / values.sum(1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
            for i in range(2):
                for j in range(2):
                    share = values[i, j] / values[i].sum()
                    axis.text(
                        j,
                        i,
                        NOT_TOLD if np.isnan(values[i, j]) else f"{values[i, j]:.0f}",
                        ha="center",
                        va="center",
                        color="white" if share > 0.6 else "black",
                    )
            axis.set_xticks(range(2), order, fontsize=7)
            axis.set_yticks(
                range(2), order if column == 0 else ["", ""], fontsize=7, rotation=90, va="center"
            )
            axis.set_title(
                f"{shown[defense]}, {'clean' if eps == 0 else f'eps {eps:g}'}", fontsize=8
            )
            axis.spines[:].set_visible(False)
    title = f"patients (seeds averaged): rows actual, columns predicted; threat model: {headline}"
    figure.suptitle(_and_sample(title, comparison, "\n"), fontsize=9)
    return figure


def _and_sample(title: str, lines: pd.DataFrame, between: str = "; ") -> str:
    """A title, and of which sample the figure is, where it is of one."""
    return between.join(one for one in (title, sample_in_words(lines)) if one)
