"""A later file held against a schema: everything that is wrong with it at once."""

from pathlib import Path

from pipeline.config import DataConfig
from pipeline.data.cells import Cells, read_cells
from pipeline.data.checking import checked
from pipeline.data.tabular import header_faults


def faults_of(path: Path, name: str, data: DataConfig) -> list[str]:
    """Everything that keeps a file from being read by a schema.

    Args:
        path: the file.
        name: what messages call it.
        data: the schema.

    Returns:
        one line a fault, with the line and the column where there are any, and what would be right;
        none where the file fits.

    Raises:
        BadInput: the file cannot be read as a table at all.
    """
    cells = read_cells(path, name, data.reading)
    lines = [f"{name}: {line}" for line in header_faults(cells.header, data)]
    known = _known(cells, data)
    if known is not None:
        found = checked([cells], known)
        lines += found.told(name).splitlines() if found.faults else []
    return lines


def _known(cells: Cells, data: DataConfig) -> DataConfig | None:
    """The schema of the columns that the file has; None where it has no outcome or no feature."""
    features = {name: one for name, one in data.features.items() if name in cells.columns}
    if not features or data.target not in cells.columns:
        return None
    parts = {key: getattr(data, key) for key in ("group", "site", "time")}
    absent = {key: None for key, name in parts.items() if name not in cells.columns}
    bands = {name: cuts for name, cuts in data.bands.items() if name in features}
    return data.model_copy(update={"features": features, "bands": bands, **absent})
