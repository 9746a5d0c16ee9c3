"""The package seen from outside: what its digests cover."""

import shutil
from pathlib import Path

import pytest
import yaml

import tiny
from pipeline.project import package
from pipeline.project.package import CALLERS, PACKAGE, audit_digest, code_files, package_digest

STAGES = yaml.safe_load((tiny.ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
NEEDED = [Path(one) for one in STAGES["evaluate"]["deps"] if one.startswith("pipeline/")]


def test_what_the_page_is_made_by_is_what_evaluate_depends_on():
    """Else the committed page would be another one than a fresh clone draws."""
    assert {PACKAGE / name for name in CALLERS} <= set(PACKAGE.iterdir())
    for file in code_files():
        place = file.relative_to(PACKAGE.parent)
        if place.parts[1] not in CALLERS:
            assert any(place.is_relative_to(one) for one in NEEDED), place


@pytest.mark.parametrize(
    ("name", "audited"), [("report/page.py", True), ("api/verbs.py", False), ("files.py", True)]
)
def test_an_edit_changes_the_digests_that_cover_it(monkeypatch, tmp_path, name, audited):
    for file in ("report/page.py", "api/verbs.py", "files.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("a = 1\n")
    monkeypatch.setattr(package, "PACKAGE", tmp_path)
    before = package_digest(), audit_digest()
    (tmp_path / name).write_text("a = 2\n")
    assert package_digest() != before[0]
    assert (audit_digest() != before[1]) == audited


@pytest.mark.parametrize("name", ["templates/page.html.jinja", "write.py", "document.typ"])
def test_the_page_and_its_code_decide_what_is_drawn_again(monkeypatch, tmp_path, name):
    shutil.copytree(PACKAGE / "report", tmp_path / "report")
    monkeypatch.setattr(package, "PACKAGE", tmp_path)
    before = package_digest()
    file = tmp_path / "report" / name
    file.write_text(file.read_text() + "\n")
    assert package_digest() != before
