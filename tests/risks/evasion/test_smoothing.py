"""The table of counted votes is what its rows say, and a vote for everybody is called that."""

import pytest
import torch
from scipy.stats import norm

from pipeline.presentation.chapter import Note, Table
from pipeline.risks.evasion.chapters import smoothing as chapters
from pipeline.risks.evasion.measure.smoothing import Smoothing
from pipeline.risks.evasion.smoothing import smoothing_table
from pipeline.risks.evasion.view import View
from pipeline.statistics.intervals import Sampling
from pipeline.verify.smoothing import radius

DRAWN = Sampling(resamples=200, confidence=0.95, seed=0)
SIGMA, DRAWS, ALPHA, SPAN, PIXELS = 64.0, 1000, 0.001, 255.0, [0.0, 1.0, 8.0]


def made_up(patients=80):
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(patients) % 2
    wrong = torch.rand(2, patients, generator=drawn) < 0.2
    hits = torch.randint(400, DRAWS + 1, (2, patients), generator=drawn)
    return Smoothing(SIGMA, DRAWS, ALPHA, 784, y, torch.where(wrong, 1 - y, y), hits)


def constant(patients=80):
    y = torch.arange(patients) % 2
    ill = torch.ones(2, patients, dtype=torch.int64)
    return Smoothing(SIGMA, DRAWS, ALPHA, 784, y, ill, ill * DRAWS)


def table(**found):
    return smoothing_table(found, PIXELS, SPAN, DRAWN)


def test_every_figure_is_the_share_that_it_is_called():
    one = made_up()
    lines = table(smoothed=one)
    shown = radius(one.hits.flatten(), DRAWS, SIGMA, ALPHA).view(2, -1)
    right = one.selected == one.y
    for _, line in lines.iterrows():
        at = line["radius"]
        holds = right & ((shown > at) if at else (shown >= 0))
        assert line["certified_accuracy"] == pytest.approx(float(holds.double().mean()))
        missed = ~holds[:, one.y == 1]
        assert line["missed_diagnosis_rate"] == pytest.approx(float(missed.double().mean()))
        assert line["abstained"] == pytest.approx(float((shown < 0).double().mean()))
        assert line["together"] <= line["certified_accuracy"]
        assert line["certified_accuracy_low"] <= line["certified_accuracy"] + 1e-12
    assert lines["certified_accuracy"].is_monotonic_decreasing
    assert lines["together"].iloc[0] < lines["certified_accuracy"].iloc[0]


def test_radii_are_quarters_of_the_range_that_can_be_shown_and_balls_of_the_other_threat():
    lines = table(smoothed=made_up())
    assert lines["radius"].tolist() == [0.0, 28.0, SPAN / 4, SPAN / 2, 8 * 28.0]
    assert lines["every_pixel"].tolist() == pytest.approx([0, 1, SPAN / 4 / 28, SPAN / 2 / 28, 8])
    reach = SIGMA * norm.ppf(ALPHA ** (1 / DRAWS))
    assert lines["reach"].iloc[0] == pytest.approx(reach)
    assert lines["certified_accuracy"].iloc[-1] == 0  # 224 lies beyond it


def test_a_vote_for_everybody_is_certified_at_every_radius_and_called_degenerate():
    lines = table(smoothed=made_up(), everybody=constant())
    own = lines[lines["defense"] == "everybody"]
    assert (own.loc[own["radius"] < own["reach"], "certified_accuracy"] == 0.5).all()
    assert own["degenerate"].all()
    assert not lines.loc[lines["defense"] == "smoothed", "degenerate"].any()


def view(lines):
    shown = View.__new__(View)
    names = list(lines["defense"].unique())
    vars(shown).update(
        tables={"smoothing": lines}, shown=dict(zip(names, names, strict=True)), sample=""
    )
    return shown


def test_the_chapter_says_whose_the_radii_are_and_warns_of_a_vote_for_everybody():
    written = chapters.chapter(view(table(smoothed=made_up(), everybody=constant())))
    notes = " ".join(part.text for part in written.parts if isinstance(part, Note))
    assert "everybody" in notes
    assert "none of its figures is one of that majority" in notes
    (shown,) = (part for part in written.parts if isinstance(part, Table))
    assert len(shown.table) == 10
    calm = chapters.chapter(view(table(smoothed=made_up())))
    assert "Degenerate" not in " ".join(p.text for p in calm.parts if isinstance(p, Note))


def test_without_a_smoothed_defense_there_is_no_chapter():
    assert chapters.chapter(view(table())) is None
