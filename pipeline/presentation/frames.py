"""Tables of several defenses as one, and as text."""

from collections.abc import Mapping

import pandas as pd

# How a table may say that it has no value: a figure that was formatted, too.
MISSING = ("nan", "<NA>", "None", "NaT")


def by_defense(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several, with the defense in front."""
    if not tables:
        return pd.DataFrame(columns=["defense"])
    return pd.concat(
        [table.assign(defense=name)[["defense", *table]] for name, table in tables.items()],
        ignore_index=True,
    )


def left_justified(table: pd.DataFrame) -> str:
    """A table of texts, every column to the left; empty where it has no row."""
    if not len(table):
        return ""
    wide = table.apply(lambda column: column.str.ljust(int(column.str.len().max())))
    return str(wide.to_string(index=False, justify="left"))


def cells(table: pd.DataFrame) -> list[list[str]]:
    """The rows of a table as text; a missing value is a dash."""
    return [
        ["-" if str(value) in MISSING else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]
