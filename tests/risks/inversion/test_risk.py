"""Inversion as one figure and as metrics: what undefended models tell most about."""

import pandas as pd
import pytest

import handwritten
from pipeline.files import BadInput
from pipeline.risks.inversion.risk import READ_OFF, RISK
from pipeline.risks.inversion.tables import image_tables
from pipeline.risks.risk import Context
from pipeline.standards import RISKS as NAMED
from risks.inversion.made_up import SCANS, seen

TOLD = pd.DataFrame(
    {
        "defense": ["baseline"] * 2 + ["hard"] * 2,
        "attribute": ["age", "glucose"] * 2,
        "attacker": "learned",
        "diagnosis": "known",
        "access": "scores",
        "group": "members",
        "patients": 40,
        "victims": 8,
        "knowledge": "black box, all other measurements",
        "uplift": [3.0, 16.0, 5.0, 18.0],
        "share": [0.5, 0.8, 0.83, 0.9],
    }
)
MORE = TOLD.assign(group="difference", uplift=[0.6, 0.2, 0.3, 0.4], share=[0.1, 0.01, 0.05, 0.02])
GUESSES = pd.concat([TOLD, MORE], ignore_index=True)
GUESSES = GUESSES.assign(share_low=GUESSES["share"] - 0.01, share_high=GUESSES["share"] + 0.03)


def test_the_figure_is_members_less_others_of_what_the_first_defense_tells_most(cfg):
    (figure,) = RISK.headline({"inversion": GUESSES}, cfg)
    assert "glucose" in figure.figure
    assert "members less others" in figure.figure
    assert figure.good == "zero"
    assert figure.table.loc["baseline"].tolist() == pytest.approx([0.01, 0.0, 0.04])
    assert figure.table.loc["hard", "value"] == pytest.approx(0.02)
    assert figure.among == "40 patients"
    assert figure.threat == (
        "guess glucose; knows black box, all other measurements, and the diagnosis; one score of "
        "each patient, 8 models"
    )


def test_reading_a_score_back_speaks_against_nobody(cfg):
    told_most = GUESSES.assign(
        share=GUESSES["share"].where(GUESSES["group"] == "difference", GUESSES["share"] + 0.05)
    )
    (figure,), (same,) = (RISK.headline({"inversion": one}, cfg) for one in (GUESSES, told_most))
    assert same.table.equals(figure.table)


def test_only_the_attacker_who_learns_sees_scores_and_knows_the_diagnosis_heads(cfg):
    others = [("attacker", "posterior"), ("diagnosis", "unknown"), ("access", "labels")]
    stronger = [GUESSES.assign(**{column: value}, share=0.95) for column, value in others]
    (figure,) = RISK.headline({"inversion": pd.concat([*stronger, GUESSES])}, cfg)
    assert figure.table.loc["baseline", "value"] == pytest.approx(0.01)


def test_where_nobody_could_be_asked_the_other_measurement_heads(cfg):
    nobody = GUESSES["share"].where(GUESSES["attribute"] == "age")
    (figure,) = RISK.headline({"inversion": GUESSES.assign(share=nobody)}, cfg)
    assert "age" in figure.figure


def test_nothing_asked_no_figure(cfg):
    assert list(RISK.headline({"inversion": GUESSES.iloc[:0]}, cfg)) == []
    assert list(RISK.headline({}, cfg)) == []
    assert RISK.metrics({}, cfg) == {}


def test_the_metric_is_the_headline_of_each_defense_whatever_it_is_of(cfg):
    found = RISK.metrics({"inversion": GUESSES}, cfg)
    assert found == {
        "baseline": {"attribute_inference_member_gap": 0.01},
        "hard": {"attribute_inference_member_gap": 0.02},
    }
    nobody = GUESSES["share"].where(GUESSES["defense"] == "baseline")
    assert list(RISK.metrics({"inversion": GUESSES.assign(share=nobody)}, cfg)) == ["baseline"]


def test_more_victims_than_models_is_one_line(cfg):
    numbers = cfg.inversion.model_copy(update={"victims": 9})
    with pytest.raises(
        BadInput, match=r"^conf: inversion\.victims: 9 is more than membership\.targets 8"
    ):
        RISK.check(cfg.model_copy(update={"inversion": numbers}), "conf")


@pytest.fixture(scope="module")
def of_images():
    cfg = handwritten.configured()
    return cfg, image_tables({"baseline": seen(), "other": seen()}, Context(SCANS, cfg))


def test_of_images_each_attacker_has_a_figure_with_pairs(of_images):
    cfg, tables = of_images
    figures = RISK.headline(tables, cfg)
    assert len(figures) == len(READ_OFF)
    for figure, source in zip(figures, READ_OFF, strict=True):
        own = tables["image_told"].set_index("source").loc["plain" if source == "sent" else source]
        assert figure.table["value"].tolist() == own["more"].tolist()
        assert figure.good == "low"
        assert figure.pairs["defense"].tolist() == ["other"]
    assert [figure.among for figure in figures] == ["4 images", "4 images", "3 images"]
    assert "2 networks" in figures[0].threat


def test_an_attacker_who_was_not_tried_has_no_figure(of_images):
    cfg, tables = of_images
    table = tables["image_told"]
    fewer = {**tables, "image_told": table[table["source"] != "private"]}
    assert len(RISK.headline(fewer, cfg)) == 2


def test_the_metrics_of_images_are_their_headlines_and_columns_of_mlflow(of_images):
    cfg, tables = of_images
    found = RISK.metrics(tables, cfg)
    names = [name for _, name, _ in READ_OFF.values()]
    assert list(found) == ["baseline", "other"]
    assert sorted(found["other"]) == sorted(names)
    values = tables["image_told"].set_index(["defense", "source"])["more"]
    assert found["other"]["update_inversion_gain"] == values["other", "plain"]
    assert set(RISK.shown(cfg)) < set(names)


def test_records_show_no_column_of_images(cfg):
    assert RISK.shown(cfg) == ()


def test_catalogues_have_a_row_once_whichever_kind_of_data_it_is():
    of = {one.id: one for one in RISK.evidence() if one.table == "image_told"}
    others = [one.id for one in RISK.evidence() if one.table != "image_told"]
    assert len(of) + len(others) == len(RISK.evidence())
    assert len(others) == len(set(others))
    standards = NAMED["inversion"]
    assert {*standards.atlas, *standards.nist, *standards.owasp} <= set(of)
