"""The documentation as a site: links lead somewhere in it, nothing is fetched from elsewhere."""

import re
import runpy
import subprocess
import sys

import pytest

import tiny

SITE = runpy.run_path(str(tiny.ROOT / "docs" / "site.py"))
relinked = SITE["relinked"]


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("[x](docs/cohort.md#a)", "", "[x](cohort.md#a)"),
        ("![x](docs/images/mlflow-runs.png)", "", "![x](images/mlflow-runs.png)"),
        ("[x](CONTRIBUTING.md)", "", "[x](contributing.md)"),
        ("[x](../CONTRIBUTING.md#add)", "docs/threats.md", "[x](contributing.md#add)"),
        ("[x](../../README.md)", "docs/data/pima.md", "[x](../index.md)"),
        ("[x](pima.md)", "docs/data/pima.md", "[x](pima.md)"),
        ("[all](../benchmarks/size.json)", "docs/cohort.md", "all (`benchmarks/size.json`)"),
        ("[x](#here)", "docs/cohort.md", "[x](#here)"),
        ("[x](https://arxiv.org/abs/1)", "docs/cohort.md", "[x](https://arxiv.org/abs/1)"),
    ],
)
def test_a_link_leads_to_the_same_place_on_the_site(text, place, expected):
    assert relinked(text, place) == expected


@pytest.mark.slow
def test_the_site_is_whole_and_fetches_nothing(tmp_path):
    command = [sys.executable, "-B", "-m", "mkdocs", "build", "--strict", "--quiet", "-d"]
    built = subprocess.run(
        [*command, str(tmp_path)], cwd=tiny.ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    pages = list(tmp_path.rglob("*.html"))
    sources = {page.stem for page in [*(tiny.ROOT / "docs").rglob("*.md")]}
    assert sources <= {page.stem for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="([^"]*)"', text)
        assert not [one for one in fetched if "//" in one], page
    for style in tmp_path.rglob("*.css"):
        assert not re.findall(r"url\([\"']?(?:https?:)?//|@import", style.read_text()), style
