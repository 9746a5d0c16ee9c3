"""Reliability and decision curves are their tables."""

import numpy as np
import pytest

from pipeline.risks.evasion.pictures import probabilities
from pipeline.risks.evasion.pictures.probabilities import decision, reliability
from risks.evasion.made_up import DEFENSES, LABELS

pytestmark = pytest.mark.heavy


@pytest.fixture
def kept(monkeypatch):
    figures, original = [], probabilities.finish
    monkeypatch.setattr(
        probabilities, "finish", lambda f, *rest: figures.append(f) or original(f, *rest)
    )
    return figures


def test_a_panel_for_each_defense_shows_what_was_said_and_what_came_true(view, tmp_path, kept):
    picture = reliability(view, tmp_path)
    table = view.tables["reliability"]
    for name, axis in zip(DEFENSES, kept[0].axes, strict=True):
        own = table[table["defense"] == name]
        (curve,) = [one for one in axis.lines if one.get_label() == name]
        np.testing.assert_array_equal(curve.get_xdata(), own["predicted"])
        np.testing.assert_array_equal(curve.get_ydata(), own["observed"])
        bars = np.array([part[:, 1] for part in axis.collections[0].get_segments()])
        np.testing.assert_allclose(bars, own[["observed_low", "observed_high"]])
        assert axis.get_title().replace("\n", " ") == LABELS[name]
        assert LABELS[name] in picture.shows


def test_net_benefit_is_the_table_beside_that_of_everybody(view, tmp_path, kept):
    picture = decision(view, tmp_path)
    (axis,) = kept[0].axes
    table = view.tables["decision"]
    for name in DEFENSES:
        own = table[table["defense"] == name]
        (curve,) = [one for one in axis.lines if one.get_label() == name]
        drawn = dict(zip(curve.get_xdata(), curve.get_ydata(), strict=True))
        assert drawn
        known = dict(zip(own["threshold"], own["net_benefit"], strict=True))
        assert drawn == {x: known[x] for x in drawn}
    own = table[(table["defense"] == "baseline") & (table["threshold"] == 0.3)].iloc[0]
    assert f"{own['net_benefit']:.3f} (" in picture.shows
    assert f"everybody ill {own['everybody']:.3f}" in picture.shows
