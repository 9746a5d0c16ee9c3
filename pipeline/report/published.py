"""What `dvc metrics` and `dvc plots` compare between commits: few figures, small enough for git.

It holds no row of a patient and no count of patients. Whether it enters git is said in `results/`:
nothing does that a `.gitignore` there does not name.
"""

from pathlib import Path

import pandas as pd

from pipeline.config import Config
from pipeline.files import write_json, write_text
from pipeline.report import METRICS, PLOTS
from pipeline.report.write import headline_metrics, write_table
from pipeline.risks import RISKS
from pipeline.risks.results import Results, judgements
from pipeline.risks.risk import Context, Judgement

RESULTS = Path("results")  # a folder in it for each data set
COMPARED = "metrics"  # a file for each defense: `dvc metrics show` makes a row of a file
IGNORE = ".gitignore"
UNASKED = """\
# Figures of a cohort enter git only where a line here says so: `!/<name of the data set>/`.
/*
"""


def keep_out_of_git(results: Path = RESULTS) -> None:
    """Keeps figures out of git of which nobody said that they may enter it."""
    results.mkdir(exist_ok=True)
    if not (results / IGNORE).exists():
        write_text(results / IGNORE, UNASKED)


def write_published(results: Results, context: Context, folder: Path) -> None:
    """Writes the figures and curves of all risks.

    Args:
        results: the tables of every risk.
        context: whose they are.
        folder: where to, empty. `metrics.json` holds every figure of `dvc metrics`;
            `metrics/<defense>.json` those of `report.metrics`; `plots/<curve>.csv` the curves.
    """
    metrics = headline_metrics(results, context)
    write_json(folder / METRICS, metrics)
    (folder / COMPARED).mkdir()
    for defense, figures in metrics.items():
        wanted = {name: figures[name] for name in context.cfg.report.metrics if name in figures}
        write_json(folder / COMPARED / f"{defense}.json", wanted)
    for name, curve in curves_of(results, context.cfg).items():
        write_table(curve, folder / PLOTS / f"{name}.csv")


def curves_of(results: Results, cfg: Config) -> dict[str, pd.DataFrame]:
    """The curves of every risk by name, with the flags of each defense.

    Returns:
        `defense`; `flags`, joined by a blank; what it is drawn against; `value, low, high`.
    """
    judged = judgements(results)
    found = {}
    for risk in RISKS:
        for name, curve in risk.plotted(results[risk.name], cfg).items():
            flags = [
                " ".join(judged.get(one, Judgement()).flags) if one in judged else ""
                for one in curve["defense"]
            ]
            found[name] = curve.assign(flags=flags)[["defense", "flags", *list(curve)[1:]]]
    return found
