"""Curves are the tables: steps what is proved, marks what attacks leave, nothing beyond."""

import numpy as np
import pandas as pd
import pytest

from pipeline.presentation.pictures import axes_of
from pipeline.risks.evasion.pictures import curves
from pipeline.risks.evasion.pictures.curves import FOUND, MISSED, RIGHT, cover, draw, exact
from pipeline.risks.evasion.view import View
from risks.evasion.made_up import DEFENSES, HEADLINE, LABELS, OTHER

pytestmark = pytest.mark.heavy


def drawn(view, threat=HEADLINE, asked=MISSED, upto=0.5):
    _, (axis,) = axes_of(1, 1, (5, 4))
    draw(axis, view, threat, asked, upto, 3.0)
    return axis


def line_of(axis, label):
    (found,) = [one for one in axis.lines if one.get_label() == label]
    return found


@pytest.mark.parametrize("asked", [MISSED, RIGHT, FOUND], ids=lambda one: one.column)
def test_the_marks_are_the_comparison(view, comparison, asked):
    axis = drawn(view, asked=asked)
    for name in DEFENSES:
        own = comparison[(comparison["defense"] == name) & (comparison["threat"] == HEADLINE)]
        marks = line_of(axis, f"_{name} marks")
        np.testing.assert_array_equal(marks.get_xdata(), own["eps"])
        np.testing.assert_array_equal(marks.get_ydata(), own[asked.column])


def test_the_bars_are_the_intervals_without_attack_and_at_the_headline_radius(view):
    axis = drawn(view)
    for name in DEFENSES:
        bars = [one for one in axis.lines if one.get_label() == f"_{name} interval"]
        lines = [view.line(of, name) for of in (view.clean, view.attacked)]
        for bar, line in zip(bars, lines, strict=True):
            assert list(bar.get_xdata()) == [line["eps"]] * 2
            wanted = [line["missed_diagnosis_rate_low"], line["missed_diagnosis_rate_high"]]
            assert list(bar.get_ydata()) == wanted


def test_the_curve_meets_the_marks_where_all_is_decided(view, comparison):
    """The steps are of proofs, the marks of attacks: two ways to one number."""
    for asked in (MISSED, RIGHT, FOUND):
        for name in DEFENSES:
            curve, _ = exact(view, HEADLINE, name, asked, 0.5)
            own = comparison[(comparison["defense"] == name) & (comparison["threat"] == HEADLINE)]
            for eps, value in zip(own["eps"], own[asked.column], strict=True):
                known = curve[curve["eps"] <= eps + 1e-9]["value"].iloc[-1]
                assert known == pytest.approx(value, abs=1e-9)


def test_a_step_stands_only_where_the_value_changes(view):
    curve, to = exact(view, HEADLINE, "baseline", MISSED, 0.5)
    inner = curve["value"].iloc[:-1]
    assert (inner.diff().iloc[1:] != 0).all()
    assert curve["eps"].iloc[-1] == to == 0.5


def test_the_curve_ends_where_verification_did_and_the_picture_says_so(view):
    axis = drawn(view, OTHER)
    for name in DEFENSES:
        assert line_of(axis, name).get_xdata().max() <= 0.3 + 1e-9
        beyond = line_of(axis, f"_{name} attacks").get_xdata()
        assert beyond.max() == 0.5
    assert any("not verified" in text.get_text() for text in axis.texts)
    assert not any("not verified" in text.get_text() for text in drawn(view).texts)


def test_what_is_open_is_a_band_between_known_and_possible(view):
    curve, _ = exact(view, OTHER, "baseline", MISSED, 0.3)
    assert (curve["bound"] >= curve["value"]).all()
    assert (curve["bound"] > curve["value"]).any()


def test_of_whom_nothing_is_proved_there_is_no_curve(tables, context):
    from pipeline.risks.evasion.measure.subject import PROOFS

    gaps = pd.DataFrame([["adv_train", PROOFS, "why"]], columns=["defense", "what", "why"])
    view = View({**tables, "evasion_not_applicable": gaps}, context.cfg)
    axis = drawn(view)
    labels = [one.get_label() for one in axis.lines]
    assert "adv_train" not in labels
    assert {"baseline", "distill", "_adv_train marks"} <= set(labels)


def test_every_line_has_its_name_at_its_end(view):
    axis = drawn(view)
    said = " ".join(text.get_text().replace("\n", " ") for text in axis.texts)
    assert all(label in said for label in LABELS.values())
    assert axis.get_legend() is None


def test_no_two_defenses_share_colour_marker_or_dash(view):
    styles = list(view.styles.values())
    for part in ("colour", "marker", "dash"):
        assert len({getattr(one, part) for one in styles}) == len(styles)


def test_the_cover_has_a_second_axis_in_units_and_marks_one_error(view, tmp_path, monkeypatch):
    kept = {}
    original = curves.finish

    def keep(figure, *rest):
        kept["figure"] = figure
        return original(figure, *rest)

    monkeypatch.setattr(curves, "finish", keep)
    picture = cover(view, tmp_path)
    (axis,) = kept["figure"].axes
    (above,) = axis.child_axes
    assert above.get_xlabel() == "mg/dL of glucose"
    low, high = axis.get_xlim()
    np.testing.assert_allclose(above.get_xlim(), (30 * low, 30 * high))
    marks = [one for one in axis.lines if list(one.get_xdata()) == [0.1, 0.1]]
    assert any(one.get_linestyle() == "--" for one in marks)
    for name in DEFENSES:
        clean, at = (view.line(of, name) for of in (view.clean, view.attacked))
        rates = (clean["missed_diagnosis_rate"], at["missed_diagnosis_rate"])
        assert f"{LABELS[name]} {rates[0]:.3f} and {rates[1]:.3f}" in picture.shows
