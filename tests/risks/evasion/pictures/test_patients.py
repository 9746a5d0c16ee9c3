"""The most fragile in units of error, and the histogram of radii: bars are the tables."""

import numpy as np
import pandas as pd
import pytest

from pipeline.presentation.numbers import NOT_TOLD, without_few
from pipeline.risks.evasion.pictures import patients
from pipeline.risks.evasion.pictures.patients import fragile, radii
from pipeline.risks.evasion.view import View

pytestmark = pytest.mark.heavy


@pytest.fixture
def kept(monkeypatch):
    """The figures that are saved."""
    figures, original = [], patients.finish

    def keep(figure, *rest):
        figures.append(figure)
        return original(figure, *rest)

    monkeypatch.setattr(patients, "finish", keep)
    return figures


def planted(tables, context):
    changes = pd.DataFrame(
        [
            ["baseline", 3, 0.6, 0.45, 0.5, "glucose", 148.0, 142.0, -2.0],
            ["baseline", 3, 0.6, 0.45, 0.5, "bmi", 30.0, 30.1, 0.5],
            ["baseline", 8, 0.9, 0.4, 0.5, "glucose", 120.0, 119.0, -1 / 3],
        ],
        columns=list(tables["changes"]),
    )
    return View({**tables, "changes": changes}, context.cfg)


def test_a_bar_for_each_change_in_units_of_error_and_the_score_beside(
    tables, context, tmp_path, kept
):
    picture = fragile(planted(tables, context), tmp_path)
    bars, scores = kept[0].axes
    widths = [bar.get_width() for bar in bars.patches[1:]]  # behind the band
    np.testing.assert_allclose(widths, [-2.0, 0.5, -1 / 3])
    band = bars.patches[0].get_extents().transformed(bars.transData.inverted())
    np.testing.assert_allclose([band.x0, band.x1], [-1, 1], atol=1e-9)
    texts = [text.get_text() for text in bars.texts]
    assert texts == ["glucose 148 → 142", "bmi 30.0 → 30.1", "glucose 120 → 119"]
    score = [one for one in scores.lines if one.get_label() == "_score"]
    np.testing.assert_allclose([line.get_xdata() for line in score], [[10, -5], [40, -10]])
    assert picture.patients
    assert "2 correct diagnoses" in picture.shows
    assert ", 1 fall to a change" in picture.shows


def test_where_nobody_is_at_risk_nothing_is_drawn(tables, context, tmp_path):
    empty = {**tables, "changes": tables["changes"].iloc[:0], "radii": tables["radii"].iloc[:0]}
    view = View(empty, context.cfg)
    assert fragile(view, tmp_path) is None
    assert radii(view, tmp_path) is None


def test_the_histogram_is_the_table_and_marks_one_error(view, tmp_path, kept):
    picture = radii(view, tmp_path)
    for name, axis in zip(view.cfg.data.classes, kept[0].axes, strict=True):
        own = view.own("radii")
        own = own[own["class"] == name]
        assert [bar.get_height() for bar in axis.patches] == own["patients"].tolist()
        assert any(list(one.get_xdata()) == [0.1, 0.1] for one in axis.lines)
    assert not picture.patients
    assert "within one error" in picture.shows


def test_a_bin_of_a_few_is_not_told(tables, context, tmp_path, kept):
    table = tables["radii"].assign(patients=30.0)
    table.loc[table.index[0], "patients"] = 3.0
    told = without_few(table, ("defense", "class"))
    picture = radii(View({**tables, "radii": told}, context.cfg), tmp_path)
    axis = kept[0].axes[0]
    assert [text.get_text() for text in axis.texts].count(NOT_TOLD) == 2  # and one more
    assert 3.0 not in [bar.get_height() for bar in axis.patches]
    assert NOT_TOLD in picture.shows
