"""What decides a run is in its key, and nothing else."""

import ast

import pytest

import tiny
from pipeline.sweep import keys

pytestmark = pytest.mark.heavy


def test_what_decides_the_result_decides_the_key(small):
    changes = ("seed=1", "train.batch_size=16", "model=linear", "inversion.candidates=9")
    data = tiny.records(60, seed=5)
    configurations = [small(), *map(small, changes)]
    found = [keys.run_key(keys.only(cfg, "baseline"), data) for cfg in configurations]
    assert len(set(found)) == len(found)
    other = small("distill.epochs=1", defenses=("baseline", "distill"))
    assert keys.run_key(keys.only(other, "baseline"), data) == found[0]


def test_who_is_asked_the_same_may_be_made_otherwise(small):
    """Kinds of model, and of training, are paired; other folds, cuts or attackers are not."""
    same = (("model=forest",), ("model=linear",), ("train.epochs=7",))
    other = (("seed=1",), ("plan.folds=3",), ("decision.value=0.7",), ("inversion.candidates=9",))
    first = keys.question_key(small())
    assert {keys.question_key(small(*one)) for one in same} == {first}
    assert keys.question_key(small("distill.epochs=1", defenses=("baseline", "distill"))) == first
    assert first not in {keys.question_key(small(*one)) for one in other}


def test_the_records_and_the_code_are_part_of_the_key(small, monkeypatch, tmp_path):
    cfg, data = keys.only(small(), "baseline"), tiny.records(20, seed=0)
    key = keys.run_key(cfg, data)
    changed = data.x.clone()
    changed[3, 0] += 1
    assert keys.run_key(cfg, type(data)(changed, data.y, data.schema)) != key
    (tmp_path / "module.py").write_text("")
    monkeypatch.setattr(keys, "PACKAGE", tmp_path)
    assert keys.run_key(cfg, data) != key


def test_a_teams_own_recipe_is_known_by_its_code(small, monkeypatch):
    cfg = keys.only(small("model=estimator", "model.factory=brought:forest"), "baseline")
    data, versions = tiny.records(20, seed=0), []

    def told(path):
        assert path == "brought:forest"
        return versions[-1]

    monkeypatch.setattr(keys, "code_version", told)
    found = set()
    for version in ("before", "after"):
        versions.append(version)
        found.add(keys.run_key(cfg, data))
    assert len(found) == 2


# ---- which code decides a measurement ----

PACKAGE = tiny.ROOT / "pipeline"


def imports(file):
    """The files of the package that a file imports anywhere."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = tiny.ROOT / name.replace(".", "/")
            yield from (
                one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()
            )


def test_all_code_that_a_measurement_runs_is_part_of_the_key():
    waiting = [
        PACKAGE / "stages" / "_examining.py",
        PACKAGE / "defenses" / "__init__.py",
        PACKAGE / "data" / "tabular.py",
        PACKAGE / "data" / "plan.py",
    ]
    # They list and hand on; what they list is found by who imports it.
    listing = {PACKAGE / "risks" / "__init__.py", PACKAGE / "risks" / "risk.py"}
    found = set()
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += set(imports(one)) - found - listing
    assert len(found) > 30
    assert found <= set(keys.measuring_code())


def test_what_draws_up_shows_and_logs_is_no_part_of_it():
    names = {file.relative_to(PACKAGE).as_posix() for file in keys.measuring_code()}
    assert not {name for name in names if name.startswith(("report", "tracking", "presentation"))}
    assert not {name for name in names if name.endswith(("tables.py", "report.py", "risk.py"))}
    assert {"config/cohort.py", "files.py", "stages/_examining.py", "models/training.py"} <= names
    assert not {name for name in names if name.startswith("sweep/")}
    assert not {"params.py", "__main__.py"} & names
