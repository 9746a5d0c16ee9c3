"""ROC and confusion matrices are their tables, with flags beside the names."""

import numpy as np
import pytest

from pipeline.presentation.numbers import NOT_TOLD
from pipeline.risks.evasion.pictures import answers
from pipeline.risks.evasion.pictures.answers import confusion_matrices, roc
from pipeline.risks.evasion.view import View
from risks.evasion.made_up import DEFENSES, LABELS

pytestmark = pytest.mark.heavy


@pytest.fixture
def kept(monkeypatch):
    figures, original = [], answers.finish
    monkeypatch.setattr(answers, "finish", lambda f, *rest: figures.append(f) or original(f, *rest))
    return figures


def test_the_roc_is_the_column_of_each_defense_and_its_title_says_the_area(view, tmp_path, kept):
    roc(view, tmp_path)
    for name, axis in zip(DEFENSES, kept[0].axes, strict=True):
        (curve,) = [one for one in axis.lines if one.get_label() == name]
        np.testing.assert_array_equal(curve.get_ydata(), view.tables["plots/roc"][name])
        title = axis.get_title().replace("\n", " ")
        assert title.startswith(LABELS[name])
        assert f"{view.line(view.clean, name)['auroc']:.3f} (" in title


def test_the_confusion_is_shown_clean_and_at_the_headline_radius(view, tmp_path, kept):
    """Of 0.1 and 0.5, 0.3 is as near to both: the smaller one."""
    picture = confusion_matrices(view, tmp_path)
    table = view.tables["confusion"]
    places = [(name, eps) for name in DEFENSES for eps in (0.0, 0.1)]
    for axis, (name, eps) in zip(kept[0].axes, places, strict=True):
        cells = table[(table["defense"] == name) & (table["eps"] == eps)]["patients"]
        assert [text.get_text() for text in axis.texts] == [f"{count:.0f}" for count in cells]
        at = "no attack" if eps == 0 else "eps 0.1"
        assert axis.get_title().replace("\n", " ") == f"{LABELS[name]}, {at}"
    assert picture.path.name == "confusion.svg"


def test_no_title_runs_into_the_next_panel(view, tmp_path, kept):
    """At the size at which it is saved, however many flags a name has."""
    confusion_matrices(view, tmp_path)
    roc(view, tmp_path)
    for figure in kept:
        figure.draw_without_rendering()
        boxes = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
        assert len(boxes) > 2
        for at, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[at + 1 :])
            assert one.x0 >= 0
            assert one.x1 <= figure.bbox.x1


def test_a_cell_that_is_hidden_is_not_told(tables, context, tmp_path, kept):
    table = tables["confusion"].copy()
    table.loc[table.index[0], "patients"] = float("nan")
    confusion_matrices(View({**tables, "confusion": table}, context.cfg), tmp_path)
    assert kept[0].axes[0].texts[0].get_text() == NOT_TOLD
