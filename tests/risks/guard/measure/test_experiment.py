"""Of whom nothing can be proved nothing is measured, and why is said."""

import tiny
from pipeline.files import NOT_APPLICABLE, read_json
from pipeline.risks.guard.measure.experiment import guard_one
from pipeline.risks.risk import Sources
from pipeline.stages.guard import guard_models


def test_what_cannot_be_proved_is_left_out_with_its_reason(cfg, dataset, tmp_path):
    plan = tiny.plan(dataset)
    assert "are proved" in guard_one(object(), dataset, plan, cfg, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    (tmp_path / "guard").mkdir()
    guard_models({"baseline": object()}, dataset, plan, cfg, tmp_path / "guard")
    said = read_json(tmp_path / "guard" / NOT_APPLICABLE)
    assert list(said["guard"]) == ["baseline"]
    assert Sources({}, tmp_path).not_applicable("guard")[0][1] == "baseline"


def test_a_threat_without_a_way_back_is_left_out(cfg, dataset, tmp_path):
    plan = tiny.plan(dataset)
    name = cfg.audit.headline
    threats = {**cfg.threat, name: cfg.threat[name].model_copy(update={"withhold": 1.0})}
    oneway = cfg.model_copy(update={"threat": threats})
    models = tiny.untrained(plan, dataset)
    assert "left out" in guard_one(models, dataset, plan, oneway, tmp_path / "x")
