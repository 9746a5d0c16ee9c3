"""What jobs buy, against what it costs them: two figures, and who is surpassed in both by nobody.

By the figures alone: who differs in earnest is said by the intervals, and by the conclusions.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import pandas as pd

from pipeline.presentation.chapter import Chapter, Note, Part, Picture, Table
from pipeline.presentation.numbers import with_interval
from pipeline.presentation.pictures import COLOURS, axes_of, display_name, save_picture
from pipeline.risks.risk import BOUNDS, Judgement, Trade

TITLE = "What is bought, and what it costs"
KEPT, BOUGHT = ([f"{what}_{bound}" for bound in BOUNDS] for what in ("kept", "bought"))
RANKED = ("kept_rank", "bought_rank")  # more is better
COLUMNS = ["kept", "bought", "job", *KEPT, *BOUGHT, "front", "but_flagged"]
RULE = (
    "A line joins the jobs that no other surpasses in both figures: the front, by the figures "
    "alone. Neighbours on it whose intervals overlap were not told apart. A flagged job is hollow: "
    "it surpasses none of the others, and where nobody surpasses it, that is said with its flag."
)
WIDE = 2  # panels beside each other


def fronts_table(
    blocks: Sequence[tuple[Mapping[str, str], Sequence[Trade]]], flagged: Sequence[str]
) -> pd.DataFrame:
    """Every two figures that are bought with each other, of every job that has both.

    Args:
        blocks: what each job is called in the tables -> its name, and these tables' trades.
        flagged: jobs that surpass none of the others.

    Returns:
        one row per trade and job: `kept, bought`, the figures; `job`; `kept_value, kept_low,
        kept_high` and likewise of what is bought; `front`: whether no other job that is not flagged
        is at least as good in both figures and better in one; `but_flagged`: of a flagged job,
        whether no other job at all is.
    """
    frames = []
    for names, trades in blocks:
        for trade in trades:
            sides = zip((trade.kept, trade.bought), (KEPT, BOUGHT), strict=True)
            parts = [figure.table.set_axis(columns, axis=1) for figure, columns in sides]
            both = pd.concat(parts, axis=1, join="inner").dropna(subset=[KEPT[0], BOUGHT[0]])
            frames.append(
                both.assign(
                    job=[names[str(name)] for name in both.index],
                    kept=trade.kept.figure,
                    bought=trade.bought.figure,
                    kept_rank=_sign(trade.kept.good) * both[KEPT[0]],
                    bought_rank=_sign(trade.bought.good) * both[BOUGHT[0]],
                )
            )
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(frames, ignore_index=True)
    able = table[~table["job"].isin(flagged)]
    front, but_flagged = [], []
    for job, kept, bought, first, second in table[["job", "kept", "bought", *RANKED]].to_numpy():
        beside = table if job in flagged else able
        same = beside[(beside["kept"] == kept) & (beside["bought"] == bought)]
        free = not _surpassed(same, (first, second))
        front.append(free and job not in flagged)
        but_flagged.append(free and job in flagged)
    return table.assign(front=front, but_flagged=but_flagged)[COLUMNS]


def _surpassed(others: pd.DataFrame, point: tuple[float, float]) -> bool:
    """Whether one of them is at least as good in both figures, and better in one."""
    ahead = others[list(RANKED)].to_numpy(dtype=float) - point
    return bool(((ahead >= 0).all(1) & (ahead > 0).any(1)).any())


def _sign(good: str) -> int:
    return 1 if good == "high" else -1


def chapters(
    table: pd.DataFrame, judged: Mapping[str, Judgement], folder: Path
) -> Sequence[Chapter]:
    """One chapter, or none where fewer than two jobs have both figures."""
    if not len(table) or table.groupby(["kept", "bought"])["job"].nunique().max() < 2:
        return ()
    parts: list[Part] = [
        draw(table, judged, folder),
        Table(_shown(table, judged), "numbers", "Every job; with intervals"),
        Note(RULE),
    ]
    return (Chapter(TITLE, parts),)


def draw(table: pd.DataFrame, judged: Mapping[str, Judgement], folder: Path) -> Picture:
    """A panel for each two figures: what is kept to the right, what is bought upwards."""
    panels = list(table.groupby(["kept", "bought"], sort=False))
    columns = min(WIDE, len(panels))
    rows = -(-len(panels) // WIDE)
    figure, axes = axes_of(rows, columns, (5.0 * columns, 3.4 * rows))
    jobs = list(dict.fromkeys(table["job"]))
    colours = dict(zip(jobs, cycle(COLOURS), strict=False))
    for axis, ((kept, bought), own) in zip(axes, panels, strict=False):
        along = own[own["front"] | own["but_flagged"]].sort_values("kept_value")
        axis.plot(along["kept_value"], along["bought_value"], color="0.6", linewidth=1.0, zorder=1)
        for _, line in own.iterrows():
            job = line["job"]
            flags = " ".join(judged[job].flags)
            axis.errorbar(
                line["kept_value"], line["bought_value"], _around(line, BOUGHT),
                _around(line, KEPT), color=colours[job], marker="o", markersize=5, capsize=2,
                linewidth=0.8, linestyle="none", markerfacecolor="white" if flags else colours[job],
                label=display_name(job, flags),
            )  # fmt: skip
        axis.set_xlabel(str(kept), fontsize=9)
        axis.set_title(str(bought), fontsize=9)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    axes[0].legend(frameon=False, fontsize=7)
    said = "; ".join(f"{bought} against {kept}" for (kept, bought), _ in panels)
    shows = f"{said}, of {', '.join(jobs)}, with intervals. The numbers stand in the table below."
    return save_picture(figure, folder / "sweep_fronts.svg", TITLE, shows)


def _around(line: "pd.Series[float]", columns: Sequence[str]) -> list[list[float]]:
    value, low, high = (float(line[column]) for column in columns)
    return [[value - low], [high - value]]


def _shown(table: pd.DataFrame, judged: Mapping[str, Judgement]) -> pd.DataFrame:
    """A row per job: what is kept, and each thing that is bought with it; the front is starred."""
    names = {
        job: display_name(job, " ".join(judged[job].flags)) for job in dict.fromkeys(table["job"])
    }
    cells: dict[str, dict[str, str]] = {}
    for figure, columns in (("kept", KEPT), ("bought", BOUGHT)):
        for line, text in zip(
            table.to_dict("records"), with_interval(table, *columns), strict=True
        ):
            mark = ""
            if figure == "bought" and (line["front"] or line["but_flagged"]):
                mark = " on the front" if line["front"] else " on the front, but flagged"
            cells.setdefault(str(line[figure]), {})[line["job"]] = f"{text}{mark}"
    shown = {"job": list(names.values())}
    return pd.DataFrame(
        {**shown, **{title: [own.get(job, "") for job in names] for title, own in cells.items()}}
    )
