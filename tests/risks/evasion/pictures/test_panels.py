"""Panels show the value and the interval of their table, a row a defense."""

import pytest

from pipeline.risks.evasion.pictures import panels
from pipeline.risks.evasion.pictures.panels import Panel, bounded, draw, forest
from risks.evasion.made_up import DEFENSES, LABELS

pytestmark = pytest.mark.heavy


def test_marks_and_lines_are_the_figures_and_their_intervals(view):
    marks = bounded(view.attacked, "sensitivity")
    figure = draw(view, [Panel("a", [marks])], "x")
    (axis,) = figure.axes
    for name in DEFENSES:
        (mark,) = [one for one in axis.lines if one.get_label() == name]
        line = view.line(view.attacked, name)
        assert list(mark.get_xdata()) == [line["sensitivity"]]
    lines = [list(one.get_xdata()) for one in axis.lines if one.get_label() == "_interval"]
    wanted = view.attacked[["sensitivity_low", "sensitivity_high"]].to_numpy().tolist()
    assert lines == wanted
    names = [text.get_text().replace("\n", " ") for text in axis.get_yticklabels()]
    assert names == list(LABELS.values())


def test_bars_start_at_nothing(view):
    marks = bounded(view.attacked, "robust_accuracy", "robust_low", "robust_high")
    (axis,) = draw(view, [Panel("a", [marks])], "x", bars=True).axes
    assert [bar.get_width() for bar in axis.patches] == view.attacked["robust_accuracy"].tolist()
    assert axis.get_xlim()[0] == 0


def test_a_figure_that_is_missing_has_no_mark(view):
    marks = bounded(view.attacked, "sensitivity")
    marks.loc["adv_train"] = float("nan")
    (axis,) = draw(view, [Panel("a", [marks])], "x").axes
    assert "adv_train" not in [one.get_label() for one in axis.lines]


def test_the_forest_is_of_the_paired_differences(view, tmp_path, monkeypatch):
    kept = {}
    monkeypatch.setattr(
        panels,
        "draw",
        lambda view, asked, label, **rest: (
            kept.update(asked=asked) or draw(view, asked, label, **rest)
        ),
    )
    picture = forest(view, tmp_path)
    clean, attacked, healthy = (panel.marks[0]["value"] for panel in kept["asked"])
    for name in DEFENSES[1:]:
        assert clean[name] == view.line(view.clean, name)["sensitivity_difference"]
        assert attacked[name] == view.line(view.attacked, name)["sensitivity_difference"]
        assert healthy[name] == view.line(view.clean, name)["specificity_difference"]
        assert f"{LABELS[name]} {attacked[name]:+.3f}" in picture.shows
