"""A few names for notebooks, each where it says it lives, and none before somebody asks."""

import importlib.util
import subprocess
import sys

import pytest

from pipeline import api
from pipeline.api import command
from tiny import ROOT

ABOUT_TEN = 14
HEAVY = ("torch", "numpy", "pandas", "pydantic", "hydra", "omegaconf", "mlflow", "dvc", "yaml")


def test_there_are_about_ten_names_and_each_is_explained():
    assert len(api.__all__) == len(set(api.__all__)) <= ABOUT_TEN
    assert dir(api) == sorted(api.__all__)
    for name in set(api.__all__) - {"__version__"}:
        assert getattr(api, name).__doc__, name
        assert getattr(api, name).__name__ == name


def test_a_name_is_the_one_that_the_pipeline_uses():
    from pipeline.data.threat import Threat
    from pipeline.files import BadInput

    assert (api.Threat, api.BadInput) == (Threat, BadInput)


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known():
    with pytest.raises(AttributeError, match=r"no 'atack'; it has .*attack"):
        _ = api.atack


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import PackageNotFoundError, version

    try:
        assert api.__version__ == version("medsecure")
    except PackageNotFoundError:
        assert api.__version__ == "unknown"


def test_importing_it_waits_for_nothing():
    code = f"import sys, pipeline.api; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_package_of_somebody_else_is_an_import_error(monkeypatch):
    monkeypatch.setattr(command, "foreign", lambda: "not ours")
    with pytest.raises(ImportError, match="not ours"):
        _ = api.Threat


def test_under_its_other_name_it_is_the_same(monkeypatch):
    place = ROOT / "pipeline" / "api"
    spec = importlib.util.spec_from_file_location(
        "medsecure", place / "__init__.py", submodule_search_locations=[str(place)]
    )
    medsecure = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "medsecure", medsecure)
    spec.loader.exec_module(medsecure)
    assert medsecure.Threat is api.Threat
    monkeypatch.delitem(sys.modules, "medsecure.command")
