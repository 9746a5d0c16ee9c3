"""The command as people meet it: from a wheel, in an empty environment and an empty folder."""

import sys
import zipfile
from importlib.machinery import ModuleSpec

import pandas as pd
import pytest
import yaml

import tiny
from api.installed import build_wheel, install, sources
from pipeline.api import command
from pipeline.project.founding import dag

# Every stage in seconds, most of them for starting.
SMALL = [
    "experiment=smoke",
    "threads=1",
    "data.accept_guesses=true",
    "threat=[clinical]",
    "threat.clinical.boxes=20",
    "audit.eps=[0.0,0.1]",
    "audit.headline_eps=0.1",
    "audit.resamples=100",
    "train.epochs=2",
    "plan={folds:2,seeds:1}",
    "model=linear",
    "dp_train.steps=5",
    "distill.epochs=2",
    "partition.parts=5",
    "examine=[logistic]",
    "membership={attacks:[loss],targets:4,canaries:16}",
    "inversion.victims=1",
    "frontier={models:{linear:[]},epsilons:[1.0],boxes:2,targets:4,canaries:16}",
    "poisoning={recipes:[baseline],attacks:[random_flips],doses:[1],filters:[majority]}",
    "theft={recipes:[baseline],budgets:[10],headline_budget:10,steps:2}",
]
ROWS = 230  # of the bundled cohort: enough of either class for every fold


# ---- whose `pipeline` it is ----


def test_this_package_is_taken_for_ours():
    assert command.foreign() == ""
    text = (tiny.ROOT / "pipeline" / "__init__.py").read_bytes()
    assert text.startswith(command.OURS)
    assert len(command.OURS) > 60


@pytest.mark.parametrize("text", ["", "VERSION = 1\n", '"""Pipelines."""\n'])
def test_the_package_of_somebody_else_is_named_in_one_line(monkeypatch, tmp_path, capsys, text):
    other = tmp_path / "pipeline" / "__init__.py"
    other.parent.mkdir()
    other.write_text(text)
    spec = ModuleSpec("pipeline", None, origin=str(other))
    monkeypatch.setattr(command, "find_spec", lambda name: spec)
    monkeypatch.setattr(sys, "argv", ["medsecure", "run"])
    assert command.main() == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(other) in err
    assert "environment of its own" in err


@pytest.mark.parametrize("spec", [None, ModuleSpec("pipeline", None)])
def test_no_package_at_all_is_said_too(monkeypatch, spec):
    monkeypatch.setattr(command, "find_spec", lambda name: spec)
    assert "missing" in command.foreign()


