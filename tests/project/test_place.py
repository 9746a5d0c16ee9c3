"""A project is found from below; what is somebody else's is not taken for one."""

from pipeline.files import PROJECT
from pipeline.project.place import found, is_project
from tiny import ROOT


def test_a_checkout_is_found_and_is_no_project(monkeypatch):
    monkeypatch.chdir(ROOT / "conf" / "data")
    assert found() == ROOT
    assert not is_project(ROOT)


def test_somebodys_dvc_repository_is_neither(tmp_path, monkeypatch):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert found() is None


def test_of_two_projects_the_nearest_counts(tmp_path):
    for place in (tmp_path, tmp_path / "inner"):
        (place / "conf").mkdir(parents=True)
        (place / PROJECT).touch()
    assert found(tmp_path / "inner" / "conf") == (tmp_path / "inner").resolve()
    assert found(tmp_path / "conf") == tmp_path.resolve()
