"""The stage `guard`: from trained models to two chapters."""

import pytest

from pipeline.config import BASELINE
from pipeline.data.plan import Plan
from pipeline.data.schema import save_dataset
from pipeline.defenses.trained import train_reported
from pipeline.files import folder
from pipeline.risks.guard.risk import RISK
from pipeline.risks.risk import Context, Sources
from pipeline.stages import ARTIFACTS, PLAN
from pipeline.stages.guard import guard_all


@pytest.mark.slow
def test_it_puts_a_guard_in_front_of_every_recipe(tmp_path, monkeypatch, cfg, dataset):
    monkeypatch.chdir(tmp_path)
    prepared = ARTIFACTS / "prepare"
    prepared.mkdir(parents=True)
    save_dataset(dataset, prepared)
    plan = Plan.of(dataset, cfg.plan, cfg.seed)
    plan.save(prepared / PLAN)
    for name, stage in ((BASELINE, "train_baseline"), ("adv_train", "adv_train")):
        with folder(ARTIFACTS / stage) as out:
            train_reported(name, dataset, plan, cfg).save(out)
    assert guard_all(cfg) == "2 recipes behind a guard, attacked"
    context = Context(dataset, cfg)
    tables = RISK.tables(Sources({}, ARTIFACTS), context)
    attacks = tables["guard_attacks"]
    assert {*attacks["defense"]} == {"baseline", "adv_train"}
    assert (attacks.loc[attacks["proved_none"], "passed"] == 0).all()
    assert len(tables["guard_membership"])
    assert all(chapter.result for chapter in RISK.chapters(tables, context, tmp_path))
