"""A table in pieces is the table; what is not plain is left to the reader of the whole."""

import gzip

import numpy as np
import pandas as pd
import pytest

from pipeline.config import DataConfig, FeatureConfig, ReadingConfig
from pipeline.data import pieces
from pipeline.data.cells import read_cells
from pipeline.data.checking import checked
from pipeline.data.pieces import Unusual, pieces_of
from pipeline.data.tabular import read_records
from pipeline.files import BadInput
from tiny import same_bits

READING = ReadingConfig()
SEEDS = range(1, 12)
ROWS, HEAD = 60, 8  # records, and lines that the beginning is


def feature(**changes):
    usual = {
        **{"unit": "u", "kind": "real", "lower": 0.0, "upper": 100.0, "step": 0.5, "missing": []},
        **{"mutable": True, "private": False, "center": 1.0, "scale": 1.0, "source": "made up"},
        **{"error": None, "error_source": None},
    }
    return FeatureConfig(**{**usual, **changes})


CFG = DataConfig(
    name="ward",
    title="A ward",
    source="file",
    file="ward.csv",
    target="ill",
    classes=["healthy", "sick"],
    auroc_ceiling=None,
    bands={},
    group="who",
    site="where",
    time="when",
    features={"a": feature(missing=["?"]), "b": feature(kind="integer", step=1.0), "c": feature()},
)


