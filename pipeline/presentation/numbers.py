"""Numbers as people read them: never without their interval."""

import math

import pandas as pd

NOTHING = 1e-9  # of all patients, up to rounding


def interval_text(value: float, low: float, high: float) -> str:
    """`0.593 (0.585 to 0.601)`, and a dash where nothing can be said."""
    return "-" if math.isnan(value) else f"{value:.3f} ({low:.3f} to {high:.3f})"


def with_interval(table: pd.DataFrame, name: str, low: str = "", high: str = "") -> list[str]:
    """A column of a table as `interval_text`, with the columns of its bounds.

    These are `<name>_low` and `<name>_high`, if not said otherwise.
    """
    columns = table[[name, low or f"{name}_low", high or f"{name}_high"]].astype(float)
    return [interval_text(*line) for line in columns.itertuples(index=False)]


def proved(lines: pd.DataFrame) -> list[str]:
    """`exact` where everything is decided; otherwise the share proved, and the share undecided."""
    figures = zip(lines["verified_accuracy"], lines["undecided"], strict=True)
    return [
        "exact" if open_ < NOTHING else f"{sure:.3f}, undecided {open_:.3f}"
        for sure, open_ in figures
    ]
