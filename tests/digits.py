"""Numbers as MLflow and files hold them, to be compared bit for bit."""

import csv
import sqlite3
from contextlib import closing
from pathlib import Path


def curves_of(root: Path, run_id: str) -> dict[tuple[str, int], float]:
    """Every value of every metric of a run, by name and step, from the store below a root."""
    asked = "select key, step, value from metrics where run_uuid = ?"
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        lines = database.execute(asked, [run_id]).fetchall()
    found = {(key, step): value for key, step, value in lines}
    assert len(found) == len(lines), "two values of one name and step"
    return found


def cells_of(folder: Path, defense: str) -> set[float]:
    """Every number in the CSV files of a folder, of the rows of this defense or of none."""
    found = set()
    for file in folder.glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row.get("defense", defense) == defense:
                    found |= {float(cell) for cell in row.values() if _is_number(cell)}
    return found


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
