"""The front of two figures: who is surpassed in both by nobody, planted."""

import pandas as pd
import pytest

from pipeline.risks.risk import HeadlineFigure, Judgement, Trade
from pipeline.sweep.fronts import chapters, fronts_table


def figure(name, good="high", **values):
    table = pd.DataFrame({"value": values}).rename_axis("defense")
    return HeadlineFigure(
        name, good, table.assign(low=table["value"] - 0.01, high=table["value"] + 0.01)
    )


KEPT = {"baseline": 0.95, "a": 0.94, "b": 0.93, "c": 0.92, "d": 0.92}
BOUGHT = {"baseline": 0.10, "a": 0.60, "b": 0.55, "c": 0.70, "d": 0.65}
NAMES = {"baseline": "none", "a": "kappa=1", "b": "kappa=2", "c": "kappa=3", "d": "kappa=4"}


def trade(bought=BOUGHT, good="high"):
    return Trade(figure("clean", **KEPT), figure("proved", good, **bought))


def on_front(table):
    return set(table.loc[table["front"], "job"])


def test_on_the_front_is_who_is_surpassed_in_both_by_nobody():
    table = fronts_table([(NAMES, [trade()])], [])
    assert on_front(table) == {"none", "kappa=1", "kappa=3"}
    row = table.set_index("job").loc["kappa=2"]
    assert (row["kept_value"], row["bought_value"]) == (0.93, 0.55)
    assert row["bought_high"] == pytest.approx(0.56)


def test_a_flagged_job_surpasses_none_of_the_others_and_is_never_without_its_flag():
    table = fronts_table([(NAMES, [trade()])], ["kappa=1"])
    assert on_front(table) == {"none", "kappa=2", "kappa=3"}
    assert set(table.loc[table["but_flagged"], "job"]) == {"kappa=1"}
    table = fronts_table([(NAMES, [trade()])], ["kappa=2"])  # whom kappa=1 surpasses
    assert not table["but_flagged"].any()


def test_of_what_is_good_when_low_less_is_more():
    table = fronts_table([(NAMES, [trade(good="low")])], [])
    assert on_front(table) == {"none"}


def test_equal_jobs_are_both_on_it():
    same = {**BOUGHT, "b": 0.6}
    kept = {**KEPT, "b": 0.94}
    one = Trade(figure("clean", **kept), figure("proved", **same))
    assert {"kappa=1", "kappa=2"} <= on_front(fronts_table([(NAMES, [one])], []))


def test_a_job_without_one_of_the_figures_is_left_out():
    table = fronts_table([(NAMES, [trade({**BOUGHT, "c": float("nan")})])], [])
    assert "kappa=3" not in set(table["job"])
    assert "kappa=4" in on_front(table)


def test_the_chapter_has_every_job_with_intervals_and_says_who_is_on_the_front(tmp_path):
    table = fronts_table([(NAMES, [trade()])], ["kappa=2"])
    judged = {
        name: Judgement({"masked": "why"} if name == "kappa=2" else {}) for name in NAMES.values()
    }
    (chapter,) = chapters(table, judged, tmp_path)
    shown = chapter.parts[1].table
    assert shown["clean"].iloc[0] == "0.950 (0.940 to 0.960)"
    assert shown["proved"].iloc[1] == "0.600 (0.590 to 0.610) on the front"
    assert shown["proved"].iloc[4] == "0.650 (0.640 to 0.660)"
    assert "masked" in shown["job"].iloc[2]
    assert (tmp_path / "sweep_fronts.svg").is_file()
    (flagged,) = chapters(fronts_table([(NAMES, [trade()])], ["kappa=1"]), judged, tmp_path)
    assert flagged.parts[1].table["proved"].iloc[1].endswith(" on the front, but flagged")


def test_of_one_job_there_is_no_chapter(tmp_path):
    one = Trade(figure("clean", a=0.9), figure("proved", a=0.5))
    assert chapters(fronts_table([(NAMES, [one])], []), {}, tmp_path) == ()
    assert chapters(fronts_table([(NAMES, [])], []), {}, tmp_path) == ()
