"""A sweep on a terminal or in a log: a line for each job as it ends, a table at the end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill, wrap
from typing import Any

from pipeline.presentation.numbers import interval_text
from pipeline.report.overview import WIDE, front_in_words
from pipeline.risks.conclusions import Question
from pipeline.risks.risk import BOUNDS
from pipeline.sweep.compared import Compared
from pipeline.sweep.jobs import Job, short

CELL, GAP = 22, "  "  # a figure with its interval, and what stands before it
LETTERS = (20, 12, 8, 4)  # of a value that varies and of its title: the first that fits
Key = tuple[str, str]  # risk and figure
RULE = (
    "Second line: better, worse, or not told apart (and the difference that would have shown), "
    "against the same job without a defense on the same patients, after Holm over all jobs. Jobs "
    "without a defense that differ in model or training alone: against the first of them."
)


@dataclass(frozen=True)
class Layout:
    """The columns: what varies, and of the figures those that fit beside it.

    Attributes:
        varies: titles of the columns on the left -> their width; longer ones are cut.
        figures: the columns on the right.
        jobs: how many there are; lines of finished ones are counted.
    """

    varies: Mapping[str, int]
    figures: Sequence[Key]
    jobs: int

    @classmethod
    def of(cls, jobs: Sequence[Job], figures: Sequence[Key]) -> "Layout":
        """Of these jobs, and of figures with the most important first."""
        count = len(_count(len(jobs), len(jobs)))
        for letters in LETTERS:
            titles = _widths(jobs, letters)
            left = count + sum(width + 1 for width in titles.values()) - 1
            if room := max(WIDE - left, 0) // (CELL + len(GAP)):
                break
        return cls(titles, figures[: max(room, 1)], len(jobs))

    def heading(self, *, counted: bool) -> str:
        """The titles of the columns, over several lines."""
        titles = [wrap(figure, CELL) for _, figure in self.figures]
        height = max(map(len, titles), default=1)
        blank = " " * len(_count(self.jobs, self.jobs)) * counted
        lines = []
        for at in range(height):
            left = {title: title if at == height - 1 else "" for title in self.varies}
            cells = [title[at] if at < len(title) else "" for title in titles]
            lines.append(blank + self._line(left, cells))
        return "\n".join(lines)

    def row(self, job: Job, cells: Mapping[Key, str], done: int = 0, mark: str = "") -> str:
        """A job and its figures; where it is the how-manieth that is `done`, that is said first."""
        left = _left(job)
        left["defense"] += mark
        first = _count(done, self.jobs) if done else ""
        return first + self._line(left, [cells.get(key, "-") for key in self.figures])

    def below(self, cells: Mapping[Key, str]) -> str:
        """What stands below the figures of a job."""
        return self._line({}, [cells.get(key, "") for key in self.figures])

    def _line(self, left: Mapping[str, str], cells: Iterable[str]) -> str:
        said = " ".join(
            f"{left.get(title, '')[:width]:<{width}}" for title, width in self.varies.items()
        )
        return (said + "".join(f"{GAP}{cell:<{CELL}}" for cell in cells)).rstrip()


def most_important(asked: Sequence[Question]) -> list[Key]:
    """The figures in the order in which a table that has room for few shows them.

    Of each risk the first that is weighed; what else is weighed; then the first of each other risk.
    """
    weighed = [one.name for one in asked if one.figure.weighed]
    first = {risk: (risk, figure) for risk, figure in reversed(weighed)}
    ahead = [one for one in weighed if one in first.values()]
    others: dict[str, Key] = {}
    for one in asked:
        if one.risk not in first:
            others.setdefault(one.risk, one.name)
    return list(dict.fromkeys([*ahead, *weighed, *others.values()]))


def figures_of(asked: Sequence[Question], defense: str) -> dict[Key, str]:
    """The figures of one defense with their intervals, as text."""
    return {
        one.name: cell_text(*(float(line[bound]) for bound in BOUNDS))
        for one in asked
        for name, line in one.figure.table.iterrows()
        if name == defense
    }


def cell_text(value: float, low: float, high: float) -> str:
    """A figure with its interval, in as many letters as a column has."""
    said = interval_text(value, low, high)
    return said if len(said) <= CELL else f"{value:.2f} ({low:.2f} to {high:.2f})"


def summary(layout: Layout, jobs: Sequence[Job], compared: Compared) -> str:
    """The table at the end, and what may be said of all jobs together."""
    lines = [layout.heading(counted=False)]
    for job in jobs:
        own = compared.headlines[compared.headlines["defense"] == job.name]
        flagged = bool(compared.judged[job.name].flags)
        cells, verdicts = {}, {}
        for line in own.to_dict("records"):
            key = (line["risk"], line["figure"])
            cells[key] = cell_text(line["value"], line["low"], line["high"])
            verdicts[key] = verdict_text(line, flagged=flagged)
        lines.append(layout.row(job, cells, mark="*" * flagged))
        if any(verdicts.get(key) for key in layout.figures):
            lines.append(layout.below(verdicts))
    said = ["\n".join(lines), fill(RULE, WIDE)]
    if flags := _flags(compared):
        said.append("\n".join(fill(one, WIDE, subsequent_indent="  ") for one in flags))
    if words := front_in_words(compared.front):
        said.append(fill(words, WIDE))
    return "\n\n".join(said)


def verdict_text(line: Mapping[Any, Any], *, flagged: bool) -> str:
    """What a row of `headlines` says against no defense, in as few letters as a column has."""
    verdict = str(line["verdict"])
    if verdict == "better" and flagged:
        return "better, but flagged"
    if verdict in ("better", "worse"):
        return f"{verdict} by {abs(line['difference']):.3f}"
    if verdict == "not told apart":
        return f"not told apart ({line['smallest_detectable']:.3f})"
    return verdict


def _flags(compared: Compared) -> list[str]:
    return [
        f"* {name}: flagged: {', '.join(flag.replace('_', ' ') for flag in one.flags)}"
        for name, one in compared.judged.items()
        if one.flags
    ]


def _left(job: Job) -> dict[str, str]:
    values = {short(key, job.defense): value for key, value in job.varies.items()}
    return {"defense": job.defense, **values}


def _widths(jobs: Sequence[Job], letters: int) -> dict[str, int]:
    """Title -> the width of its column; that of the defense has room for a mark."""
    widths: dict[str, int] = {}
    for job in jobs:
        for title, text in _left(job).items():
            wide = max(widths.get(title, len(title)), len(text))
            widths[title] = wide if title == "defense" else min(wide, letters)
    return {title: width + (title == "defense") for title, width in widths.items()}


def _count(done: int, jobs: int) -> str:
    return f"{done:>{len(str(jobs))}}/{jobs} "
