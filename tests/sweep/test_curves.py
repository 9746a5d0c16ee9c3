"""Figures against what varies, as a table and as a picture."""

import pytest

from pipeline.sweep.curves import curves_table, draw
from sweep.planted import block, conclude, job, question

BASE = job("baseline")
DP = [job("dp_train", dp_train__epsilon=epsilon) for epsilon in ("0.5", "8", "2")]
ADV = [job("adv_train", adv_train__eps="0.1")]
JOBS = [BASE, *DP, *ADV]
VALUES = {one.name: 0.1 * at for at, one in enumerate(JOBS)}


@pytest.fixture
def said(monkeypatch):
    return conclude(monkeypatch, block(JOBS, question(VALUES), question(VALUES, figure="other")))


def test_a_row_for_each_number_that_varies_and_each_figure(said):
    table = curves_table(JOBS, said)
    assert set(table["key"]) == {"dp_train.epsilon"}  # one value of eps is no curve
    own = table[table["figure"] == "missed"]
    assert own["at"].tolist() == [0.5, 8.0, 2.0]
    assert own["value"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert set(own["control"]) == {"baseline"}
    assert set(own["line"]) == {"dp_train"}
    assert (own["low"] < own["value"]).all()
    assert (own["value"] < own["high"]).all()


def test_what_else_varies_parts_the_lines_and_a_seed_is_no_amount(monkeypatch):
    jobs, blocks = [], []
    for seed in (0, 1):
        base = job("baseline", f"baseline (seed={seed})", seed=seed)
        own = [
            job("dp_train", base.name, dp_train__epsilon=epsilon, seed=seed) for epsilon in (1, 2)
        ]
        values = {"baseline": 0.5, **{one.name: 0.4 for one in own}}
        blocks.append(block([base, *own], question(values)))
        jobs += [base, *own]
    table = curves_table(jobs, conclude(monkeypatch, *blocks))
    assert set(table["key"]) == {"dp_train.epsilon"}
    assert set(table["line"]) == {"dp_train (seed=0)", "dp_train (seed=1)"}
    apart = {(line, control) for line, control in zip(table["line"], table["control"], strict=True)}
    assert apart == {
        ("dp_train (seed=0)", "baseline (seed=0)"),
        ("dp_train (seed=1)", "baseline (seed=1)"),
    }


def test_what_is_no_number_is_no_curve(monkeypatch):
    jobs = [BASE, job("distill", train__x="a"), job("distill", train__x="b")]
    values = {one.name: 0.5 for one in jobs}
    assert not len(curves_table(jobs, conclude(monkeypatch, block(jobs, question(values)))))


def test_the_picture_says_what_it_shows(said, tmp_path):
    table = curves_table(JOBS, said)
    figures = [("evasion", "missed"), ("evasion", "other"), ("theft", "not measured")]
    picture = draw(table, "dp_train.epsilon", figures, said, tmp_path)
    assert picture.path.read_bytes().startswith(b"<svg")
    assert "missed; other, against dp_train.epsilon, of dp_train" in picture.shows