def cohort(seed=0):
    """Cells of a made-up ward; half of the patients have two records."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "who": [f"p{number}" for number in draw.permutation(ROWS) // 2],
            "where": draw.choice(["north", "east", "south"], ROWS),
            "when": [f"2024-05-{1 + day % 28:02d}" for day in range(ROWS)],
            **{name: np.round(draw.uniform(0, 100, ROWS)).astype(int) for name in "abc"},
            "ill": draw.integers(0, 2, ROWS),
        }
    ).astype(str)
    frame.loc[draw.random(ROWS) < 0.1, "a"] = "?"
    frame.loc[draw.random(ROWS) < 0.1, "c"] = ""
    return frame.assign(a=frame["a"].where(frame["a"] == "?", frame["a"] + ".5"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 200)
    monkeypatch.setattr(pieces, "SAMPLE", HEAD)
    monkeypatch.setattr(pieces, "RECORDS", 7)


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "ward.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def as_csv(frame=None, **options):
    return (cohort() if frame is None else frame).to_csv(index=False, **options)


def as_parquet(path):
    cohort().to_parquet(path)
    return path.read_bytes()


PLAIN = {
    "plain": as_csv(),
    "CRLF": as_csv(lineterminator="\r\n"),
    "no last line end": as_csv().rstrip("\n"),
    "mark": "\ufeff" + as_csv(),
    "semicolon": as_csv(sep=";"),
    "announced": "sep=;\n" + as_csv(sep=";"),
    "quoted": as_csv(quoting=1),
    "blank lines": as_csv().replace("\n", "\n\n  \n,,,,,,\n"),
    "gzip": gzip.compress(as_csv().encode(), mtime=0),
}


@pytest.mark.parametrize("kind", [*PLAIN, "parquet"])
def test_pieces_together_are_the_whole(written, tmp_path, kind):
    path = written(as_parquet(tmp_path / "p") if kind == "parquet" else PLAIN[kind])
    whole, parts = read_cells(path, "ward", READING), list(pieces_of(path, "ward", READING))
    assert len(parts) > 5
    assert {one.header for one in parts} == {whole.header}
    assert {one.place for one in parts} == {whole.place}
    assert {one.decimal for one in parts} == {whole.decimal}
    assert np.concatenate([one.lines for one in parts]).tolist() == whole.lines.tolist()
    for name, column in whole.columns.items():
        assert np.concatenate([one.columns[name] for one in parts]).tolist() == column.tolist()


LAST = as_csv().rstrip("\n").rsplit("\n", 1)[1]
COMMAS = as_csv(cohort().replace(r"\.5$", "", regex=True).assign(c="1"), sep=";")
UNUSUAL = {
    "a record over two lines": as_csv().replace(LAST, '"p\n1"' + LAST[2:]),
    "an open quote": as_csv() + '"' + LAST,
    "a cell too many": as_csv() + LAST + ",7\n",
    "a title": "A ward\n" + as_csv(),
    "no header": as_csv(header=False),
    "the header again": as_csv() + as_csv()[: as_csv().index("\n") + 1],
    "a column without a name": as_csv(cohort().rename(columns={"c": ""})),
    "numbered by pandas": cohort().to_csv(),
    "a separator at every end": as_csv().replace("\n", ",\n"),
    "old line ends": as_csv(lineterminator="\r"),
    "a NUL": as_csv() + LAST.replace("p", "\0", 1),
    "a merge": as_csv() + "=======\n" + LAST,
    "another encoding": as_csv().encode() + LAST.replace("p", "ü", 1).encode("latin-1"),
    "UTF-16": as_csv().encode("utf-16"),
    "a decimal comma that comes late": COMMAS + LAST.replace(",", ";").replace(".", ","),
    "cut off": gzip.compress(as_csv().encode(), mtime=0)[:-20],
    "a web page": "<html>\n" * 60,
    "nothing": "",
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_unusual_is_left_to_the_reader_of_the_whole(written, kind):
    path = written(UNUSUAL[kind])
    with pytest.raises(Unusual):
        list(pieces_of(path, "ward", READING))


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNUSUAL)
def test_and_is_read_or_refused_as_before(written, monkeypatch, kind):
    path = written(UNUSUAL[kind])

    def answer():
        try:
            dataset, report = read_records(CFG, path.parent)
            return dataset.digest, report
        except BadInput as error:
            return str(error)

    found = answer()
    monkeypatch.setattr(pieces, "PIECE", 2**22)
    assert answer() == found


def mistaken(seed):
    """A ward with mistakes of every kind, some of them again and again."""
    draw, frame = np.random.default_rng(seed), cohort(seed)
    wrong = {
        **{"a": ["x", "1 mg", "inf", "1e999", "101", "-1"], "b": ["2.5", "900", "", "y"]},
        **{"c": ["12%", "?"], "ill": ["2", "", "maybe"], "who": [""], "where": ["", "na"]},
        **{"when": ["yesterday", ""]},
    }
    for column, cells in wrong.items():
        for row in draw.integers(0, ROWS, draw.integers(0, 9)):
            frame.loc[row, column] = draw.choice(cells)
    for row in draw.integers(0, ROWS, draw.integers(0, 3)):
        frame.loc[row, ["a", "b", "c"]] = ""
    return frame


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in SEEDS)])
def test_all_mistakes_of_all_pieces_are_told_as_of_the_whole(written, seed):
    path = written(as_csv(mistaken(seed)))
    found = checked(pieces_of(path, "ward", READING), CFG)
    whole = checked([read_cells(path, "ward", READING)], CFG)
    assert whole.faults
    assert found.told("ward") == whole.told("ward")
    assert len(found.faults) == len(whole.faults)


def test_only_a_record_without_any_cell_at_fault_is_said_to_be_empty(written):
    path = written(as_csv(cohort().assign(a="", b="", c="")))
    said = checked(pieces_of(path, "ward", READING), CFG).told("ward")
    assert said.startswith("ward: line 2, 3, 4, 5, 6: no measurement")
    assert f"({ROWS} in all)" in said
    assert "\n" not in said


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*PLAIN, "parquet"])
def test_the_same_records_of_the_same_people(written, tmp_path, monkeypatch, kind):
    path = written(as_parquet(tmp_path / "p") if kind == "parquet" else PLAIN[kind])
    cut, report = read_records(CFG, path.parent)
    monkeypatch.setattr(pieces, "PIECE", 2**22)
    whole, wanted = read_records(CFG, path.parent)
    assert report == wanted
    assert same_bits(cut.x, whole.x)
    assert cut.schema == whole.schema
    assert cut.origins.keys() == whole.origins.keys() == {"patient", "together", "site", "time"}
    for name, one in whole.origins.items():
        assert same_bits(cut.origins[name], one), name
