"""Tables of several defenses as one, and as text."""

from collections.abc import Mapping

import pandas as pd


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