# ---- installed ----


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return sources(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    return install(tmp_path_factory.mktemp("environment") / "env", wheel)


@pytest.mark.slow
def test_the_wheel_holds_all_code_the_configuration_and_the_stages(source, wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    code = {
        path.relative_to(source).as_posix()
        for kind in ("*.py", "*.jinja", "*.json", "*.typ", "*.html")
        for path in (source / "pipeline").rglob(kind)
    }
    conf = {
        f"pipeline/{path.relative_to(source).as_posix()}"
        for path in [
            source / "dvc.yaml",
            *(source / "conf").rglob("*.yaml"),
            *(source / ".dvc" / "plots").iterdir(),
        ]
    }
    assert len(conf) > 30
    names = {f"medsecure/{path.name}" for path in (source / "pipeline" / "api").glob("*.py")}
    ours = {name for name in held if ".dist-info/" not in name}
    assert ours == code | conf | names | {"pipeline/conf/__init__.py"}


@pytest.mark.slow
def test_installed_and_editable_are_one_package(source, wheel, installed, tmp_path):
    ask = (
        "import medsecure; from pipeline.project.package import package_digest, shipped;"
        "print(package_digest(), medsecure.__version__, medsecure.Threat.__module__,"
        " len(list(shipped('conf').rglob('*.yaml'))), shipped('dvc.yaml').is_file())"
    )
    editable = install(tmp_path / "editable", "--editable", source)
    said = {one.well(tmp_path, "python", "-c", ask) for one in (installed, editable)}
    assert len(said) == 1, said
    assert "unknown" not in said.pop()
    assert editable.well(tmp_path, "medsecure", "-h") == installed.well(tmp_path, "medsecure", "-h")
    where = "import pipeline; print(pipeline.__file__)"
    assert str(source) in editable.well(tmp_path, "python", "-c", where)
    assert str(installed.place) in installed.well(tmp_path, "python", "-c", where)


@pytest.mark.slow
def test_a_package_of_that_name_installed_over_ours_is_named_in_one_line(wheel, tmp_path):
    installed = install(tmp_path / "env", wheel)
    (installed.packages / "pipeline" / "__init__.py").write_text("VERSION = '2020'\n")
    for arguments in ([], ["-h"], ["run"]):
        done = installed.run(tmp_path, "medsecure", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "is not medsecure's" in done.stderr


@pytest.fixture(scope="module")
def project(installed, tmp_path_factory):
    """A folder with a blank in its path, a cohort in it, made a project and run once."""
    folder = tmp_path_factory.mktemp("a ward")
    lines = (tiny.ROOT / "data" / "pima.csv").read_text().splitlines(keepends=True)
    (folder / "cohort.csv").write_text("".join(lines[: ROWS + 1]))
    (folder / "pipeline").mkdir()  # a folder of the user's, of which no code is run
    (folder / "pipeline" / "__init__.py").write_text("raise SystemExit(9)\n")
    installed.well(folder, "medsecure", "init", "cohort.csv", "--target", "outcome")
    (folder / "said.txt").write_text(installed.well(folder, "medsecure", "run", *SMALL))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_an_empty_folder_to_the_page(installed, project):
    said = (project / "said.txt").read_text()
    stages = yaml.safe_load(dag(cached=True))["stages"]
    assert all(f"Running stage '{name}" in said for name in set(stages) - {"extra"})
    assert "medsecure ui" in said
    assert (project / "artifacts/evaluate/report.html").is_file()
    comparison = pd.read_csv(project / "artifacts/evaluate/comparison.csv")
    assert set(comparison["defense"]) == {"baseline", "logistic"}
    patients = pd.read_parquet(project / "artifacts/prepare/records.parquet")
    assert len(patients) == ROWS
    assert installed.well(project, "medsecure", "report") in f"{said}\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_done_is_not_done_again_until_the_package_changes(installed, project):
    status = ("python", "-P", "-m", "dvc", "status")
    assert "up to date" in installed.well(project, *status)
    mark = project / ".medsecure"
    text = mark.read_text()
    digest = yaml.safe_load(text)["digest"]
    mark.write_text(text.replace(digest, "0" * 64))
    assert ".medsecure" in installed.well(project, *status)
    mark.write_text(text)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_dvc_composes_in_a_project_what_the_command_composes(installed, project):
    code = (
        "from pathlib import Path; from dvc.utils.hydra import compose_and_dump;"
        "from pipeline.project.composition import compose;"
        "here = Path.cwd(); out = here / 'artifacts' / 'composed.yaml';"
        "compose_and_dump(str(out), str(here / 'conf'), None, 'config', str(here), ['seed=3']);"
        "assert out.read_text() == compose(['seed=3']); out.unlink()"
    )
    installed.well(project, "python", "-P", "-c", code)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "tran.epochs=3"], "tran.epochs: did you mean 'train.epochs'?"),
        (["run", "defense=adv_trian"], "did you mean 'adv_train'?"),
        (["sweep", "data=cohrot,pima"], "did you mean 'cohort'?"),
    ],
)
def test_an_override_that_names_nothing_is_one_line(installed, project, arguments, said):
    before = (project / "params.yaml").read_bytes()
    done = installed.run(project / "conf", "medsecure", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert (project / "params.yaml").read_bytes() == before
