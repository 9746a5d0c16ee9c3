"""A risk that nobody asks for leaves a word of why, and no results."""

import pytest

import kinds
from pipeline.data.plan import Plan
from pipeline.data.schema import save_dataset
from pipeline.risks.forgery.risk import RISK as FORGERY
from pipeline.risks.frontier.risk import RISK as FRONTIER
from pipeline.risks.poisoning.risk import RISK as POISONING
from pipeline.risks.risk import Sources
from pipeline.risks.theft.risk import RISK as THEFT
from pipeline.stages import ARTIFACTS, PLAN
from pipeline.stages.forgery import forge_and_look
from pipeline.stages.frontier import vary_epsilon
from pipeline.stages.poisoning import harm_and_filter
from pipeline.stages.theft import steal_all

ASKED = [
    (FRONTIER, "epsilons", vary_epsilon),
    (POISONING, "recipes", harm_and_filter),
    (THEFT, "recipes", steal_all),
    (FORGERY, "recipes", forge_and_look),
]


@pytest.mark.parametrize(("risk", "key", "stage"), ASKED, ids=[one[0].name for one in ASKED])
def test_an_empty_list_is_a_risk_that_is_not_measured(tmp_path, monkeypatch, cfg, risk, key, stage):
    monkeypatch.chdir(tmp_path)
    dataset = kinds.scans(60, seed=0)
    (ARTIFACTS / "prepare").mkdir(parents=True)
    save_dataset(dataset, ARTIFACTS / "prepare")
    Plan.of(dataset, cfg.plan, cfg.seed).save(ARTIFACTS / "prepare" / PLAN)
    section = cfg.sections[risk.name]
    assert not section.unasked
    nothing = cfg.model_copy(update={risk.name: section.model_copy(update={key: []})})
    said = f"not asked for: {risk.name}.{key} is empty"
    assert stage(nothing) == said
    sources = Sources({}, ARTIFACTS)
    assert sources.stage(risk.name) is None
    assert sources.not_applicable(risk.name) == [("every recipe", "", said)]
    risk.check(nothing, "conf")
