"""Safeguards as a risk: names are checked, tables explained, two figures logged."""

import pytest

import parts
from pipeline.files import NOT_APPLICABLE, BadInput, write_json
from pipeline.risks.risk import Context, Sources
from pipeline.risks.safeguards.measure.experiment import FILES
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.risks.safeguards.risk import RISK
from risks.safeguards import made_up


@pytest.fixture
def measured(tmp_path):
    """The folder of a stage that measured something."""
    place = tmp_path / "safeguards"
    place.mkdir()
    made_up.margins(60).save(place / FILES["sanitised"])
    made_up.referrals(60).save(place / FILES["referred"])
    made_up.sets(60).save(place / FILES["covered"])
    return tmp_path


def changed(cfg, **changes):
    own = cfg.section(SafeguardsSettings)
    return cfg.model_copy(update={"safeguards": own.model_copy(update=changes)})


def test_without_its_stage_there_is_no_table(tmp_path):
    assert RISK.tables(Sources({}, tmp_path), None) == {}
    assert RISK.tables(Sources({}), None) == {}


def test_what_is_switched_off_has_no_table_but_says_so(tmp_path):
    (tmp_path / "safeguards").mkdir()
    why = {"safeguards": {"": "safeguards.enabled is false"}}
    write_json(tmp_path / "safeguards" / NOT_APPLICABLE, why)
    sources = Sources({}, tmp_path)
    assert RISK.tables(sources, None) == {}
    assert sources.not_applicable("safeguards")[0][2] == "safeguards.enabled is false"


def test_every_column_is_explained_and_none_that_is_not_there(cfg, dataset, measured):
    tables = RISK.tables(Sources({}, measured), Context(dataset, cfg))
    assert list(tables) == ["sanitised", "referred", "conformal_sets", "safeguard_verdicts"]
    assert parts.unlike_its_explanation(RISK, tables, ()) == {}


def test_two_figures_are_compared_between_runs(cfg, dataset, measured):
    tables = RISK.tables(Sources({}, measured), Context(dataset, cfg))
    found = RISK.metrics(tables, cfg)["baseline"]
    table = tables["sanitised"]
    at = table[(table["attacker"] == "adaptive") & (table["safeguard"] == "help")]
    assert found["robust_accuracy_sanitised"] in set(at["accuracy"])
    assert found["errors_not_referred"] in set(tables["referred"]["undetected"])
    assert RISK.metrics({}, cfg) == {}


def test_it_is_no_line_of_the_overview(cfg):
    assert list(RISK.headline({}, cfg)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"beside": ["adv_trian"]}, "conf: safeguards.beside: 'adv_trian' is no defense"),
        ({"sanitisers": {"a": {"method": "b"}}}, "conf: safeguards.sanitisers.a.method"),
        ({"sanitisers": {"a": {"method": "bits"}}}, "conf: safeguards.sanitisers.a.bits: missing"),
    ],
)
def test_a_name_that_nobody_knows_is_one_line(cfg, changes, said):
    with pytest.raises(BadInput, match=said):
        RISK.check(changed(cfg, **changes), "conf")
