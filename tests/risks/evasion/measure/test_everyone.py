"""Beside a sample everybody is attacked: as the whole examination would."""

import pytest

import tiny
from pipeline.defenses.trained import train
from pipeline.risks.evasion.everyone import everyone_table
from pipeline.risks.evasion.measure.everyone import Everyone, attack_everyone
from pipeline.risks.evasion.measure.examination import examine
from pipeline.statistics.intervals import Sampling

pytestmark = pytest.mark.heavy

DRAWN = Sampling(resamples=100, confidence=0.95, seed=0)


def test_beside_a_sample_everybody_is_attacked_with_one_step_and_with_many(cfg, tmp_path):
    data = tiny.records(90, seed=1)
    plan = tiny.plan(data, folds=3, seeds=2, release=True)
    population = train("baseline", data, plan, cfg)
    assert attack_everyone(population, data, plan, cfg) is None
    few = cfg.model_copy(update={"audit": cfg.audit.model_copy(update={"sample": 30})})
    found = attack_everyone(population, data, plan, few)
    found.save(tmp_path / "x")
    found = Everyone.load(tmp_path / "x")
    table = everyone_table({"baseline": found}, DRAWN).set_index("attack")
    assert list(table.index) == ["none", "fgsm", "pgd_margin", "any of them"]
    assert (table["patients"] == 90).all()
    chosen = {"threat": {"clinical": cfg.threat["clinical"]}}
    whole, _ = examine(population, data, plan, cfg.model_copy(update=chosen))
    at = whole.margins["clinical"].nearest(found.eps)
    for name in ("fgsm", "pgd_margin"):
        expected = whole.margins["clinical"].by_attack[name]
        assert table.loc["none", "accuracy"] == pytest.approx((expected[0] > 0).mean())
        left = (expected[at] > 0).mean()
        assert table.loc[name, "accuracy"] == pytest.approx(left, abs=0.02)
        assert table.loc["any of them", "accuracy"] <= table.loc[name, "accuracy"]
