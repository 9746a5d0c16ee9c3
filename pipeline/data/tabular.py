"""Reading raw files of records, and saying in one line each what is wrong with them."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipeline.config import DataConfig
from pipeline.data import pieces
from pipeline.data.cells import Cells, read_cells
from pipeline.data.checking import checked, records_of, told, unmeasured
from pipeline.data.grid import finer_step, off_grid
from pipeline.data.packaged import bundled, packaged_cells
from pipeline.data.schema import Dataset, Schema
from pipeline.data.values import Fault, Values, as_text, wrong_values
from pipeline.files import BadInput, in_project

OURS = "data/pima.csv"
OTHERS = "data.file is a path from the project's folder on, or one from / on"


def read_records(cfg: DataConfig, root: Path) -> tuple[Dataset, dict[str, Any]]:
    """Reads the raw records and checks them against the schema.

    Args:
        cfg: names the file and describes its columns.
        root: the folder that the file's path starts from.

    Returns:
        the dataset, and a JSON-able report: see `_report`.

    Raises:
        BadInput: a line for each fault, with file, column and line (as an editor counts, the header
            is line 1), and what would be right.
    """
    schema = Schema.of(cfg)
    if cfg.source == "sklearn":
        name, values, target = f"scikit-learn's {cfg.name}", *bundled(cfg.name, len(schema.names))
        values = checked_values(values, schema, name, first_line=2)
        dataset = Dataset(torch.from_numpy(values), torch.from_numpy(target), schema)
    elif cfg.packaged is not None:
        name, cells = cfg.packaged.where, packaged_cells(cfg.packaged, cfg.reading)
        dataset = faultless([fitting(cells, cfg, name)], cfg, name)
    else:
        name, dataset = cfg.file, _of_file(cfg, root / cfg.file)
    return finished(dataset, name)


def _of_file(cfg: DataConfig, path: Path) -> Dataset:
    """The records of a file: of a large one in pieces, unless something is unusual about it."""
    if path.exists() and path.stat().st_size > pieces.PIECE:
        try:
            found = pieces.pieces_of(path, cfg.file, cfg.reading)
            return faultless((fitting(one, cfg, cfg.file) for one in found), cfg, cfg.file)
        except pieces.Unusual:
            pass  # the reader of the whole reads it, or says what is wrong
    return faultless([cells_of(cfg, path)], cfg, cfg.file)


def faultless(cells: Iterable[Cells], cfg: DataConfig, name: str) -> Dataset:
    """The records of a file whose header is right, of one piece after another.

    Raises:
        BadInput: a line for each fault.
    """
    found = checked(cells, cfg)
    if found.faults:
        raise BadInput(found.told(name))
    return found.dataset


def finished(dataset: Dataset, name: str) -> tuple[Dataset, dict[str, Any]]:
    """Records from which something can be learned, and what was found about them."""
    _refuse(dataset, name)
    equal = _equal_rows(dataset)
    dataset = replace(dataset, together=kept_together(dataset.patient, equal))
    report = _report(dataset, equal)
    return replace(dataset, x=dataset.x.float()), report


def cells_of(cfg: DataConfig, path: Path) -> Cells:
    """The cells of a file, its header checked against the columns of the schema.

    Raises:
        BadInput: the file cannot be read, or a column is missing, doubled or unknown.
    """
    if not path.exists():
        ours = cfg.file == OURS and not in_project()
        hint = "`dvc pull data.dvc` fetches it" if ours else OTHERS
        raise BadInput(f"{cfg.file}: not found; {hint}")
    return fitting(read_cells(path, cfg.file, cfg.reading), cfg, cfg.file)


def fitting(cells: Cells, cfg: DataConfig, name: str) -> Cells:
    """Cells whose header is that of the schema.

    Raises:
        BadInput: a column is missing, doubled or unknown.
    """
    if wrong := header_faults(cells.header, cfg):
        raise BadInput("\n".join(f"{name}: {line}" for line in wrong))
    return cells


def header_faults(header: Sequence[str], cfg: DataConfig) -> list[str]:
    """What is wrong with the names of a file's columns, one line each."""
    known = [*cfg.columns, *cfg.ignore]
    absent = [name for name in cfg.columns if name not in header]
    if len(absent) == len(cfg.columns):
        found = ", ".join(repr(name) for name in header[:5])
        return [
            f"no column of the schema stands in the first line ({found}): it names none, or the "
            "separator is another; see data.reading"
        ]
    faults = []
    for name in header:
        if name not in known:
            meant = difflib.get_close_matches(name, absent, n=1, cutoff=0.5)
            absent = [other for other in absent if other not in meant]
            hint = f"did you mean {meant[0]!r}?" if meant else "name it in data.ignore, or drop it"
            faults.append(f"column {name!r} is not in the schema; {hint}")
    lacking = f"the schema expects {', '.join(cfg.columns)}"
    return faults + [f"column {name!r} is missing; {lacking}" for name in absent]


