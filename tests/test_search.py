"""The search for records of a cohort finds what is planted, in whatever layout, nothing else."""

import json

import numpy as np
import pandas as pd
import pytest

import tiny
from search import as_written, records_in


def coded(cells, code):
    return [code if cell is None else cell for cell in cells]


NAMES = list(tiny.SCHEMA.names)
# A record, in every layout that somebody may think of.
LAYOUTS = {
    "a.csv": lambda r: f"patient,{','.join(NAMES)}\n7,{','.join(coded(map_text(r), ''))}\n",
    "reordered.csv": lambda r: (
        f"{','.join(NAMES[::-1])}\n{','.join(coded(map_text(r), '')[::-1])}\n"
    ),
    "text.md": lambda r: "one patient: " + ", ".join(coded(map_text(r), "NaN")),
    "row.json": lambda r: json.dumps({"columns": NAMES, "data": [r]}),
    "nan.json": lambda r: json.dumps([coded(r, float("nan"))]),
    "records.json": lambda r: json.dumps(
        [{"patient": 7} | dict(zip(NAMES[::-1], r[::-1], strict=True))]
    ),
    "columns.json": lambda r: json.dumps(
        {name: [1.0, cell] for name, cell in zip(NAMES, r, strict=True)}
    ),
    "indexed.json": lambda r: json.dumps(
        {name: {"0": 1.0, "1": cell} for name, cell in zip(NAMES, r, strict=True)}
    ),
    "side.json": lambda r: json.dumps([[1.0, cell] for cell in r]),
    "in_text.json": lambda r: json.dumps({"signature": json.dumps(r)}),
    "page.html": lambda r: (
        f"<table><tr><td>7</td>{html_cells(coded(map_text(r), '-'))}</tr></table>"
    ),
    "list.yaml": lambda r: "\n".join(f"- {cell}" for cell in coded(r, "null")),
    "float32.txt": lambda r: str(coded([cell and float(np.float32(cell)) for cell in r], None)),
}


def html_cells(texts):
    return "".join(f"<td>{text}</td>" for text in texts)


def map_text(record):
    return [None if cell is None else f"{cell:g}" for cell in record]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("missing", [0, 1, 2])
def test_the_search_finds_a_planted_record(tmp_path, layout, missing):
    data = tiny.records(90, seed=3)
    patient = int((data.x.isnan().sum(1) == missing).nonzero()[0])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / layout).write_text(LAYOUTS[layout](as_written(data, patient)))
    assert list(records_in(tmp_path, data).values()) == [[patient]]
    assert not records_in(tmp_path, tiny.records(90, seed=4))


@pytest.mark.parametrize("name", ["a.parquet", "a.safetensors", "a.db"])
def test_the_search_finds_a_record_in_files_that_are_no_text(tmp_path, name):
    import sqlite3

    from pipeline.files import write_tensors

    data = tiny.records(90, seed=3)
    record = as_written(data, 5)
    if name == "a.parquet":
        pd.DataFrame([record], columns=NAMES)[NAMES[::-1]].assign(patient=7).to_parquet(
            tmp_path / name
        )
    elif name == "a.safetensors":
        write_tensors(tmp_path / name, {"x": data.x[None, 5:6], "columns": data.x[6:8].T})
    else:
        with sqlite3.connect(tmp_path / name) as database:
            database.execute("create table tags (key text, value text)")
            database.execute("insert into tags values ('example', ?)", [json.dumps(record)])
    assert list(records_in(tmp_path, data).values()) == [
        [5, 6, 7] if name == "a.safetensors" else [5]
    ]


def test_the_search_knows_codes_for_missing_values(tmp_path):
    coded_schema = {
        name: feature.model_copy(update={"missing": [-9.0]})
        for name, feature in tiny.FEATURES.items()
    }
    data = tiny.records(90, seed=3)
    data = type(data)(
        data.x,
        data.y,
        type(data.schema)(tuple(coded_schema), tuple(coded_schema.values()), "outcome", ("a", "b")),
    )
    patient = int((data.x.isnan().sum(1) == 2).nonzero()[0])
    (tmp_path / "a.txt").write_text(" ".join(map(str, coded(as_written(data, patient), -9))))
    assert list(records_in(tmp_path, data).values()) == [[patient]]
