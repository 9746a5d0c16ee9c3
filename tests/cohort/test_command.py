"""From a file to a proposal that reads it; nothing overwritten, no record on paper."""

import csv
import gzip
import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

import tiny
from cohort.redcap import export
from pipeline.cohort.command import check, init, schema_of
from pipeline.data.raw import read_raw
from pipeline.data.signing import unsigned
from pipeline.files import BadInput
from workbook import workbook

DRAWN = np.random.default_rng(11)
COUNT = 90
PIMA = pd.read_csv(tiny.ROOT / "data" / "pima.csv")


def base():
    """90 records of every kind, as texts."""
    ill = DRAWN.random(COUNT) < 0.4
    sick = np.where(ill, 1, 0)
    return pd.DataFrame(
        {
            "age": DRAWN.integers(20, 90, COUNT).astype(str),
            "bmi": [f"{value:.1f}" for value in DRAWN.normal(28 + 2 * sick, 4)],
            "crp": [f"{value:.2f}" for value in DRAWN.gamma(2, 2, COUNT)],
            "sex": DRAWN.choice(["m", "f"], COUNT),
            "ward": DRAWN.choice(["red", "green", "blue"], COUNT),
            "stage": DRAWN.choice(["mild", "moderate", "severe"], COUNT),
            "ill": np.where(ill, "yes", "no"),
        }
    )


def text(frame, **how):
    return frame.to_csv(index=False, **how).encode()


def comma(frame):
    return frame.map(lambda cell: cell.replace(".", ","))


def with_cells(frame, column, *cells):
    changed = frame.copy()
    for row, cell in enumerate(cells):
        changed.loc[row, column] = cell
    return changed


TABLE = base()
NOTES = [f"text {row}" for row in range(COUNT)]
ODD = {
    "age": "Packs (per year)",
    "bmi": "chol/hdl: [%]",
    "crp": "${oc.env:HOME}",
    "sex": "yes",
    "ward": 'a "b"',
    "stage": "#1 'x'",
}
MESSY = {
    "plain": ("a.csv", text(TABLE)),
    "european spreadsheet": ("a.csv", text(comma(TABLE), sep=";", encoding="utf-8-sig")),
    "tab, CR": ("a.tsv", text(TABLE, sep="\t").replace(b"\n", b"\r")),
    "latin-1, umlauts": (
        "a.csv",
        TABLE.rename(columns={"age": "Größe (cm)"}).to_csv(index=False).encode("latin-1"),
    ),
    "utf-16": ("a.csv", TABLE.to_csv(index=False).encode("utf-16")),
    "gzip": ("a.csv.gz", gzip.compress(text(TABLE), mtime=0)),
    "missing codes": (
        "a.csv",
        text(with_cells(with_cells(TABLE, "age", "999", "?", "-9"), "sex", "?", "NA")),
    ),
    "limits of an assay": ("a.csv", text(with_cells(TABLE, "crp", "<0.1", ">300", "n/a"))),
    "pandas index, empty columns": (
        "a.csv",
        TABLE.assign(**{"Unnamed": ""}).to_csv().replace("Unnamed", "").encode(),
    ),
    "quoted, blank lines, a note over two lines": (
        "a.csv",
        TABLE.assign(note=np.where(np.arange(COUNT) % 9, "", "seen\ntwice, so"))
        .to_csv(index=False, quoting=csv.QUOTE_ALL)
        .replace("\n", "\r\n")
        .encode()
        + b"\r\n\r\n",
    ),
    "ids, dates, free text": (
        "a.csv",
        text(TABLE.assign(mrn=range(COUNT), seen="2024-01-05", note=NOTES)),
    ),
    "odd names": (
        "a.csv",
        text(TABLE.rename(columns=ODD)),
    ),
    "odd levels": (
        "a.csv",
        text(TABLE.assign(ward=DRAWN.choice(["no", "null", "1e3", "${x}", "a: b", "# c"], COUNT))),
    ),
    "codes as numbers": (
        "a.csv",
        text(TABLE.assign(thal=DRAWN.choice(["3", "6", "7"], COUNT), zip_="0" + TABLE["age"])),
    ),
    "constant, scarce": (
        "a.csv",
        text(TABLE.assign(one="1", few=["5", "6", "7", *[""] * (COUNT - 3)])),
    ),
    "outcome in front": ("a.csv", text(TABLE[["ill", *TABLE.columns[:-1]]])),
    "spreadsheet": ("a.xlsx", workbook(("ward", [tuple(TABLE), *TABLE.itertuples(index=False)]))),
}  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder to work in, outside of any repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


