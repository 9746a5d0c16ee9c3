"""A project is there whole or not at all, and the installed package is its only code."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mistakes import complaint
from pipeline.files import PROJECT, BadInput, repository_root
from pipeline.project import founding
from pipeline.project.composition import compose
from pipeline.project.founding import renew, start
from pipeline.project.place import found, is_project
from pipeline.report.published import keep_out_of_git
from tiny import ROOT

pytestmark = pytest.mark.heavy

PIMA = (ROOT / "conf" / "data" / "pima.yaml").read_text(encoding="utf-8")
OWN_DVC = {".dvc/config", ".dvc/.gitignore", *founding.DRAWING}
FILES = {
    ".dvcignore",
    ".gitignore",
    PROJECT,
    "conf/config.yaml",
    "conf/data/ward.yaml",
    "dvc.yaml",
    "params.yaml",
}


def ward(file="cohort.csv"):
    return PIMA.replace("name: pima", "name: ward").replace("data/pima.csv", file)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git/" not in path.as_posix()
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and this process in it."""
    place = tmp_path / "my ward"
    place.mkdir()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(place)
    return place


def stages(folder):
    entries = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    return {name: entry.get("do", entry) for name, entry in entries.items()}


# ---- from nothing ----


def test_an_empty_folder_becomes_a_project(folder):
    assert set(start(folder, ward(), "ward")) == FILES | OWN_DVC == set(files(folder))
    assert is_project(folder)
    assert found() == repository_root() == folder.resolve()
    assert (folder / "params.yaml").read_text() == compose([])
    assert yaml.safe_load(compose([]))["data"]["name"] == "ward"


def test_its_parameters_are_the_packages_but_for_the_data(folder):
    start(folder, ward(), "ward")
    ours = yaml.safe_load(compose([], ROOT / "conf"))
    assert (
        ours["data"] | {"name": "ward", "file": "cohort.csv"}
        == (yaml.safe_load(compose([]))["data"])
    )
    assert ours | {"data": None} == yaml.safe_load(compose([])) | {"data": None}


def test_dvc_composes_the_same_from_its_config_where_the_package_is_installed(folder):
    """`pkg://pipeline.conf` is found in a wheel; here the search path alone is looked at."""
    start(folder, ward(), "ward")
    config = yaml.safe_load((folder / "conf" / "config.yaml").read_text())
    assert config["hydra"]["searchpath"] == ["pkg://pipeline.conf"]


def test_its_stages_are_those_of_the_repository(folder):
    start(folder, ward(), "ward")
    theirs, ours = stages(folder), stages(ROOT)
    assert set(theirs) == set(ours)
    for name, stage in ours.items():
        own = theirs[name]
        assert own["cmd"] == stage["cmd"].replace("python -m", "python -P -m")
        assert own["deps"] == [PROJECT] + [
            dep for dep in stage["deps"] if not dep.startswith("pipeline/")
        ]
        assert len(own["deps"]) < len(stage["deps"])
        assert (own["params"], own["outs"]) == (stage["params"], stage["outs"])


def test_dvc_reads_it_with_git_and_without(folder):
    dvc = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    (folder / "scm").mkdir()
    subprocess.run(["git", "init", "-q", "scm"], check=True)
    for place in ("plain", "scm/below"):
        start(folder / place, ward(), "ward")
        asked = subprocess.run(dvc, cwd=folder / place, capture_output=True, text=True, check=False)
        assert asked.returncode == 0, asked.stderr
        assert {one.split("@")[0] for one in asked.stdout.split()} >= set(stages(ROOT)) - {"extra"}
    assert "no_scm = true" in (folder / "plain/.dvc/config").read_text()
    assert "no_scm" not in (folder / "scm/below/.dvc/config").read_text()