def kept_together(of_patients: torch.Tensor, equal: NDArray[np.int64]) -> torch.Tensor:
    """(N,) int64: records that stay on one side of every split have one number.

    Those of one patient, and equal ones, whatever their diagnosis: of coarse values equal records
    are most often different people, but a model that has learned one of them knows the other.

    Args:
        of_patients: (N,) int64, whose each record is, from 0.
        equal: (N,) of `_equal_rows`.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(np.unique(equal)) == len(equal):
        return of_patients
    patient = of_patients.numpy()
    count = int(patient.max()) + 1
    edges = coo_array(
        (np.ones(len(patient)), (patient, count + equal)),
        shape=(count + len(equal), count + len(equal)),
    )
    part = connected_components(edges, directed=False)[1][patient]
    return torch.from_numpy(pd.factorize(part)[0].astype(np.int64))


def _equal_rows(dataset: Dataset) -> NDArray[np.int64]:
    """(N,): equal records have one number."""
    rows = pd.DataFrame(dataset.x.float().numpy()).fillna(np.inf)  # inf = missing
    return np.asarray(rows.groupby(list(rows.columns), sort=False).ngroup(), dtype=np.int64)


def _refuse(dataset: Dataset, name: str) -> None:
    """Refuses a cohort from which nothing can be learned."""
    present = dataset.y.unique()
    if len(present) < 2:
        target = dataset.schema.target
        raise BadInput(
            f"{name}: column {target!r}: only class {int(present[0])}; a model needs both classes"
        )
    for column, values in zip(dataset.schema.names, dataset.x.T, strict=True):
        if values.isnan().all():
            raise BadInput(
                f"{name}: column {column!r}: every value is missing; drop it from the schema"
            )


def checked_values(values: Values, schema: Schema, name: str, first_line: int) -> Values:
    """Missing codes turned into NaN, in place; what no clinic would have written down is refused.

    Args:
        values: (N, D) in clinical units, as recorded; levels as their place.
        schema: of the columns.
        name: where the values come from, for the message.
        first_line: the number by which the reader knows the first row.

    Raises:
        BadInput: a value lies outside its plausible range, or is not whole where it must be; or a
            record holds no measurement at all.
    """
    faults = faults_of(values, schema)
    _raise(faults or unmeasured(values, schema), name, first_line)
    return values


def faults_of(values: Values, schema: Schema) -> list[Fault]:
    """Values (N, D) that no clinic would have written down; missing codes become NaN, in place."""
    faults: list[Fault] = []
    for index, (column, feature) in enumerate(zip(schema.names, schema.features, strict=True)):
        codes = [code for code in feature.missing if not isinstance(code, str)]
        if not feature.levels:
            values[np.isin(values[:, index], codes), index] = np.nan
        faults += wrong_values(values[:, index], column, feature)
    return faults


def checked_frame(frame: pd.DataFrame, schema: Schema, name: str, first_line: int) -> Values:
    """Raw records of a data frame, however its columns are stored, as `checked_values`.

    Raises:
        BadInput: as for `checked_values`; or a cell is no number, or no level.
    """
    values, faults = records_of({column: as_text(frame[column]) for column in schema.names}, schema)
    _raise(faults or unmeasured(values, schema), name, first_line)
    return values


def _raise(faults: list[Fault], name: str, first_line: int) -> None:
    if faults:
        rows = max(int(fault.rows.max()) for fault in faults) + 1
        lines = np.arange(rows, dtype=np.int64) + first_line
        raise BadInput(told(faults, lines, "line", name))


def _report(dataset: Dataset, equal: NDArray[np.int64]) -> dict[str, Any]:
    """What a reader wants to know of a cohort before anything is learned from it.

    Counts alone: `records, positives, patients, sites`; `equal_rows`, records that another one
    equals; of each feature `missing` and `off_grid`, and of those with values between the steps
    `finer_step`, the grid that holds them all.
    """
    x, names = dataset.x.double().numpy(), dataset.schema.names
    missing, strays, finer = {}, {}, {}
    for name, feature, values in zip(names, dataset.schema.features, x.T, strict=True):
        missing[name] = int(np.isnan(values).sum())
        strays[name] = int(off_grid(values, feature.step).sum()) if feature.step else 0
        step = finer_step(values, feature.step) if strays[name] and feature.step else None
        if step is not None:
            finer[name] = step
    counts = np.bincount(equal)
    return {
        "records": len(x),
        "positives": int((dataset.y == 1).sum()),
        "patients": len(dataset.patient.unique()),
        "sites": len(dataset.schema.sites),
        "equal_rows": int(counts[counts > 1].sum()),
        "missing": missing,
        "off_grid": strays,
        "finer_step": finer,
    }


def census_in_words(report: Mapping[str, Any]) -> list[str]:
    """What a person should hear of a cohort's report, one line for each kind of thing."""
    said = []
    if report["equal_rows"]:
        said.append(
            f"{report['equal_rows']} records equal another one; they are kept, on one side of "
            "every split"
        )
    strays = {name: count for name, count in report["off_grid"].items() if count}
    if strays:
        each = [
            f"{name} {count} (step {report['finer_step'][name]:g} holds all)"
            if name in report["finer_step"]
            else f"{name} {count}"
            for name, count in strays.items()
        ]
        said.append(f"values between the steps of their grid: {', '.join(each)}")
    return said
