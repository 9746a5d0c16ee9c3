"""The command starts, and what it takes from the package exists: no type checker reads it."""

import ast
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from tiny import ROOT

pytestmark = pytest.mark.heavy

FILES = sorted((ROOT / "benchmarks").rglob("*.py"))
OURS = ("pipeline", "benchmarks")


def taken(file):
    """Module -> names that a file takes from it, wherever in the file."""
    found = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.setdefault(node.module, set()).update(one.name for one in node.names)
        elif isinstance(node, ast.Import):
            for one in node.names:
                found.setdefault(one.name, set())
    return {name: names for name, names in found.items() if name.partition(".")[0] in OURS}


def missing(wanted):
    """What is not there."""
    lacking = []
    for name, names in wanted.items():
        if find_spec(name.partition(".")[0]) is None or find_spec(name) is None:
            lacking.append(name)
            continue
        module = import_module(name)
        for one in names:
            if not hasattr(module, one) and find_spec(f"{name}.{one}") is None:
                lacking.append(f"{name}.{one}")
    return lacking


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_what_a_benchmark_takes_exists(file):
    assert missing(taken(file)) == []


def test_a_name_that_moved_is_found(tmp_path):
    file = tmp_path / "old.py"
    file.write_text(
        "import pipeline.attic\n\n\ndef late():\n    from pipeline.config import Config, Gone\n"
    )
    assert missing(taken(file)) == ["pipeline.attic", "pipeline.config.Gone"]


@pytest.mark.slow
def test_the_help_lists_the_cases_without_a_peer():
    command = [sys.executable, "-m", "benchmarks", "--help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "usage: python -m benchmarks" in said
    assert "fgsm_grid" in said