@pytest.mark.parametrize("file", ["cohort.csv", "a b/ co#hort [1]*.csv", "!odd.csv", "absolute"])
def test_git_never_sees_the_cohort_nor_what_is_made_of_it(folder, file):
    subprocess.run(["git", "init", "-q"], check=True)
    place = folder / file
    place.parent.mkdir(exist_ok=True)
    place.write_text("patients")
    start(folder, ward(f"'{place.resolve() if file == 'absolute' else file}'"), "ward")
    for made in ("artifacts/prepare/x", "sweeps/y", "mlflow.db", "mlartifacts/z", ".dvc/cache/c"):
        (folder / made).parent.mkdir(parents=True, exist_ok=True)
        (folder / made).write_text("patients")
    keep_out_of_git()  # as `evaluate` does before it writes figures
    (folder / "results" / "ward").mkdir()
    (folder / "results" / "ward" / "metrics.json").write_text("patients")
    subprocess.run(["git", "add", "-A"], check=True)
    seen = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    assert set(seen.stdout.split()) == FILES | OWN_DVC


def test_a_cohort_elsewhere_is_no_business_of_this_folders_git():
    assert founding._ignored(ward("../cohort.csv"), Path("here")) == ""
    assert founding._ignored(ward("/elsewhere/cohort.csv"), Path("here")) == ""


def test_within_a_dvc_repository_of_somebody_nothing_enters_its_cache(folder):
    (folder / ".dvc").mkdir()
    assert set(start(folder / "audit", ward(), "ward")) == FILES
    for stage in stages(folder / "audit").values():
        assert all(how["cache"] is False for out in stage["outs"] for how in out.values())
    (folder / "audit" / "dvc.yaml").unlink()
    renew(folder / "audit")
    assert "cache: false" in (folder / "audit" / "dvc.yaml").read_text()


def test_plots_are_drawn_by_what_lies_beside_them_or_not_at_all(folder):
    """Within a DVC repository of somebody the templates would be that one's."""
    (folder / "theirs" / ".dvc").mkdir(parents=True)
    for place, has in (("own", True), ("theirs/audit", False)):
        start(folder / place, ward(), "ward")
        plots = yaml.safe_load((folder / place / "dvc.yaml").read_text()).get("plots", [])
        used = {how["template"] for plot in plots for how in plot.values()}
        there = {path.stem for path in (folder / place / ".dvc/plots").glob("*.json")}
        assert used == there
        assert bool(used) == has


# ---- all or nothing ----


@pytest.mark.parametrize("path", sorted((FILES | OWN_DVC) - {".gitignore", ".dvcignore"}))
def test_nothing_is_overwritten(folder, path):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("mine")
    before = files(folder)
    if path in OWN_DVC:  # somebody's DVC repository
        assert path not in start(folder, ward(), "ward")
        assert (folder / path).read_text() == "mine"
        return
    line = complaint(start, folder, ward(), "ward")
    assert path in line
    assert "nothing is overwritten" in line
    assert files(folder) == before


def test_an_earlier_gitignore_keeps_its_lines(folder):
    (folder / ".gitignore").write_text("/mine\n/artifacts/")
    start(folder, ward(), "ward")
    lines = (folder / ".gitignore").read_text().splitlines()
    assert lines[:3] == ["/mine", "/artifacts/", "/cohort.csv"]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("number", range(len(FILES | OWN_DVC)))
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "x"), KeyboardInterrupt()]
)
def test_a_failure_leaves_the_folder_as_it_was(folder, monkeypatch, number, error):
    (folder / ".gitignore").write_text("/mine\n")
    before, count = files(folder), iter(range(100))
    writing, opening = founding.write_text, Path.open

    def fail_once(write):
        def attempt(*arguments, **keywords):
            if next(count) == number:
                raise error
            return write(*arguments, **keywords)

        return attempt

    monkeypatch.setattr(founding, "_composed", lambda texts: "")
    with monkeypatch.context() as patch:
        patch.setattr(founding, "write_text", fail_once(writing))
        patch.setattr(
            Path,
            "open",
            lambda path, mode="r", **how: (
                fail_once(opening)(path, mode, **how) if mode == "x" else opening(path, mode, **how)
            ),
        )
        with pytest.raises((BadInput, KeyboardInterrupt)):
            start(folder, ward(), "ward")
    assert files(folder) == before
    assert [path.name for path in folder.iterdir()] == [".gitignore"]


