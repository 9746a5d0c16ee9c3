"""One line per figure: what a risk does to the undefended model, and to the best defense."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from pipeline.config import BASELINE, Config
from pipeline.presentation.numbers import with_interval
from pipeline.risks import RISKS
from pipeline.risks.results import Results, as_written
from pipeline.risks.risk import BOUNDS, Judgement

SUFFIXES = dict(zip(BOUNDS, ("", "_low", "_high"), strict=True))
KEY = ["risk", "figure", "good"]
COLUMNS = [
    *KEY,
    *(f"undefended{suffix}" for suffix in SUFFIXES.values()),
    "defense",
    *(f"best{suffix}" for suffix in SUFFIXES.values()),
]


def headline_table(results: Results, cfg: Config) -> pd.DataFrame:
    """Every headline figure of every risk, in the digits of a CSV file.

    Returns:
        a row per figure and defense, `risk, figure, good, defense, value, low, high`.
    """
    columns = [*KEY, "defense", *BOUNDS]
    frames = [
        figure.table.reset_index().assign(risk=risk.name, figure=figure.figure, good=figure.good)
        for risk in RISKS
        for figure in risk.headline(results[risk.name], cfg)
    ]
    if not frames:
        return pd.DataFrame(columns=columns)
    return as_written(pd.concat(frames, ignore_index=True)[columns])


def overview_table(headlines: pd.DataFrame, judged: Mapping[str, Judgement]) -> pd.DataFrame:
    """Draws up one line per figure.

    Args:
        headlines: as `headline_table` returns it.
        judged: by defense; a flagged one is no best defense.

    Returns:
        `risk, figure, good`; `undefended` with its interval; `best` with its interval and the name
        `defense` of the defense that does best. It is the best of several, hence a little
        flattered; empty where none does better.
    """
    flagged = {name for name, one in judged.items() if one.flags}
    groups = headlines.groupby(KEY, sort=False)
    lines = [_line(key, of_figure.set_index("defense"), flagged) for key, of_figure in groups]
    return pd.DataFrame(lines, columns=COLUMNS)


def _line(key: Iterable[Any], lines: pd.DataFrame, flagged: set[str]) -> dict[str, Any]:
    risk, figure, good = key
    sign = 1 if good == "high" else -1
    figures: dict[str, dict[str, float]] = lines[list(BOUNDS)].astype(float).to_dict("index")  # type: ignore[assignment]
    unknown = dict.fromkeys(BOUNDS, math.nan)
    undefended = figures.pop(BASELINE, unknown)
    scores = {
        name: sign * one["value"]
        for name, one in figures.items()
        if name not in flagged and not math.isnan(one["value"])
    }
    best = max(scores, key=lambda name: scores[name], default="")
    if best and scores[best] <= sign * undefended["value"]:
        best = ""
    return {
        "risk": risk,
        "figure": figure,
        "good": good,
        **_named("undefended", undefended),
        "defense": best,
        **_named("best", figures.get(best, unknown)),
    }


def _named(name: str, figure: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}{suffix}": figure[bound] for bound, suffix in SUFFIXES.items()}


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The overview as text."""
    best = [
        f"{said}  {name}" if name else "no defense does better"
        for said, name in zip(with_interval(table, "best"), table["defense"], strict=True)
    ]
    return pd.DataFrame(
        {
            "risk": table["risk"],
            "figure": table["figure"],
            "good": table["good"],
            "undefended": with_interval(table, "undefended"),
            "best defense": best,
        }
    )
