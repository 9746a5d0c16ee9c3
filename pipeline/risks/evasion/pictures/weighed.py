"""What robustness costs: sensitivity without attack against sensitivity under it."""

from pathlib import Path

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import GUIDE, axes_of
from pipeline.risks.evasion.judged import front
from pipeline.risks.evasion.pictures.canvas import SMALL_TEXT, WIDTH, end_labels, finish
from pipeline.risks.evasion.view import View


def trade_off(view: View, folder: Path) -> Picture:
    """One point a defense, with intervals both ways; a ring around those nobody dominates."""
    height = 4.4
    figure, (axis,) = axes_of(1, 1, (WIDTH, height))
    weighed = front(view)
    on = [name for name, by in weighed.items() if not by]
    said, places = [], {}
    for name, style in view.styles.items():
        clean, attacked = (view.line(lines, name) for lines in (view.clean, view.attacked))
        x, y = float(clean["sensitivity"]), float(attacked["sensitivity"])
        for line in (
            ([clean["sensitivity_low"], clean["sensitivity_high"]], [y, y]),
            ([x, x], [attacked["sensitivity_low"], attacked["sensitivity_high"]]),
        ):
            axis.plot(*line, color=style.colour, linewidth=0.7, alpha=0.6, label="_interval")
        axis.plot([x], [y], style.marker, color=style.colour, markersize=7, label=name)
        if name in on:
            axis.plot(
                [x],
                [y],
                "o",
                markersize=13,
                markerfacecolor="none",
                markeredgecolor=GUIDE,
                label="_front",
            )
        places[name] = (x, y)
        said.append(f"{view.shown[name]} {x:.3f} and {y:.3f}")
    axis.set_xlabel("sensitivity without attack", fontsize=SMALL_TEXT)
    axis.set_ylabel(f"sensitivity at eps {view.eps:g}", fontsize=SMALL_TEXT)
    axis.locator_params(nbins=5)
    end_labels(axis, view, places, height - 0.8)
    off = [name for name in weighed if name not in on]
    ring = (
        f" On the Pareto front of both: {', '.join(view.shown[name] for name in on)}." if on else ""
    )
    ring += f" Dominated: {', '.join(view.shown[name] for name in off)}." if off else ""
    return finish(
        figure,
        view,
        folder / "trade_off.svg",
        "Sensitivity without attack against sensitivity under attack",
        f"Sensitivity without attack and at {view.budget(view.eps)}: {'; '.join(said)}.{ring}",
        "Up and to the right more of the ill are found. Lines: "
        f"{view.cfg.audit.confidence:.0%} intervals. Rings: not dominated, which may mean that "
        "nothing was told apart; who is flagged is not asked.",
    )
