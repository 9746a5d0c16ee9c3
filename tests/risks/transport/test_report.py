"""Elsewhere and later as people read it: one table side by side, a rule for each sentence."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
import yaml

import parts
from pipeline import params
from pipeline.presentation.numbers import without_few
from pipeline.risks.risk import Context, Sources
from pipeline.risks.transport import pictures
from pipeline.risks.transport.measure.places import PLACES, Places
from pipeline.risks.transport.report import NOT_TESTED, RULE
from pipeline.risks.transport.risk import RISK
from risks.transport.made_up import answers, settings, ward

pytestmark = pytest.mark.heavy
NOT_ASKED = "External validity was not asked"


@pytest.fixture(scope="module")
def written(smoke_text, tmp_path_factory):
    """Maps records, and where a model is bad, to tables and chapter."""
    cfg = params.parse(yaml.safe_load(smoke_text), "conf")

    def write(data, bad=-1):
        root = tmp_path_factory.mktemp("stages")
        (root / "transport").mkdir()
        places, context = Places.of(data, settings()), Context(data, cfg)
        places.save(root / "transport" / PLACES)
        if len(places.asked):
            for name in ("baseline", "adv_train"):
                own = answers(data, places, bad=bad if name == "baseline" else -1)
                own.save(root / "transport" / f"{name}.safetensors")
        drawn = RISK.tables(Sources({}, root), context)
        tables = {name: without_few(one, RISK.parts.get(name, ())) for name, one in drawn.items()}
        (chapter,) = RISK.chapters(tables, context, root)
        return tables, chapter

    return write


@pytest.fixture
def context(cfg):
    return Context(ward(), cfg)


@pytest.fixture(scope="module")
def whole(written):
    return written(ward(), bad=1)


def test_all_that_is_compared_stands_side_by_side(whole):
    first, start, *blocks = parts.tables(whole[1])[:4]
    shown = pd.concat([start, *(block.iloc[:, 2:] for block in blocks)], axis=1)
    wanted = ["cross-validation", "site north", "site south", "site west"]
    wanted += ["mean over sites", "spread between sites", "a further site", "from 225 on"]
    assert shown["asked about"].tolist() == wanted * 2
    figures = ["AUROC", "accuracy", "sensitivity", "specificity", "proved"]
    assert list(shown)[-5:] == figures
    own = shown[shown["defense"] == "baseline"]
    pd.testing.assert_frame_equal(first, own[list(first)])
    assert parts.is_short(whole[1])
    assert parts.bare_numbers(shown[figures]) == []
    assert shown["patients"][:4].tolist() == [
        "300",
        *whole[0]["transport"].iloc[5:20:5]["patients"].map("{:g}".format),
    ]


def test_what_is_concluded_follows_the_verdicts(whole):
    said = parts.items(whole[1])
    assert said["baseline"].startswith("worse than cross-validation says, site south: AUROC -0.")
    assert "not told apart from it: site north, site west, from 225 on" in said["baseline"]
    assert (
        said["adv_train"]
        == "not told apart from it: site north, site south, site west, from 225 on"
    )
    assert RISK.summary(whole[0], None) == (
        "Worse elsewhere or later than cross-validation says: baseline: site south."
    )
    for text in (RULE, NOT_TESTED):
        assert text in parts.notes(whole[1])


def test_differences_stand_beside_what_would_have_shown(whole):
    left, right = parts.tables(whole[1])[-2:]
    shown = left.assign(paired=right["paired"])
    assert len(shown) == 2 * 4 * 5
    first = shown.iloc[0]
    assert "would have shown" in first["conclusion"]
    assert " to " in first["less cross-validation"]
    assert " to " in first["paired"]


def test_the_worst_place_is_told_with_its_patients_and_by_rule(whole, context):
    table = whole[0]["transport"]
    own = table[(table["defense"] == "baseline") & (table["figure"] == "auroc")]
    worst = own[own["tried"] != "cross-validation"].sort_values("value").iloc[0]
    found = RISK.finding(whole[0], context)
    assert found.defense == "baseline"
    assert found.text == whole[1].result
    assert f"worst at {worst['place']}: AUROC {worst['value']:.3f} (" in found.text
    assert f"of {worst['patients']:.0f} patients, {worst['ill']:.0f} of them ill" in found.text
    assert "By rule: worse than cross-validation says" in found.text
    (path,) = parts.pictures(whole[1])
    assert path.stat().st_size < 80_000
    assert found.text.split(" (")[0] in path.read_text()


def test_a_mark_stands_where_the_table_says(whole, context, tmp_path, monkeypatch):
    figures = parts.drawn(monkeypatch, pictures)
    table = whole[0]["transport"]
    places = {str(one): str(one) or "cross-validation" for one in table["place"].unique()}
    pictures.draw(table, places, "", context, tmp_path)
    own = table[(table["defense"] == "adv_train") & (table["figure"] == "auroc")]
    drawn = figures[0].axes[0].containers[1].lines[0].get_xdata()
    assert drawn.tolist() == own["value"].tolist()


def test_what_the_data_set_does_not_name_is_said_not_to_be_tested(written, context):
    tables, chapter = written(replace(ward(), site=None, time=None))
    notes = parts.notes(chapter)
    assert parts.tables(chapter) == []
    assert notes.count(NOT_ASKED) == 2
    assert "data.site" in notes
    assert "data.time" in notes
    assert RISK.summary(tables, None) == ""
    assert RISK.finding(tables, context) is None
    assert len(RISK.untested(tables, context)) == 3
    assert "data.site" in chapter.result
    _, timeless = written(replace(ward(), time=None))
    assert parts.notes(timeless).count(NOT_ASKED) == 1
    assert "from" not in " ".join(parts.tables(timeless)[0]["asked about"])


def test_no_count_below_ten_and_no_name_of_a_small_site_is_told(written):
    data = ward()
    few = torch.arange(300) < 7
    data = replace(data, site=torch.where(few, 1, 2 * (data.site > 0).long()), time=None)
    tables, chapter = written(data)
    shown = parts.tables(chapter)[1]
    shown = shown.assign(AUROC=parts.tables(chapter)[2]["AUROC"])
    cells = parts.cells(shown) + parts.cells(tables["transport"])
    line = shown[shown["asked about"] == "other sites (1)"].iloc[0]
    assert line["patients"] == line["learned from"] == "not told"
    assert line["AUROC"] == "not estimable"
    assert "site south" not in cells
    assert "7" not in cells
    assert "not estimable, other sites (1): fewer than 10" in parts.items(chapter)["baseline"]


def test_nothing_measured_nothing_said(whole, cfg, tmp_path):
    assert RISK.chapters({}, Context(ward(), cfg), tmp_path) == ()
