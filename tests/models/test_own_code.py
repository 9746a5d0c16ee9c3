"""An edit of a team's own recipe is told from what it was; what is not covered is said."""

import importlib
import sys

import pytest

from pipeline.files import BadInput
from pipeline.models import own_code
from pipeline.models.own_code import code_version, own_files

FILES = {
    "ward_recipes/__init__.py": "",
    "ward_recipes/models.py": "def make():\n    from ward_helpers import depth\n    return depth\n",
    "ward_recipes/notes.py": "import numpy",
    "ward_helpers.py": "import ward_more, sklearn\ndepth = 3\n",
    "ward_more.py": "import ward_helpers\n",
    "ward_other.py": "",
}
FACTORY = "ward_recipes.models:make"


@pytest.fixture
def team(tmp_path, monkeypatch):
    """A folder of a team's own code, on the path; each version is asked as by a new process."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()

    def version(name="", text=""):
        monkeypatch.setattr(own_code, "_first", {})
        if name:
            (tmp_path / name).write_text(text)
        return code_version(FACTORY)

    return version


def test_an_edit_of_the_module_its_package_or_what_it_imports_is_another_version(team):
    seen = [team()]
    for name in FILES:
        if name != "ward_other.py":
            seen.append(team(name, f"{FILES[name]}\nx = 1\n"))
    assert len(set(seen)) == len(seen)
    assert team("ward_other.py", "x = 1") == seen[-1]
    assert team("ward_more.py", FILES["ward_more.py"]) == seen[-2]


def test_an_edit_under_a_running_process_is_one_line(team, tmp_path):
    team()
    (tmp_path / "ward_helpers.py").write_text("depth = 4")
    with pytest.raises(BadInput, match=r"ward_recipes.models:make: its code was edited while"):
        code_version(FACTORY)


def test_of_what_is_installed_the_version_counts_and_of_nothing_nothing():
    import sklearn

    assert own_files("sklearn.ensemble") == []
    assert code_version("sklearn.ensemble:RandomForestClassifier") == sklearn.__version__
    assert code_version("no_such_thing:x") == code_version("math:sqrt") == ""


def test_code_that_cannot_be_read_is_a_version_too(team):
    assert team("ward_recipes/models.py", "def (") != team("ward_recipes/models.py", "def ((")