@pytest.mark.parametrize("name", ["", "a b", "../x", "null", "on", "1", "1.5", "-x", "ä"])
def test_a_name_that_hydra_would_misread_is_refused(folder, name):
    assert complaint(start, folder, ward(), name).startswith("--name: ")
    assert files(folder) == {}


@pytest.mark.parametrize("name", ["ward-3.b", "3rd_floor"])
def test_a_name_is_what_the_configuration_chooses(folder, name):
    start(folder, ward().replace("name: ward", f"name: {name}"), name)
    assert yaml.safe_load(compose([]))["data"]["name"] == name
    assert yaml.safe_load(compose([f"data={name}"])) == yaml.safe_load(compose([]))
    (folder / "dvc.yaml").unlink()
    assert len(renew(folder)) == 1


def test_a_schema_that_cannot_be_read_makes_no_project(folder):
    assert complaint(start, folder, ward() + "\n  :bad [", "ward").startswith("conf: ")
    assert files(folder) == {}


# ---- another package ----


@pytest.fixture
def project(folder, monkeypatch):
    """A project that an older package started."""
    with monkeypatch.context() as older:
        older.setattr(founding, "package_digest", lambda: "older")
        older.setattr(founding, "DAG_COMMENT", "# older\n")
        start(folder, ward(), "ward")
    return folder


def test_the_same_package_changes_nothing(folder):
    start(folder, ward(), "ward")
    before = files(folder)
    assert renew(folder) == []
    assert files(folder) == before


def test_a_newer_package_is_noted_and_its_stages_written_anew(project):
    before = files(project)
    said = renew(project)
    after = files(project)
    assert "every stage runs again" in said[0]
    assert said[1:] == ["dvc.yaml: written anew"]
    assert {path for path in after if after[path] != before[path]} == {PROJECT, "dvc.yaml"}
    assert after["dvc.yaml"].decode() == founding.dag(cached=True)
    assert renew(project) == []


def test_what_somebody_edited_stays_and_is_named_once(project):
    text = (project / "dvc.yaml").read_text() + "# mine\n"
    (project / "dvc.yaml").write_text(text)
    said = renew(project)
    assert said[1].startswith("dvc.yaml: was edited here, so it stays")
    assert (project / "dvc.yaml").read_text() == text
    assert renew(project) == []
    (project / "dvc.yaml").unlink()
    assert renew(project) == ["dvc.yaml: was not there; it is the package's now"]
    assert (project / "dvc.yaml").read_text() == founding.dag(cached=True)


def test_an_edited_configuration_stays_without_a_word_while_the_packages_is_the_same(project):
    text = (project / "conf/config.yaml").read_text().replace("seed: 0", "seed: 1")
    (project / "conf/config.yaml").write_text(text)
    assert not any("config.yaml" in line for line in renew(project))
    assert (project / "conf/config.yaml").read_text() == text


@pytest.mark.parametrize("text", ["", "[1", "wrote: 3", "- a"])
def test_a_damaged_mark_is_written_anew_and_overwrites_nothing_else(project, text):
    dag = (project / "dvc.yaml").read_text()
    (project / PROJECT).write_text(text)
    assert "every stage runs again" in renew(project)[0]
    assert (project / "dvc.yaml").read_text() == dag
    assert renew(project) == []


@pytest.mark.parametrize("place", ["audit", "audit/conf", ".dvc/tmp/exps/tmp1/audit"])
def test_the_root_is_the_project_also_where_dvcs_lies_above_it_or_in_a_clone(
    folder, monkeypatch, place
):
    (folder / ".dvc" / "tmp" / "exps" / "tmp1" / ".dvc").mkdir(parents=True)
    start(folder / "audit", ward(), "ward")
    shutil.copytree(folder / "audit", folder / ".dvc/tmp/exps/tmp1/audit")
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.chdir(folder / place)
    assert repository_root() == (folder / "audit").resolve()
