"""The project's `conf/` comes first, the package's second; in the repository there is one."""

import shutil

import pytest
import yaml

from mistakes import complaint
from pipeline.project import composition
from pipeline.project.package import shipped
from tiny import ROOT

pytestmark = pytest.mark.heavy

CONF = ROOT / "conf"


@pytest.fixture(params=["conf", "it's a ward, {v1} [old]=\\x", "Ärzte und Daten"])
def conf(request, tmp_path):
    """A project's `conf/` that holds one data set and nothing else."""
    place = tmp_path / request.param / "conf"
    (place / "data").mkdir(parents=True)
    shutil.copy2(CONF / "data" / "pima.yaml", place / "data" / "ward.yaml")
    return place


def composed(conf, *overrides):
    return yaml.safe_load(composition.compose(list(overrides), conf))


def test_in_the_repository_there_is_one_conf():
    assert shipped("conf") == CONF
    assert composition.searched(CONF) == [CONF]
    assert composition.search_overrides([CONF]) == []


def test_what_a_project_lacks_comes_from_the_package(conf):
    assert composed(conf, "data=ward") == composed(CONF)


def test_what_a_project_has_wins(conf):
    choose(conf, "ward")
    (conf / "train").mkdir()
    text = (CONF / "train" / "default.yaml").read_text(encoding="utf-8")
    (conf / "train" / "default.yaml").write_text(text.replace("epochs: 20", "epochs: 21"))
    assert composed(CONF)["train"]["epochs"] == 20
    assert composed(conf)["train"] == composed(CONF)["train"] | {"epochs": 21}


def choose(conf, data):
    text = (CONF / "config.yaml").read_text(encoding="utf-8")
    (conf / "config.yaml").write_text(text.replace("data: pima", f"data: {data}"))


def test_a_projects_config_chooses_its_data(conf):
    choose(conf, "ward")
    assert composed(conf) == composed(CONF)


def test_a_folder_without_conf_composes_from_the_packages(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert composition.searched() == [CONF]
    assert yaml.safe_load(composition.compose([])) == composed(CONF)


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("data=wrd", "did you mean 'ward'?"),
        ("data=pimaa", "did you mean 'pima'?"),
        ("defense=[adv_trian]", "did you mean 'adv_train'?"),
        ("tran=default", "tran: did you mean 'train'?"),
    ],
)
def test_the_nearest_name_is_of_either_conf(conf, override, hint):
    line = complaint(composition.compose, [override], conf)
    assert line.startswith("conf: ")
    assert line.endswith(hint)


def test_every_job_of_a_sweep():
    assert composition.jobs(["seed=0,1", "defense=baseline,distill", "data=pima"]) == [
        ["seed=0", "defense=baseline", "data=pima"],
        ["seed=0", "defense=distill", "data=pima"],
        ["seed=1", "defense=baseline", "data=pima"],
        ["seed=1", "defense=distill", "data=pima"],
    ]
