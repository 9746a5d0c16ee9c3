"""The guard as a risk: names are checked, tables explained, few figures logged."""

import pytest

import parts
from pipeline.files import BadInput
from pipeline.risks.guard.measure.experiment import PASSED, TAKEN
from pipeline.risks.guard.measure.settings import GuardSettings
from pipeline.risks.guard.risk import RISK
from pipeline.risks.guard.tables import COLUMNS
from pipeline.risks.risk import Context, Sources
from risks.guard import made_up


@pytest.fixture
def tables(tmp_path, cfg, dataset):
    for seed, name in enumerate(("baseline", "adv_train")):
        place = tmp_path / "guard" / name
        place.mkdir(parents=True)
        made_up.passed(120, seed=seed).save(place / PASSED)
        made_up.taken(120, seed=seed).save(place / TAKEN)
    return RISK.tables(Sources({}, tmp_path), Context(dataset, cfg))


def test_without_its_stage_there_is_no_table_and_no_figure(tmp_path, cfg, dataset):
    assert RISK.tables(Sources({}), None) == {}
    (tmp_path / "guard" / "baseline").mkdir(parents=True)  # nothing was proved of it
    assert RISK.tables(Sources({}, tmp_path), Context(dataset, cfg)) == {}
    for none in (RISK.metrics, RISK.trades, RISK.headline):
        assert not none({}, cfg)
    assert not RISK.curves({}, "baseline", cfg)


def test_every_column_is_explained_and_none_that_is_not_there(tables):
    assert list(tables) == list(COLUMNS)
    assert parts.unlike_its_explanation(RISK, tables, ()) == {}


def test_few_figures_are_compared_between_runs_at_the_configured_radius(tables, cfg):
    found, r = RISK.metrics(tables, cfg), cfg.section(GuardSettings).r
    assert set(found) == {"baseline", "adv_train"}
    for name, figures in found.items():
        own = tables["guard_price"]
        line = own[(own["defense"] == name) & (own["by"] == "") & (own["r"] == r)].iloc[0]
        assert figures["guard_referred"] == line["referred"]
        assert set(RISK.shown(cfg)) < set(figures)
    (trade,) = RISK.trades(tables, cfg)
    assert list(trade.kept.table.index) == list(trade.bought.table.index)
    steps = [(one.name, one.step) for one in RISK.curves(tables, "baseline", cfg)]
    assert steps == [("guard.passed", 1), ("guard.passed", 2)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipes": ["adv_trian"]}, "conf: guard.recipes: 'adv_trian' is no defense"),
        ({"budgets": [10, 5]}, "conf: guard.budgets: must rise"),
        ({"reach": [2.0, 1.0]}, "conf: guard.reach: must rise"),
    ],
)
def test_what_does_not_fit_is_one_line(cfg, changes, said):
    own = cfg.section(GuardSettings).model_copy(update=changes)
    with pytest.raises(BadInput, match=said):
        RISK.check(cfg.model_copy(update={"guard": own}), "conf")
