"""The answers themselves: who gets which before and under attack, and the clean ROC."""

from pathlib import Path

import numpy as np

from pipeline.presentation.chapter import Picture
from pipeline.presentation.numbers import NOT_TOLD
from pipeline.presentation.pictures import GUIDE, axes_of
from pipeline.risks.evasion.pictures.canvas import SMALL_TEXT, WIDTH, finish, told, wrapped
from pipeline.risks.evasion.view import View
from pipeline.risks.risk import nearest_of

ACROSS = 3
TITLE = 24  # letters of a line above one of two panels in a row


def roc(view: View, folder: Path) -> Picture:
    """The clean ROC of each defense, a panel each, with its AUROC."""
    curves, names = view.tables["plots/roc"], list(view.shown)
    rows = -(-len(names) // ACROSS)
    figure, axes = axes_of(rows, min(ACROSS, len(names)), (WIDTH, 2.2 * rows + 0.2))
    said = []
    for place, axis in enumerate(axes):
        if place >= len(names):
            axis.set_axis_off()
            continue
        name = names[place]
        area = told(view.line(view.clean, name), "auroc")
        axis.plot([0, 1], [0, 1], ":", color=GUIDE, linewidth=1, label="_diagonal")
        axis.plot(
            curves["fpr"], curves[name], color=view.styles[name].colour, linewidth=1.2, label=name
        )
        axis.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axis.set_title(f"{wrapped(view.shown[name])}\n{wrapped(area)}", fontsize=SMALL_TEXT)
        if place % ACROSS == 0:
            axis.set_ylabel("sensitivity", fontsize=SMALL_TEXT)
        if place // ACROSS == rows - 1:
            axis.set_xlabel("false-alarm rate", fontsize=SMALL_TEXT)
        said.append(f"{view.shown[name]} {area}")
    return finish(
        figure,
        view,
        folder / "roc.svg",
        "ROC, without attack",
        f"AUROC without attack: {'; '.join(said)}.",
        f"Above each: its AUROC with the {view.cfg.audit.confidence:.0%} interval.",
    )


def confusion_matrices(view: View, folder: Path) -> Picture:
    """Before and under attack, per defense: how many patients get which answer."""
    confusion, names = view.tables["confusion"], list(view.shown)
    attacked = confusion.loc[confusion["eps"] > 0, "eps"]
    radii = [0.0, *([nearest_of(attacked, view.cfg.audit.headline_eps)] if len(attacked) else [])]
    figure, axes = axes_of(len(names), len(radii), (WIDTH, 1.9 * len(names)))
    for row, name in enumerate(names):
        for column, eps in enumerate(radii):
            axis = axes[row * len(radii) + column]
            cells = confusion[(confusion["defense"] == name) & (confusion["eps"] == eps)]
            order = list(cells["actual"].unique())
            matrix = cells.pivot(index="actual", columns="predicted", values="patients")
            values = matrix.loc[order, order].to_numpy().astype(float)
            share = values / values.sum(1, keepdims=True)
            axis.imshow(np.nan_to_num(share), cmap="Greys", vmin=0, vmax=1.4, aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                axis.text(
                    j,
                    i,
                    NOT_TOLD if np.isnan(value) else f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=SMALL_TEXT,
                    color="white" if share[i, j] > 0.7 else "black",
                )
            axis.set_xticks(range(2), [f"called\n{one}" for one in order], fontsize=8)
            axis.set_yticks(range(2), order if column == 0 else ["", ""], fontsize=8)
            at = "no attack" if eps == 0 else f"eps {eps:g}"
            axis.set_title(wrapped(f"{view.shown[name]}, {at}", TITLE), fontsize=SMALL_TEXT)
            axis.spines[:].set_visible(False)
    own = confusion[(confusion["defense"] == view.first) & (confusion["eps"] == radii[-1])]
    said = [
        f"{line['actual']} called {line['predicted']}: "
        + (NOT_TOLD if np.isnan(line["patients"]) else f"{line['patients']:.0f}")
        for line in own.to_dict("records")
    ]
    return finish(
        figure,
        view,
        folder / "confusion.svg",
        f"Confusion matrices, {view.threat} threat",
        f"Patients by diagnosis and answer; of {view.who} at eps {radii[-1]:g}: {'; '.join(said)}.",
        "Rows: the diagnosis; columns: the answer. Patients, mean over the models of each.",
    )
