"""How pictures are drawn: colours, marks, axes, names as people see them.

The same picture has the same bytes each time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from pipeline.files import write_text
from pipeline.presentation.chapter import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008): colours that everybody can tell apart.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (4, 1)), (0, (1, 1)), (0, (8, 3)))
GUIDE = "#767676"  # of what is no result: a guess, a limit; 4.5 : 1 on white
SALT = "medsecure"  # of the names within an SVG, which are drawn by chance otherwise
# What matplotlib asks of every element, by a rule that would hold for the whole page.
INHERITED = "stroke-linejoin:round;stroke-linecap:butt"
DECIMALS = 2  # of a point of 1/72 inch: less than any screen or printer shows
LONG = re.compile(rf"(?<![\w.#])-?\d+\.\d{{{DECIMALS + 1},}}(?![\w.])")
SVG_RULES: Any = {
    "svg.fonttype": "none",  # text stays text, for readers and machines
    "svg.hashsalt": SALT,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "path.simplify": True,
    "path.simplify_threshold": 0.2,  # of a pixel of 1/72 inch
}


@dataclass(frozen=True)
class Style:
    """How one defense, or another series, is drawn everywhere: no two share a mark or a dash."""

    colour: str
    marker: str
    dash: Any

    @property
    def line(self) -> dict[str, Any]:
        """As arguments of a line of matplotlib."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash}


STYLES = tuple(map(Style, COLOURS, MARKERS, DASHES))


def styles_of(names: Sequence[str]) -> dict[str, Style]:
    """A style for each name, in their order: the undefended models come first, in black.

    After the seventh the colours begin anew, with other marks.
    """
    count = len(STYLES)
    return {
        name: STYLES[number % count]
        if number < count
        else Style(
            COLOURS[number % count],
            MARKERS[(number + number // count) % count],
            DASHES[(number + 2 * (number // count)) % count],
        )
        for number, name in enumerate(dict.fromkeys(names))
    }


def display_name(defense: str, flags: str) -> str:
    """The name of a defense as people see it: its flags always stand beside it."""
    raised = [flag.replace("_", " ") for flag in flags.split()]
    return f"{defense} [{', '.join(raised)}]" if raised else defense


def save_picture(figure: "Figure", path: Path, title: str, shows: str) -> Picture:
    """Writes a figure as an SVG, with the same bytes for the same picture.

    Args:
        figure: drawn by `axes_of`.
        path: ends with `.svg`.
        title: of the picture, for those who do not see it.
        shows: what is to be seen, in words.
    """
    import matplotlib

    buffer = BytesIO()
    with matplotlib.rc_context(SVG_RULES):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    write_text(path, accessible(buffer.getvalue().decode(), path.stem, title, shows))
    return Picture(path, shows, title)


def accessible(svg: str, name: str, title: str, shows: str) -> str:
    """An SVG that can stand in a page beside others: a name, a description, no id used twice.

    Args:
        svg: of matplotlib.
        name: put before every id; letters, digits, `_`.
        title: of the picture.
        shows: what is to be seen.
    """
    body = _slim(svg[svg.index("<svg") :])
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\1{name}-", body)
    opened, rest = body.split(">", 1)
    labels = f'style="{INHERITED}" role="img" aria-labelledby="{name}-title {name}-desc"'
    named = f'<title id="{name}-title">{escape(title)}</title>'
    described = f'<desc id="{name}-desc">{escape(shows)}</desc>'
    return f"{opened} {labels}>{named}{described}{rest}"


def _slim(svg: str) -> str:
    """What is seen of an SVG of matplotlib: no rule for the whole page, no name that none uses."""
    body = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    for what in (r"<metadata>.*?</metadata>", r"<!--.*?-->", r"<style[^>]*>.*?</style>"):
        body = re.sub(what, "", body, flags=re.DOTALL)
    body = body.replace("xlink:href=", "href=")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(
        r' id="([^"]*)"', lambda found: found.group() if found.group(1) in used else "", body
    )
    body = re.sub(r"<defs>\s*</defs>", "", body)
    body = re.sub(r"<[^>]+>", lambda tag: LONG.sub(_rounded, tag.group()), body)
    return re.sub(r">\s+<", "><", re.sub(r"\s*\n\s*", " ", body))


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number.group()):.{DECIMALS}f}".rstrip("0").rstrip(".")


def axes_of(rows: int, columns: int, size: tuple[float, float]) -> tuple["Figure", list[Any]]:
    """A figure of `size` inches, and its plain axes row by row."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SVG_RULES):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    return figure, axes
