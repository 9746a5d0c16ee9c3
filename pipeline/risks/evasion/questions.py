"""Which question the intervals of a comparison answer, in words."""

import pandas as pd

from pipeline.statistics.trainings import MODELS, RECIPE

OF_RECIPE = "of_recipe"  # the column of figures whose intervals hold another training, too
OF_MODELS = f"bootstrap over patients ({MODELS})"


def in_words(lines: pd.DataFrame) -> str:
    """One clause about the intervals in the lines of one threat."""
    named = lines.get(OF_RECIPE, pd.Series("", index=lines.index)).str.split()
    known = lines[[("robust_accuracy" in figures) for figures in named]]
    if known.empty:
        return f"intervals: {OF_MODELS}"
    where = []
    for eps, of_radius in known.groupby("eps"):
        lacking = [
            name for name in lines["defense"].unique() if name not in set(of_radius["defense"])
        ]
        place = "without attack" if eps == 0 else f"of right answers and sensitivity at eps {eps:g}"
        where.append(place + (f" (but for {', '.join(lacking)})" if lacking else ""))
    return f"intervals {' and '.join(where)}: {RECIPE}; all others: {OF_MODELS}"
