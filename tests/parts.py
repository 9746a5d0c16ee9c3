"""What a chapter holds, by kind, and what was drawn; which columns of tables are explained."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pipeline.presentation.chapter import Chapter, Fold, Heading, Items, Note, Part, Picture, Table
from pipeline.risks.columns import MEASUREMENT
from pipeline.risks.risk import SUFFIXES, Risk, Tables

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M 0 0"/></svg>'


def undrawn(patch) -> None:
    """Pictures are files that look like one: drawing them takes longer than all the rest."""
    patch.setattr(Figure, "savefig", lambda self, file, **_: file.write(SVG))


def unfolded(parts: Iterable[Part]) -> Iterator[Part]:
    """Every part, with those that are folded away."""
    for part in parts:
        yield part
        if isinstance(part, Fold):
            yield from unfolded(part.parts)


def of_kind(chapter: Chapter, kind):
    return [part for part in unfolded(chapter.parts) if isinstance(part, kind)]


def folds(chapter: Chapter) -> dict[str, Fold]:
    return {part.title: part for part in of_kind(chapter, Fold)}


def is_short(chapter: Chapter) -> bool:
    """Whether one picture and one table of at most ten rows and six columns stand open at most."""
    open_tables = [part.table for part in chapter.parts if isinstance(part, Table)]
    pictures = [part for part in chapter.parts if isinstance(part, Picture)]
    fits = all(len(table) <= 10 and table.shape[1] <= 6 for table in open_tables)
    return fits and len(open_tables) <= 1 and len(pictures) <= 1


def titles(chapter: Chapter) -> list[str]:
    return [chapter.title, *(part.text for part in of_kind(chapter, Heading))]


def tables(chapter: Chapter) -> list[pd.DataFrame]:
    return [part.table for part in of_kind(chapter, Table)]


def pictures(chapter: Chapter) -> list[Path]:
    return [part.path for part in of_kind(chapter, Picture)]


def notes(chapter: Chapter) -> str:
    return "\n".join(part.text for part in of_kind(chapter, Note))


def items(chapter: Chapter) -> dict[str, str]:
    return {name: text for part in of_kind(chapter, Items) for name, text in part.entries}


def cells(table: pd.DataFrame) -> list[str]:
    return [str(value) for value in table.to_numpy().ravel()]


def bare_numbers(table: pd.DataFrame, *but: str) -> list[str]:
    """The cells with a figure and no interval, columns `but` aside."""
    shown = cells(table.drop(columns=list(but)))
    return [cell for cell in shown if any(map(str.isdigit, cell)) and " to " not in cell]


def drawn(monkeypatch, module) -> list[Figure]:
    """The figures that a module saves from now on, in order; files are written as ever."""
    figures: list[Figure] = []
    save = module.save_picture

    def kept(figure, *told):
        figures.append(figure)
        return save(figure, *told)

    monkeypatch.setattr(module, "save_picture", kept)
    return figures


def curve(figure: Figure, panel: int, label: str) -> list[tuple[float, float]]:
    """The points of one line of a panel."""
    (line,) = [one for one in figure.axes[panel].lines if one.get_label() == label]
    return [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def unsuffixed(column: str) -> str:
    """The name of a column without what `SUFFIXES` put behind it."""
    for suffix in SUFFIXES:
        if column.endswith(suffix):
            return unsuffixed(column.removesuffix(suffix))
    return column


def unlike_its_explanation(risk: Risk, tables: Tables, measurements) -> dict[str, set[str]]:
    """By table, columns that nobody explains, and explained ones that are not there."""
    explained, found = risk.columns(), {}
    for name in {*tables, *explained}:
        there = {unsuffixed(column) for column in tables.get(name, pd.DataFrame())}
        there = {next(iter(MEASUREMENT)) if one in measurements else one for one in there}
        if different := there ^ set(explained.get(name, ())):
            found[name] = different
    return found