@pytest.fixture
def proposed(project, capsys):
    """Proposes a schema for the bytes of a file, and reads them with it."""

    def propose(name, content, target="ill", **options):
        (project / name).write_bytes(content)
        assert init(name, target, name="ward", folder=project, **options) == 0
        schema = schema_of("ward", project)
        said = capsys.readouterr().out
        dataset, report = read_raw(schema, project)
        return schema, dataset, report, said

    return propose


@pytest.mark.parametrize("kind", MESSY)
def test_the_proposal_reads_its_own_file(proposed, project, capsys, kind):
    schema, dataset, report, said = proposed(*MESSY[kind])
    assert len(dataset.y) == COUNT
    assert int(dataset.y.sum()) == int((TABLE["ill"] == "yes").sum())
    assert schema.classes == ["no ill", "ill"]
    assert set(report["off_grid"].values()) <= {0}
    assert "mended" not in said
    assert check(MESSY[kind][0], data="ward", folder=project) == 0
    assert len(schema.features) >= 6
    assert len(unsigned(schema)) == len(schema.features) + 1


def test_what_was_seen_is_said(proposed):
    schema, _, _, said = proposed(*MESSY["ids, dates, free text"])
    assert schema.ignore == ["mrn", "seen", "note"]
    assert "90 records, 10 columns" in said
    assert "features: 6 (1 integer, 2 real, 1 binary, 1 categorical, 1 ordinal)" in said
    assert "left out: mrn (its name says" in said
    assert "6 of 6 lines wait for your signature" in said
    assert "medsecure run data=ward" in said


def test_a_file_without_header(proposed, project):
    content = text(TABLE, header=False)
    schema, dataset, _, said = proposed("a.csv", content, target="column 7")
    assert "no header" in said
    assert schema.reading.names == [f"column {number}" for number in range(1, 8)]
    assert len(dataset.y) == COUNT


def test_redcap_in_both_spellings_gives_one_proposal(project, monkeypatch):
    files = export(PIMA, patients=150)
    (project / "export.csv").write_bytes(files.records)
    texts = []
    for name, book in (("pages", files.dictionary), ("api", files.dictionary_of_api)):
        (project / "book.csv").write_bytes(book)
        given = {"site": "site", "time": "visit_date", "dictionary": "book.csv"}
        assert init("export.csv", "diabetes", name=name, folder=project, **given) == 0
        schema = schema_of(name, project)
        dataset, report = read_raw(schema, project)
        texts.append((project / f"conf/data/{name}.yaml").read_text().replace(name, "x"))
    assert texts[0] == texts[1].replace("Api", "Pages")
    assert dataset.patient.tolist() == files.patient.tolist()
    assert report["patients"] == 150
    assert (schema.group, schema.site, schema.time) == ("record_id", "site", "visit_date")
    assert schema.classes == ["no diabetes", "diabetes"]
    assert {"surname", "redcap_event_name", "comment", "visit_complete"} <= set(schema.ignore)
    assert schema.features["age_group"].kind == "categorical"
    assert schema.features["glucose"].proposed == {"mutable": "guess", "scale": "data"}
    questions = (project / "docs/data/api-questions.md").read_text()
    assert "round(\\[weight\\]/(\\[height\\]/100)^2,1)" in questions
    assert "Person0" not in questions


def test_scikit_learns_cohort_as_a_european_spreadsheet(proposed):
    frame = load_breast_cancer(as_frame=True).frame
    frame["diagnosis"] = np.where(frame.pop("target") == 0, "malignant", "benign")
    content = text(frame, sep=";", decimal=",")
    schema, dataset, report, said = proposed("cancer.csv", content, target="diagnosis")
    assert "separator a semicolon; decimal comma" in said
    assert schema.classes == ["benign", "malignant"]
    assert schema.reading.decimal == ","
    assert int(dataset.y.sum()) == 212
    values, known = dataset.x.numpy(), frame.drop(columns="diagnosis").to_numpy()
    assert np.allclose(values, np.where(np.isnan(values), np.nan, known), equal_nan=True)
    # Its zeros are values; those of one column lie so far off the others that they are asked about.
    assert {name for name, count in report["missing"].items() if count} <= {"concave points error"}
    assert {feature.kind for feature in schema.features.values()} == {"real"}
    assert set(report["off_grid"].values()) == {0}


