"""A million patients: the table, and what was measured for it."""

from itertools import pairwise

import pytest

from benchmarks.million import (
    KEPT,
    SIZES,
    STAGES,
    asked_of,
    lines_of,
    of_a_record,
    page_of,
    walls_of,
)
from pipeline.files import read_json
from tiny import ROOT

LIMIT = 8 * 1024  # MiB


def entry(records, stage, cpu, peak=100):
    own = {"records": records, "threads": 1, "backend": "processes", "stage": stage}
    return own | {"cpu_s": cpu, "peak_mib": peak, "wall_s": 2 * cpu}


def test_exponents_are_those_of_a_power():
    grown = [entry(size, "attack", 2 * size / 10, 50) for size in (10, 100, 1000)]
    head, seconds, memory, each = lines_of(grown)
    assert head[2:] == ["10", "100", "1000", "exponent", "of the last two"]
    assert seconds == ["attack", "CPU s", "2", "20", "200", "1.00", "1.00"]
    assert [float(one) for one in memory[-2:]] == [0, 0]
    assert each[2:5] == ["", "", ""]  # other stages are lacking


def test_a_record_costs_what_all_stages_do():
    every = [entry(1000, stage, 1.5) for stage in STAGES]
    assert of_a_record(every) == {1000: pytest.approx(1.5 * len(STAGES))}


def test_what_was_measured_keeps_the_limits():
    """No stage of a million holds 8 GB; a record never costs more in a larger cohort."""
    kept = read_json(KEPT)
    assert {one["stage"] for one in kept if one["records"] == SIZES[-1]} == set(STAGES)
    assert max(one["peak_mib"] for one in kept) < LIMIT
    each = of_a_record([one for one in kept if one["threads"] == 1])
    assert len(each) >= 2
    assert all(later <= 1.1 * earlier for earlier, later in pairwise(each.values()))


def test_walls_are_those_of_the_largest_cohort_by_who_worked():
    two = {"threads": 2, "backend": "ray", "wall_s": 3.4}
    head, *lines = walls_of(
        [entry(10, "attack", 1), entry(99, "attack", 7), entry(99, "attack", 7) | two]
    )
    assert head == ["stage", "1 processes", "2 ray"]
    assert {name: cells for name, *cells in lines}["attack"] == ["14", "3"]
    assert {name: cells for name, *cells in lines}["evaluate"] == ["", ""]


def test_who_works_is_what_stages_are_told(tmp_path):
    asked_of_pima = "threads: 1\nparallel:\n  backend: processes\n  address: null\n"
    (tmp_path / "params.yaml").write_text(asked_of_pima)
    asked_of(tmp_path, 2, "ray")
    assert (tmp_path / "params.yaml").read_text() == asked_of_pima.replace("1", "2").replace(
        "processes", "ray"
    )


def test_the_page_shows_what_was_measured():
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert page_of(lines_of(read_json(KEPT))) in page
