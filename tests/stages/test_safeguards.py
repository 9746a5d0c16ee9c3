"""The stage `safeguards`: from trained models to a chapter, or to a word of why not."""

import pytest

from pipeline.config import BASELINE
from pipeline.data.plan import Plan
from pipeline.data.schema import save_dataset
from pipeline.defenses.trained import train_reported
from pipeline.files import folder
from pipeline.risks.risk import Context, Sources
from pipeline.risks.safeguards.measure.settings import SafeguardsSettings
from pipeline.risks.safeguards.risk import RISK
from pipeline.stages import ARTIFACTS, PLAN
from pipeline.stages.safeguards import safeguard

pytestmark = pytest.mark.heavy


@pytest.fixture
def ready(tmp_path, monkeypatch, cfg, dataset):
    """A folder in which everything is there that the stage reads."""
    monkeypatch.chdir(tmp_path)
    prepared = ARTIFACTS / "prepare"
    prepared.mkdir(parents=True)
    save_dataset(dataset, prepared)
    plan = Plan.of(dataset, cfg.plan, cfg.seed)
    plan.save(prepared / PLAN)
    for name, stage in ((BASELINE, "train_baseline"), ("adv_train", "adv_train")):
        with folder(ARTIFACTS / stage) as out:
            train_reported(name, dataset, plan, cfg).save(out)
    return cfg


def test_it_measures_sanitisers_rules_and_the_recipe_beside(ready, dataset, tmp_path):
    safeguard(ready)
    context = Context(dataset, ready)
    tables = RISK.tables(Sources({}, ARTIFACTS), context)
    table = tables["sanitised"]
    assert {*table["safeguard"]} == {"none", "rounding", "coarse", "jitter"}  # none of images
    assert {*table["defense"]} == {"baseline", "adv_train"}
    rules = {*tables["referred"]["rule"]}
    assert rules == {"margin", "ensemble", "disagreement", "Laplace", "conformal", "proved radius"}
    assert all(chapter.result for chapter in RISK.chapters(tables, context, tmp_path))


def test_switched_off_it_says_so_and_reads_nothing(cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = cfg.section(SafeguardsSettings).model_copy(update={"enabled": False})
    assert safeguard(cfg.model_copy(update={"safeguards": own})) == "safeguards.enabled is false"
    assert RISK.tables(Sources({}, ARTIFACTS), None) == {}
