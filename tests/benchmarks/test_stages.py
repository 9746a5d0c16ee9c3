"""Every stage of `dvc.yaml` is found and run, each item of a `foreach` by itself."""

import pytest
import yaml

from benchmarks.stages import PHASES, commands, fresh_copy, run_stage, stage_table
from pipeline.files import BadInput
from tiny import ROOT


def test_a_foreach_is_a_stage_for_each_of_its_items(tmp_path):
    stages = {
        "first": {"cmd": "python -m house.first"},
        "none": {"foreach": "${nothing}", "do": {"cmd": "python -m house.none ${item}"}},
        "each": {"foreach": "${some}", "do": {"cmd": "python -m house.each ${item}"}},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (tmp_path / "params.yaml").write_text("nothing: []\nsome: [b, a]\n")
    found = commands(tmp_path)
    assert found == {
        "first": ["house.first"],
        "each@b": ["house.each", "b"],
        "each@a": ["house.each", "a"],
    }
    assert list(found) == ["first", "each@b", "each@a"]  # in the order in which they can run


def test_every_stage_of_this_repository_is_a_module_of_it():
    found = commands(ROOT)
    modules = {command[0].rpartition(".") for command in found.values()}
    assert {package for package, _, _ in modules} == {"pipeline.stages"}
    scripts = {path.stem for path in (ROOT / "pipeline" / "stages").glob("[!_]*.py")}
    assert {name for _, _, name in modules} == scripts


def test_records_that_are_not_there_are_one_clear_line(tmp_path):
    with pytest.raises(BadInput, match=r"data: not found; `dvc pull data.dvc` fetches it"):
        fresh_copy(tmp_path).__enter__()


def test_the_last_line_of_the_table_is_the_sum():
    seconds = {f"{phase}_s": 0.5 for phase in PHASES}
    stages = [
        {"stage": "one", "wall_s": 4.0, **seconds, "peak_memory_mib": 300.0},
        {"stage": "two", "wall_s": 3.0, **seconds, "peak_memory_mib": 200.0},
    ]
    last = stage_table(stages).splitlines()[-1].split()
    assert last == ["all", "7.00", *["1.00"] * len(PHASES), "300"]


@pytest.mark.slow
def test_a_stage_is_measured_in_a_copy_and_a_failed_one_is_one_clear_line(smoke_text):
    with fresh_copy(ROOT) as copy:
        (copy / "params.yaml").write_text(smoke_text)
        found = run_stage(copy, "prepare", commands(copy)["prepare"])
        assert (copy / "artifacts" / "prepare" / "schema.json").exists()
        assert sum(found[f"{phase}_s"] for phase in PHASES) == pytest.approx(found["wall_s"])
        assert 0 < found["start_up_s"] < found["wall_s"]
        assert found["peak_memory_mib"] > 0
        with pytest.raises(BadInput, match=r"stage train_nobody failed: error: .* nobody: missing"):
            run_stage(copy, "train_nobody", ["pipeline.stages.train", "nobody"])
