"""A vote against the radius: two attackers of one defense as two lines of its colour."""

from pathlib import Path

from pipeline.presentation.chapter import Picture
from pipeline.presentation.pictures import axes_of
from pipeline.risks.drawing import OPEN, at_ends
from pipeline.risks.evasion.pictures.canvas import SMALL_TEXT, beside, finish, told
from pipeline.risks.evasion.view import View

# attacker -> how its line is drawn, and what it is called
LINES = {"grey": ((0, (4, 2)), "grey box"), "adaptive": ("-", "adaptive")}


def grey_and_adaptive(view: View, folder: Path) -> Picture:
    """Right answers of every vote, by the attacker who knows one voter and by who knows all."""
    table = view.tables["ensemble"]
    figure, (axis,) = axes_of(1, 1, OPEN)
    ends: dict[str, tuple[float, float]] = {}
    colours, said = [], []
    names = list(dict.fromkeys(table["defense"]))
    for place, name in enumerate(names):
        style, own = view.styles[name], table[table["defense"] == name]
        for attacker, (dash, words) in LINES.items():
            lines = own[own["attacker"].isin(["none", attacker])].sort_values("eps")
            shifted = beside(axis, place, len(names))
            axis.plot(
                lines["eps"],
                lines["accuracy"],
                marker=style.marker,
                markersize=4,
                markerfacecolor="none" if attacker == "grey" else style.colour,
                color=style.colour,
                linestyle=dash,
                transform=shifted,
                label=f"{name} {attacker}",
            )
            axis.vlines(
                lines["eps"],
                lines["accuracy_low"],
                lines["accuracy_high"],
                color=style.colour,
                linewidth=0.9,
                transform=shifted,
            )
            last = lines.iloc[-1]
            ends[f"{view.shown[name]}, {words}"] = (float(last["eps"]), float(last["accuracy"]))
            colours.append(style.colour)
            said.append(f"{view.shown[name]}, {words}: {told(last, 'accuracy')}")
    largest = float(table["eps"].max())
    axis.set(xlim=(-0.03 * largest, 1.03 * largest), ylim=(-0.02, 1.0))
    axis.set_xlabel(f"eps, {view.threat} threat", fontsize=SMALL_TEXT)
    axis.set_ylabel("right answers", fontsize=SMALL_TEXT)
    at_ends(axis, ends, colours)
    return finish(
        figure,
        view,
        folder / "votes.svg",
        "Right answers against eps",
        f"Right answers fall as eps grows. At eps {largest:g}: {'; '.join(said)}.",
        "Dashed, hollow marks: the attacker knows the transformer alone. Solid: all that is "
        f"deployed. Bars: {view.cfg.audit.confidence:.0%} intervals over patients, seeds averaged.",
    )
