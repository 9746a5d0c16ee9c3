"""Tables and pictures as HTML."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pandas as pd


def by_defense(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several, with the defence in front."""
    return pd.concat([table.assign(defense=name)[["defense", *table]] for name, table in tables.items()], ignore_index=True)


STYLE = """
.wide { overflow-x: auto; }
table.text th, table.text td { text-align: left; vertical-align: top; white-space: normal; max-width: 26em; }
table.patients td:nth-child(4), table.patients td:last-child { min-width: 19em; }
table.text tr > :first-child { white-space: nowrap; }
"""


def picture(path: Path) -> str:
    """A PNG as part of the page."""
    return f'<img alt="{path.stem}" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'


def html_table(table: pd.DataFrame, kind: str = "") -> str:
    """A table with long texts as HTML: everything escaped, nothing shortened, wide ones scroll by themselves."""
    return f'<div class="wide">{table.to_html(index=False, border=0, classes=["text", kind], na_rep="-")}</div>'
