"""What a terminal shows: within 100 columns, of what varies alone, with intervals."""

import pytest

from pipeline.sweep.shown import (
    Layout,
    cell_text,
    figures_of,
    most_important,
    summary,
    verdict_text,
)
from sweep.planted import block, conclude, job, question

BASE = job("baseline")
LONG = "missed diagnoses under attack, eps 0.3, of a sample of the patients"
JOBS = [
    BASE,
    job("adv_train", adv_train__eps="0.1"),
    *(job("dp_train", dp_train__epsilon=epsilon) for epsilon in (0.5, 1, 2)),
]
VALUES = {one.name: 0.5 + 0.1 * at for at, one in enumerate(JOBS)}
ASKED = [
    question(VALUES, figure=LONG),
    question(VALUES, figure="false alarms"),
    question(VALUES, figure="right answers", good="high", weighed=False),
    question(VALUES, figure="AUROC", risk="membership"),
    question(VALUES, figure="guess", risk="inversion", weighed=False),
    question(VALUES, figure="another guess", risk="inversion", weighed=False),
]


def test_the_first_figure_of_each_weighed_risk_comes_first():
    assert most_important(ASKED) == [
        ("evasion", LONG),
        ("membership", "AUROC"),
        ("evasion", "false alarms"),
        ("inversion", "guess"),
    ]


@pytest.mark.parametrize("many", [1, 3, 9, 40])
def test_no_line_is_wider_than_a_terminal(monkeypatch, many):
    extra = {f"train__key{at}": "[0.25,0.5,1000000,2000000,3000000]" for at in range(many % 4)}
    jobs = [BASE, *(job("dp_adv_train", dp_adv_train__epsilon=at, **extra) for at in range(many))]
    values = {one.name: 0.5 - 0.01 * at for at, one in enumerate(jobs)}
    asked = [question(values, figure=one.figure.figure, risk=one.risk) for one in ASKED]
    said = conclude(monkeypatch, block(jobs, *asked, flagged=[jobs[1].name]))
    layout = Layout.of(jobs, most_important(asked))
    lines = [layout.heading(counted=True), summary(layout, jobs, said)]
    lines += [
        layout.row(one, figures_of(asked, "baseline" if one is BASE else one.name), at + 1, "*")
        for at, one in enumerate(jobs)
    ]
    assert layout.figures
    assert max(len(line) for text in lines for line in text.splitlines()) <= 100


def test_columns_are_of_what_varies_alone():
    layout = Layout.of(JOBS, [("evasion", LONG)])
    assert list(layout.varies) == ["defense", "eps", "epsilon"]
    assert list(Layout.of([BASE, job("distill")], []).varies) == ["defense"]


def test_columns_stand_below_their_titles(monkeypatch):
    layout = Layout.of(JOBS, most_important(ASKED))
    heading = layout.heading(counted=True).splitlines()
    row = layout.row(JOBS[2], figures_of(ASKED, JOBS[2].name), 3)
    assert row.startswith("3/5 dp_train")
    assert row[heading[-1].index("epsilon") :].startswith("0.5")
    assert heading[0].index("missed") == row.index("0.700 (0.680 to 0.720)")
    assert layout.row(JOBS[1], {}).split() == ["adv_train", "0.1", "-", "-", "-"]


def test_the_table_says_each_figure_with_its_interval_and_verdict(monkeypatch):
    said = conclude(monkeypatch, block(JOBS, *ASKED, flagged=[JOBS[1].name]))
    layout = Layout.of(JOBS, most_important(ASKED))
    text = summary(layout, JOBS, said)
    assert "0.500 (0.480 to 0.520)" in text
    assert "worse by 0.100" in text
    assert "adv_train*" in text
    assert "* adv_train (eps=0.1): flagged: masked" in text
    assert "Pareto front" in text


def test_a_verdict_in_few_letters():
    line = {"verdict": "better", "difference": -0.05, "smallest_detectable": 0.08}
    assert verdict_text(line, flagged=False) == "better by 0.050"
    assert verdict_text(line, flagged=True) == "better, but flagged"
    apart = {**line, "verdict": "not told apart"}
    assert verdict_text(apart, flagged=True) == "not told apart (0.080)"
    assert verdict_text({**line, "verdict": ""}, flagged=False) == ""


def test_a_figure_fits_its_column():
    assert cell_text(0.5, 0.4, 0.6) == "0.500 (0.400 to 0.600)"
    assert cell_text(-0.001, -0.043, -0.046) == "-0.00 (-0.04 to -0.05)"
    assert cell_text(float("nan"), 0, 0) == "-"
