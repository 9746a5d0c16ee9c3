"""The page of a sweep: what varies, what was concluded, the jobs."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.files import read_json
from pipeline.report import HEADLINE, PLOTS, REPORT, SCHEMA, SUMMARY
from pipeline.sweep.page import CURVES, JOBS, write_sweep
from report.reader import check
from sweep.planted import block, conclude, job, question

BASE = job("baseline")
DP = [job("dp_train", dp_train__epsilon=epsilon) for epsilon in (1, 4)]
VALUES = {"baseline": 0.5, DP[0].name: 0.4, DP[1].name: 0.499}
FIGURES = [("evasion", "missed")]


class Ran:
    """A run of which the folder is known."""

    place = Path("sweeps/0123")


@pytest.fixture
def written(monkeypatch, cfg, tmp_path):
    """Writes the page of planted jobs; returns it as it is read."""

    def write(jobs=(BASE, *DP), flagged=(), failed=None):
        values = {one.name: VALUES[one.name] for one in jobs}
        said = conclude(monkeypatch, block(jobs, question(values), flagged=flagged))
        runs = [(one, Ran()) for one in jobs]
        write_sweep(runs, said, FIGURES, cfg, tmp_path, failed=failed or {}, summary="short")
        return check((tmp_path / REPORT).read_text(encoding="utf-8"))

    return write


def text_of(tmp_path):
    return (tmp_path / REPORT).read_text(encoding="utf-8")


def test_everything_of_a_sweep_lies_in_one_folder(written, tmp_path):
    page = written()
    for name in (HEADLINE, JOBS, CURVES, REPORT, SUMMARY, SCHEMA):
        assert (tmp_path / name).is_file()
    assert [path.name for path in (tmp_path / PLOTS).iterdir()] == ["sweep_dp_train_epsilon.svg"]
    assert read_json(tmp_path / SCHEMA)["schema_version"]
    rows = [row for table in page.tables for row in table]
    assert any("0.400 (0.380 to 0.420)" in cell for row in rows for cell in row)
    assert any(row[0] == "baseline" and "0.500 (0.480 to 0.520)" in row for row in rows)


def test_the_page_says_what_was_concluded_and_by_which_rule(written, tmp_path):
    written()
    text = text_of(tmp_path)
    assert "after Holm over all jobs" in text
    assert "<b>dp_train (epsilon=1)</b>: better: missed" in text
    assert "<b>dp_train (epsilon=4)</b>: told apart from baseline in nothing" in text
    table = pd.read_csv(tmp_path / JOBS, keep_default_na=False).set_index("job")
    assert table.loc["dp_train (epsilon=1)", "better"] == "missed"
    assert table.loc["dp_train (epsilon=4)", "control"] == "baseline"


def test_a_flag_stands_wherever_the_job_is_named(written, tmp_path):
    written(flagged=[DP[0].name])
    text = text_of(tmp_path)
    assert "dp_train (epsilon=1) [masked]" in text
    assert "better: missed" not in text


def test_failed_jobs_are_named_and_without_curves_that_is_said(written, tmp_path):
    written(jobs=(BASE, DP[0]), failed={DP[1].name: "out of luck"})
    assert "out of luck" in text_of(tmp_path)
    assert "Nothing that varies is a number" in text_of(tmp_path)
