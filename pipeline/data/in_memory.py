"""Records that somebody holds in memory, checked as those of a file are."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config import DataConfig
from pipeline.data.cells import Cells
from pipeline.data.schema import Dataset
from pipeline.data.tabular import faultless, finished, header_faults
from pipeline.files import BadInput

NAME = "records in memory"


def read_frame(frame: pd.DataFrame, cfg: DataConfig) -> Dataset:
    """The dataset of a data frame.

    Args:
        frame: a column for each that the schema names, in any order; a missing value is empty.
        cfg: describes them; its file is not looked at.

    Raises:
        BadInput: as `read_records`; records are counted from 1.
    """
    columns = {str(name): _texts(frame[name]) for name in frame.columns}
    if wrong := header_faults(list(columns), cfg):
        raise BadInput("\n".join(f"{NAME}: {line}" for line in wrong))
    lines = np.arange(1, len(frame) + 1)
    cells = Cells(tuple(columns), columns, lines, place="record")
    return finished(faultless([cells], cfg, NAME), NAME)[0]


def _texts(column: pd.Series) -> NDArray[np.object_]:
    """Values as a file has them: whole numbers without a point, what is missing as nothing."""

    def text(value: Any) -> str:
        if value is None or value is pd.NA or value != value:
            return ""
        whole = isinstance(value, float | np.floating) and float(value).is_integer()
        return str(int(value) if whole or isinstance(value, bool | np.bool_) else value).strip()

    return np.array([text(value) for value in column], dtype=object)