def test_pima_itself(proposed, project):
    content = (tiny.ROOT / "data" / "pima.csv").read_bytes()
    schema, dataset, _, _ = proposed("pima.csv", content, target="outcome")
    known = read_raw(schema_of("pima", tiny.ROOT), tiny.ROOT)[0]
    # Zeros for missing are found where its card knows them, and nowhere else.
    assert np.array_equal(dataset.x.numpy(), known.x.numpy(), equal_nan=True)
    assert [name for name, one in schema.features.items() if one.missing] == [
        "glucose", "blood_pressure", "skin_thickness", "insulin", "bmi",
    ]  # fmt: skip


# --- what only a person can know


def test_a_leak_and_what_is_known_afterwards_are_asked(proposed, project):
    leak = np.where(TABLE["ill"] == "yes", 10, 0) + DRAWN.integers(0, 9, COUNT)
    frame = TABLE.assign(drain=leak.astype(str), time=DRAWN.integers(1, 99, COUNT).astype(str))
    schema, _, _, said = proposed("a.csv", text(frame))
    assert "suspected leak: drain (AUROC 1.000 all by itself)" in said
    assert "suspected leak: time (by its name)" in said
    assert {"drain", "time"} <= set(schema.features)  # named and asked, not taken out
    assert all(schema.features[name].proposed for name in ("drain", "time"))  # the audit stops
    written = (project / "conf/data/ward.yaml").read_text()
    assert written.count("# SUSPECTED LEAK: ") == 2


def test_visits_without_a_group_are_asked(proposed):
    visits = pd.concat([TABLE, TABLE.assign(crp=TABLE["crp"] + "1")])
    _, _, _, said = proposed("a.csv", text(visits))
    assert "several records a patient? 180 records differ from another one in a single" in said


def test_people_who_are_no_visits_are_not_asked(proposed):
    assert "several records" not in proposed("a.csv", text(TABLE))[3]


