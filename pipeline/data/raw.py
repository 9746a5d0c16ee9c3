"""The raw data of a configuration: a cohort's records, or its images."""

from pathlib import Path
from typing import Any

from pipeline.config import DataConfig
from pipeline.data.schema import Dataset


def read_raw(cfg: DataConfig, root: Path) -> tuple[Dataset, dict[str, Any]]:
    """Reads raw data and checks them against the schema.

    Args:
        cfg: names the file and describes what is in it.
        root: the folder that the file's path starts from.

    Returns:
        the dataset, and a JSON-able report of what was found.

    Raises:
        BadInput: a line for each fault, with the place and what would be right.
    """
    if cfg.image is not None:
        from pipeline.data.images import read_images

        return read_images(cfg, root)
    from pipeline.data.tabular import read_records

    return read_records(cfg, root)
