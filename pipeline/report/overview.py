"""One line per figure: what a risk does to the undefended model, and what the best defence makes of it."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from pipeline.config import BASELINE, Config
from pipeline.presentation.numbers import with_interval
from pipeline.risks import RISKS
from pipeline.risks.results import Results
from pipeline.risks.risk import BOUNDS, Judgement

SUFFIXES = dict(zip(BOUNDS, ("", "_low", "_high"), strict=True))


def headline_table(results: Results, cfg: Config) -> pd.DataFrame:
    """Every headline figure of every risk: a row per figure and defence, `risk, figure, good, defense, value, low, high`."""
    frames = [
        figure.table.reset_index().assign(risk=risk.name, figure=figure.figure, good=figure.good)
        for risk in RISKS
        for figure in risk.headline(results[risk.name], cfg)
    ]
    columns = ["risk", "figure", "good", "defense", *BOUNDS]
    return (
        pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    )


def overview(headlines: pd.DataFrame, judged: Mapping[str, Judgement]) -> pd.DataFrame:
    """Draws up one line per figure.

    Args:
        headlines: as `headline_table` returns it.
        judged: by defence; flagged ones are no best defence.

    Returns: `risk, figure, good`; `undefended` with its interval; `best` and the name `defense` of
        the defence that does best, with its interval. It is the best of several, hence a little
        flattered; empty where none does better.
    """
    flagged = {name for name, one in judged.items() if one.flags}
    groups = headlines.groupby(["risk", "figure", "good"], sort=False)
    return pd.DataFrame([_line(key, lines.set_index("defense"), flagged) for key, lines in groups])


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
        **{f"undefended{suffix}": undefended[bound] for bound, suffix in SUFFIXES.items()},
        "defense": best,
        **{
            f"best{suffix}": figures.get(best, unknown)[bound] for bound, suffix in SUFFIXES.items()
        },
    }


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