def test_a_number_that_repeats_is_asked_as_group_and_taken_as_one(proposed, project):
    visits = TABLE.assign(patient_id=[str(row // 3) for row in range(COUNT)])
    schema, dataset, _, said = proposed("a.csv", text(visits))
    assert "patient_id" in schema.ignore
    assert "try --group patient_id" in said
    for made in (project / "conf/data/ward.yaml", *(project / "docs/data").glob("*")):
        made.unlink()
    schema, dataset, _, said = proposed("a.csv", text(visits), group="patient_id", site="ward")
    assert (schema.group, schema.site) == ("patient_id", "ward")
    assert len(dataset.patient.unique()) == COUNT // 3
    assert "several records" not in said
    assert "ward" not in schema.features


def test_several_cells_mean_ill(proposed):
    frame = TABLE.assign(ill=DRAWN.choice(["a", "b", "c"], COUNT))
    schema, dataset, _, _ = proposed("a.csv", text(frame), positive=["b", "c"])
    assert schema.outcomes == {"a": "a", "b": "ill", "c": "ill"}
    assert int(dataset.y.sum()) == int((frame["ill"] != "a").sum())


def test_no_record_lands_on_paper(proposed, project):
    """Cells that fewer than ten records have are in the schema alone, which has to name them."""
    frame = with_cells(TABLE, "ward", "oncology7", "oncology7")
    frame = with_cells(frame, "crp", "<0.123", "haemolytic7")
    frame = frame.assign(surname=[f"Miller{i}" for i in range(COUNT)])
    schema, _, _, said = proposed("a.csv", text(frame))
    assert "oncology7" in [str(cell) for cell in schema.features["ward"].levels]
    assert {"<0.123", "haemolytic7"} <= set(schema.features["crp"].missing)
    pages = [page.read_text() for page in (project / "docs/data").glob("*.md")]
    assert len(pages) == 2
    for page in (*pages, said):
        for secret in ("oncology7", "<0.123", "\\<0.123", "haemolytic7", "Miller"):
            assert secret not in page
    assert "fewer than 10" in "".join(pages)


def test_nothing_is_overwritten_and_nothing_is_left_half_done(proposed, project):
    proposed("a.csv", text(TABLE))
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match=r"conf/data/ward.yaml: exists; take another --name"):
        init("a.csv", "ill", name="ward", folder=project)
    (project / "docs/data/other.md").write_text("mine")
    for options in ({"name": "other"}, {"name": "third", "positive": ["maybe"]}):
        with pytest.raises(BadInput):
            init("a.csv", "ill", folder=project, **options)
    (project / "docs/data/other.md").unlink()
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "il"}, "a.csv: --target: 'il' is no column of it; did you mean 'ill'?"),
        ({"group": "mrn"}, "a.csv: --group: 'mrn' is no column of it"),
        ({"site": "ill"}, "--site: 'ill' is the target already; give it one part"),
        ({"name": "a b"}, "--name: 'a b': must be letters"),
        ({"dictionary": "none.csv"}, "none.csv: not found"),
        ({"file": "none.csv"}, "none.csv: not found"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(project, options, said):
    (project / "a.csv").write_bytes(text(TABLE))
    given = {"file": "a.csv", "target": "ill", "name": "ward", "folder": project} | options
    with pytest.raises(BadInput) as caught:
        init(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (project / "conf").exists()


def test_records_that_git_may_take_are_named(project, capsys):
    subprocess.run(["git", "init", "-q"], check=True)
    (project / ".gitignore").write_text("local/\n")
    (project / "local").mkdir()
    for name in ("a.csv", "local/b.csv"):
        (project / name).write_bytes(text(TABLE))
        init(name, "ill", folder=project)
        assert ("git may take it" in capsys.readouterr().out) == (name == "a.csv")
    assert schema_of("b", project).file == "local/b.csv"


def test_faults_of_the_file_itself_are_told(project, capsys):
    frame = with_cells(TABLE, "ill", "", "")
    (project / "a.csv").write_bytes(text(frame))
    assert init("a.csv", "ill", folder=project) == 0
    said = capsys.readouterr().out
    assert "the file itself is to be mended" in said
    assert "a.csv: line 2, 3, column 'ill': ''" in said


# --- check


def test_check_names_every_fault_of_a_later_file(proposed, project, capsys):
    proposed("a.csv", text(TABLE))
    later = with_cells(TABLE, "age", "old", "300")
    later = with_cells(later, "ward", "", "violet").drop(columns="crp").assign(extra="1")
    (project / "later.csv").write_bytes(text(later))
    assert check("later.csv", data="ward", folder=project) == 2
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5
    for expected in (
        "later.csv: column 'extra' is not in the schema",
        "later.csv: column 'crp' is missing",
        "later.csv: line 2, column 'age': 'old' is not a number",
        "later.csv: line 3, column 'age': 300 is outside the plausible range",
        "later.csv: line 3, column 'ward': 'violet' is no level",
    ):
        assert any(line.startswith(expected) for line in said), expected


def test_check_without_a_schema_of_that_name(project):
    with pytest.raises(BadInput, match=r"data=pimo: no such schema .* did you mean 'pima'\?"):
        check("later.csv", data="pimo", folder=project)
    broken = project / "conf" / "data" / "broken.yaml"
    broken.parent.mkdir(parents=True)
    broken.write_text("name: [\n")
    with pytest.raises(BadInput, match=r"broken.yaml: not valid YAML"):
        check("later.csv", data="broken", folder=project)


def test_the_schema_is_read_alike_by_every_reader(proposed, project):
    """Hydra resolves what PyYAML takes as it stands: neither may see another value."""
    schema, _, _, _ = proposed(*MESSY["odd names"])
    plain = yaml.safe_load((project / "conf/data/ward.yaml").read_text())
    assert list(plain["features"]) == list(schema.features) == list(ODD.values())


# --- any table


SIGNS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"])
NAMES = st.text(SIGNS, min_size=1, max_size=8).map(lambda name: f"x{name}".strip())
KINDS = {
    "integer": lambda drawn, n: drawn.integers(-50, 50, n).astype(str),
    "real": lambda drawn, n: [f"{value:.2f}" for value in drawn.normal(0, 30, n)],
    "fine": lambda drawn, n: [repr(float(value)) for value in drawn.normal(0, 1e-3, n)],
    "large": lambda drawn, n: (10.0 ** drawn.uniform(0, 9, n)).round().astype(int).astype(str),
    "binary": lambda drawn, n: drawn.choice(["yes", "no"], n),
    "codes": lambda drawn, n: drawn.choice(["3", "6", "7"], n),
    "levels": lambda drawn, n: drawn.choice(["a", "B", "c d", "é", "${x}", "none", "-"], n),
    "dates": lambda drawn, n: drawn.choice(["2024-01-05", "2023-11-30"], n),
    "constant": lambda drawn, n: ["7"] * n,
}
HOLES = ["", "?", "NA", "999", "<0.2", "unknown", "n/a"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6),
    names=st.lists(NAMES, min_size=7, max_size=7, unique_by=str.lower),
    seed=st.integers(0, 2**16),
    count=st.integers(20, 60),
    holes=st.floats(0, 0.3),
    separator=st.sampled_from(",;\t|"),
)
def test_any_table_is_read_by_its_own_proposal(
    project, kinds, names, seed, count, holes, separator
):
    drawn = np.random.default_rng(seed)
    columns = {"anchor 1": drawn.integers(20, 60, count).astype(str)}  # no code for what is missing
    for name, kind in zip(names, kinds, strict=False):
        cells = np.array(KINDS[kind](drawn, count), dtype=object)
        empty = drawn.random(count) < holes
        cells[empty] = drawn.choice(HOLES, int(empty.sum()))
        columns[name] = cells
    columns["ill or not"] = np.r_[["yes", "no"], drawn.choice(["yes", "no"], count - 2)]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator)
    writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
    for made in project.rglob("*.*"):
        if made.is_file():
            made.unlink()
    (project / "any.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    assert init("any.csv", "ill or not", name="any", folder=project) == 0
    dataset, report = read_raw(schema_of("any", project), project)
    assert len(dataset.y) == count
    assert set(report["off_grid"].values()) <= {0}


# --- from the file to the page


FEW = ("threads=1", "train.epochs=10", "threat=clinical", "threat.clinical.boxes=50")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["redcap", "cancer"])
def test_a_strangers_file_is_audited_from_init_to_the_page(name, project):
    """A REDCap export with several visits a woman; thirty measurements with decimal commas."""
    if name == "redcap":
        files = export(PIMA, patients=150)
        (project / "redcap.csv").write_bytes(files.records)
        (project / "book.csv").write_bytes(files.dictionary)
        given = {"site": "site", "time": "visit_date", "dictionary": "book.csv"}
        assert init("redcap.csv", "diabetes", name=name, folder=project, **given) == 0
    else:
        frame = load_breast_cancer(as_frame=True).frame
        frame["diagnosis"] = np.where(frame.pop("target") == 0, "malignant", "benign")
        (project / "cancer.csv").write_bytes(text(frame, sep=";", decimal=","))
        assert init("cancer.csv", "diagnosis", name=name, folder=project) == 0
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment |= {"DVC_ROOT": str(project), "PYTHONPATH": str(tiny.ROOT), "OMP_NUM_THREADS": "1"}

    def run(*overrides):
        command = [sys.executable, "-m", "pipeline", "defense=baseline", f"data={name}"]
        return subprocess.run(
            [*command, "experiment=smoke", *FEW, *overrides],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    unsigned_ = run()
    assert unsigned_.returncode == 2
    assert "proposed, not reviewed" in unsigned_.stderr
    done = run("data.accept_guesses=true")
    assert done.returncode == 0, done.stderr
    (page,) = project.glob("sweeps/*/evaluation/report.html")
    said = page.read_text()
    assert "Threat model proposed by the program, not reviewed" in said
    assert "Which patients, and what it takes" in said
    assert "The most fragile diagnoses" not in said  # these are single patients
    sent = list(project.glob("mlartifacts/**/*"))
    assert sent
    assert not [path for path in sent if path.suffix == ".parquet"]
    if name == "redcap":
        assert "of 150 patients" in said
        assert not [path for path in sent if path.is_file() and b"Person0" in path.read_bytes()]
        assert b"Person0" not in (project / "mlflow.db").read_bytes()
