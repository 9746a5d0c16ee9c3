"""The scatter is sensitivity by sensitivity; a ring only where the rule says so."""

import pytest

from pipeline.risks.evasion.pictures import weighed
from pipeline.risks.evasion.pictures.weighed import trade_off
from risks.evasion.made_up import DEFENSES, LABELS

pytestmark = pytest.mark.heavy


def test_points_are_the_table_and_rings_are_the_front(view, tmp_path, monkeypatch):
    kept, original = [], weighed.finish
    monkeypatch.setattr(weighed, "finish", lambda f, *rest: kept.append(f) or original(f, *rest))
    monkeypatch.setattr(weighed, "front", lambda view: {"baseline": (), "adv_train": ("baseline",)})
    picture = trade_off(view, tmp_path)
    (axis,) = kept[0].axes
    for name in DEFENSES:
        (point,) = [one for one in axis.lines if one.get_label() == name]
        x, y = (view.line(of, name)["sensitivity"] for of in (view.clean, view.attacked))
        assert (list(point.get_xdata()), list(point.get_ydata())) == ([x], [y])
        assert f"{LABELS[name]} {x:.3f} and {y:.3f}" in picture.shows
    rings = [one for one in axis.lines if one.get_label() == "_front"]
    baseline = view.line(view.clean)["sensitivity"]
    assert [list(one.get_xdata()) for one in rings] == [[baseline]]
    assert "On the Pareto front of both: baseline." in picture.shows
    assert "Dominated: adv_train." in picture.shows
