"""The guides of CONTRIBUTING.md, done: what they say is complete, and works as it stands."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import yaml

import tiny
from guides import Edit, NewFile, added, guide

TEXT = (tiny.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ATTACK, DEFENSE, OWN_STAGE = "## Add an attack", "## Add a defense", "### A stage of its own"
RISK, DATA = "## Add a risk", "## Add a data set"


def name_of(title):
    """What a guide adds: it is named as its file in `conf/`."""
    (file,) = {
        Path(step.path).stem
        for step in guide(TEXT, title)
        if isinstance(step, NewFile) and step.path.startswith("conf/")
    }
    return file


def small():
    """Settings with which the stages concerned take seconds."""
    defense, risk = name_of(DEFENSE), name_of(RISK)
    return [
        "experiment=smoke",
        "threads=1",
        "threat=clinical",
        "train.epochs=4",
        "plan.seeds=1",
        "model.hidden=[16]",
        "audit.resamples=100",
        f"examine=[{defense}]",
        f"{risk}.recipes=[baseline]",
    ]


class House:
    """A copy of the files that git tracks, with commands that run inside it."""

    def __init__(self, root):
        self.root = root
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=tiny.ROOT, capture_output=True, text=True, check=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tiny.ROOT / name, root / name)
        if (tiny.ROOT / ".mypy_cache").exists():  # what `make lint` left spares a minute
            shutil.copytree(tiny.ROOT / ".mypy_cache", root / ".mypy_cache")
        self.environment = os.environ | {
            "PYTHONPATH": str(root),
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(root / ".dvc" / "tmp" / "site"),
        }
        for name in ("DVC_ROOT", "DVC_STAGE", "MLFLOW_TRACKING_URI"):
            self.environment.pop(name, None)

    def well(self, *command):
        """What a command says that must end well."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, *arguments):
        return self.well(sys.executable, *arguments)

    def follow(self, *titles, but=()):
        """Does what guides say, and what an editor does on saving; returns the new modules."""
        steps = [step for title in titles for step in guide(TEXT, title) if step not in but]
        for step in steps:
            step.carry_out(self.root)
        edited = {s.path for s in steps if isinstance(s, Edit) and s.path.endswith(".py")}
        if edited:
            self.well("ruff", "check", "-q", "--select", "I", "--fix", *edited)
            self.well("ruff", "format", "-q", *edited)
        self.python("-m", "pipeline.params")
        return [s.path for s in steps if isinstance(s, NewFile) and s.path.endswith(".py")]


# ---- how the guides are read ----


@pytest.mark.parametrize(
    ("text", "place", "wanted"),
    [
        (
            "A: dict[int, int] = {\n    1: 1,\n}\n",
            "A",
            "A: dict[int, int] = {\n    1: 1,\n    x,\n}\n",
        ),
        ("A: tuple[int, ...] = (B, C)\n", "A", "A: tuple[int, ...] = (B, C, x)\n"),
        ("  - a: [b]  # c\n", "a", "  - a: [b, x]  # c\n"),
        ("a: []\n", "a", "a: [x]\n"),
        (
            "a: [1]\ns:\n  t:\n    a: [b,\n      c]\n",
            "s > t > a",
            "a: [1]\ns:\n  t:\n    a: [b,\n      c, x]\n",
        ),
        ("s:\n  t: 1\n", "s", "s:\n  x\n  t: 1\n"),
    ],
)
def test_lines_are_added_where_a_guide_says(text, place, wanted):
    assert added(text, place, "x") == wanted


def test_every_guide_makes_files_and_edits_registries():
    for title in (ATTACK, DEFENSE, RISK):
        steps = guide(TEXT, title)
        assert {type(step) for step in steps} == {NewFile, Edit}, title
        assert any(step.path.startswith("conf/") for step in steps)
        assert any(step.path.startswith("tests/") for step in steps)


# ---- all of them done, one after another ----


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("house"))
    house.made = house.follow(ATTACK, DEFENSE, RISK)
    return house


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_new_code_passes_the_checks_of_style_types_and_floors(house):
    house.well("ruff", "check", *house.made)
    house.well("ruff", "format", "--check", *house.made)
    house.well("mypy", *(file for file in house.made if file.startswith("pipeline/")))
    house.well("lint-imports")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_contract_and_the_new_tests_pass(house):
    tests = [file for file in house.made if file.startswith("tests/")]
    house.python("-m", "pytest", "-q", "-p", "no:xdist", "tests/test_contract.py", *tests)


@pytest.fixture(scope="module")
def evaluated(house):
    """The folder of results, after the stages that the guides concern have run."""
    house.well("git", "init", "-q")
    house.well("dvc", "pull", "-q", "--remote", "repository", "data.dvc")
    house.python("-m", "pipeline.params", *small())
    house.well("dvc", "repro", "-q", name_of(RISK), f"examine@{name_of(DEFENSE)}")
    house.python("-m", "pipeline.stages.evaluate")
    return house.root / "artifacts/evaluate"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_new_names_are_in_the_configuration_the_tables_the_page_and_mlflow(house, evaluated):
    attack, defense, risk = map(name_of, (ATTACK, DEFENSE, RISK))
    composed = yaml.safe_load((house.root / "params.yaml").read_text(encoding="utf-8"))
    assert {defense, risk} <= set(composed)
    assert attack in composed["attack"]
    comparison = pd.read_csv(evaluated / "comparison.csv")
    assert set(comparison["defense"]) == {"baseline", defense}
    assert comparison[f"accuracy_{attack}"].notna().all()
    assert attack in set(pd.read_csv(evaluated / "attacks.csv")["attack"])
    assert len(pd.read_csv(evaluated / f"{risk}.csv"))
    assert risk in set(pd.read_csv(evaluated / "overview.csv")["risk"])
    page = (evaluated / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in (attack, defense, risk))
    with closing(sqlite3.connect(house.root / "mlflow.db")) as store:
        keys = {key for (key,) in store.execute("select distinct key from metrics")}
        runs = {name.split(" ")[0] for (name,) in store.execute("select name from runs")}
    assert "accuracy_one_missing" in keys  # as the guide calls it
    assert defense in {name.strip(",") for name in runs}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_data_set_of_ones_own_is_prepared(house, evaluated):
    house.follow(DATA)
    house.python("-m", "pipeline.params", f"data={name_of(DATA)}", "plan.folds=2")
    said = house.python("-m", "pipeline.stages.prepare")
    records = pd.read_parquet(house.root / "artifacts/prepare/records.parquet")
    file = next(step for step in guide(TEXT, DATA) if step.path.endswith(".csv"))
    assert f"{len(records)} records" in said
    assert len(records) == len(file.text.splitlines()) - 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_defense_can_have_a_stage_of_its_own(tmp_path):
    house = House(tmp_path)
    extra = [step for step in guide(TEXT, DEFENSE) if isinstance(step, Edit)]
    house.follow(DEFENSE, OWN_STAGE, but=[step for step in extra if step.place == "extra"])
    house.python("-m", "pytest", "-q", "-p", "no:xdist", "tests/test_contract.py")
    house.well("git", "init", "-q")
    assert name_of(DEFENSE) in house.well("dvc", "stage", "list", "--name-only").split()
