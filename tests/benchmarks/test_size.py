"""What more records cost: exponents, the table of them, and the figures that are kept."""

import math
import sys

import pytest
import yaml

from benchmarks import size
from pipeline.files import BadInput, read_json


def entries(cost, stage="attack"):
    return [
        {"experiment": "large", "stage": stage, "rows": rows, "cpu_s": cpu, "peak_mib": mib}
        for rows, (cpu, mib) in cost.items()
    ]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_is_the_power_by_which_the_cost_grows(power):
    sizes = [10, 70, 3000]
    found = size.exponent(sizes, [3 * one**power for one in sizes])
    assert found == pytest.approx(power, abs=1e-9)
    assert math.isnan(size.exponent([10], [1.0]))


def test_the_table_holds_what_each_size_costs_and_both_exponents():
    shown = size.size_table(entries({100: (7, 300), 1000: (7, 300), 10_000: (700, 600)}))
    head, _, seconds, memory = shown.splitlines()
    assert head.split()[3:6] == ["100", "1000", "10000"]
    assert seconds.split() == ["large", "attack", "CPU", "s", "7", "7", "700", "1.00", "2.00"]
    assert memory.split()[-1] == f"{math.log10(2):.2f}"


def test_a_cohort_has_so_many_rows_and_two_outcomes():
    frame = size.made_up(200)
    assert frame.shape == (200, size.FEATURES + 1)
    assert set(frame["outcome"]) == {0, 1}
    assert frame.equals(size.made_up(200))


def test_a_stage_is_measured_once_and_an_unknown_one_is_refused(tmp_path):
    stages = {name: {"cmd": f"python -m {name}"} for name in ("one", "two", "three")}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (tmp_path / "params.yaml").write_text("{}")
    for name in stages:
        code = f"from pathlib import Path\nPath('artifacts/{name}').mkdir(parents=True)\n"
        (tmp_path / f"{name}.py").write_text(code)
    first = list(size.measure_size(tmp_path, "two", []))
    assert [one["stage"] for one in first] == ["one", "two"]
    assert all(one["cpu_s"] > 0 and one["peak_mib"] > 0 for one in first)
    (rest,) = size.measure_size(tmp_path, None, ["one", "two"])
    assert rest["stage"] == "three"
    with pytest.raises(BadInput, match="'four' is none of one, two, three"):
        list(size.measure_size(tmp_path, "four", []))


def test_a_stage_that_fails_says_its_last_line(tmp_path):
    (tmp_path / "wrong.py").write_text("import sys\nprint('first')\nsys.exit('error: no records')")
    with pytest.raises(BadInput, match="stage wrong failed: error: no records"):
        size.measure(tmp_path, "wrong", ["wrong"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what children hold")
@pytest.mark.slow
def test_the_memory_of_helpers_counts(tmp_path):
    code = """
import multiprocessing, time
def hold(_):
    kept = bytearray(200 * 2**20)
    kept[::4096] = b"x" * len(kept[::4096])
    time.sleep(1.2)
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        pool.map(hold, range(2), 1)
"""
    (tmp_path / "held.py").write_text(code)
    assert size.measure(tmp_path, "held", ["held"])["peak_mib"] > 400


def test_what_is_kept_grows_no_faster_than_the_limit():
    kept = read_json(size.KEPT)
    assert {one["rows"] for one in kept} == set(size.SIZES)
    for stage in {one["stage"] for one in kept}:
        own = sorted((one["rows"], one) for one in kept if one["stage"] == stage)
        for key in ("cpu_s", "peak_mib"):
            rows, cost = [row for row, _ in own], [one[key] for _, one in own]
            if len(rows) == 1:  # defenses were examined at one size
                continue
            assert size.exponent(rows, cost) <= size.LIMIT, (stage, key)
            assert size.exponent(rows[-2:], cost[-2:]) <= size.LIMIT, (stage, key)


def test_the_page_shows_what_is_kept():
    page = (size.repository_root() / "docs" / "cohort.md").read_text(encoding="utf-8")
    assert size.size_page(read_json(size.KEPT)) in page
