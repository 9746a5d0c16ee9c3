"""The stage `forgery`: from prepared scans to tables; of records not a word, and no work."""

import sys

import pytest

import handwritten
import tiny
from pipeline.data.schema import save_dataset
from pipeline.defenses.trained import train
from pipeline.files import NOT_APPLICABLE, read_json, write_json
from pipeline.risks.forgery.risk import RISK
from pipeline.risks.results import gaps_of
from pipeline.risks.risk import Context, Sources
from pipeline.stages import ARTIFACTS, PLAN
from pipeline.stages.forgery import forge_and_look

pytestmark = pytest.mark.heavy


def prepare(data, plan, **report):
    place = ARTIFACTS / "prepare"
    place.mkdir(parents=True)
    save_dataset(data, place)
    plan.save(place / PLAN)
    write_json(place / "report.json", report)


@pytest.mark.slow
def test_from_prepared_scans_to_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = handwritten.configured(
        "forgery.steps=2", "forgery.recipes=[baseline]", "train.epochs=1", "defense=[baseline]"
    )
    data = handwritten.pictures(cfg)
    plan = handwritten.halves(data)
    prepare(data, plan, provenance={"state": "not checked"})
    population = train("baseline", data, plan, cfg)
    (ARTIFACTS / "train_baseline").mkdir()
    population.save(ARTIFACTS / "train_baseline")
    assert forge_and_look(cfg) == "1797 scans forged in 5 ways"
    names = sorted(path.name for path in (ARTIFACTS / "forgery").iterdir())
    assert names == ["baseline.safetensors", "scans.safetensors"]
    tables = RISK.tables(Sources({}, ARTIFACTS), Context(data, cfg))
    assert len(tables["forgery"]) == 17
    assert len(tables["forgery_answers"]) == 6


def test_records_cost_no_work_and_leave_no_row(tmp_path, monkeypatch, cfg):
    monkeypatch.chdir(tmp_path)
    data = tiny.records(40, seed=0)
    prepare(data, tiny.plan(data))
    for name in [name for name in sys.modules if "risks.forgery.measure." in name]:
        if not name.endswith("settings"):
            monkeypatch.delitem(sys.modules, name)
    assert forge_and_look(cfg) == "for images alone"
    assert "pipeline.risks.forgery.measure.forged" not in sys.modules
    assert read_json(ARTIFACTS / "forgery" / NOT_APPLICABLE) == {}
    sources = Sources({}, ARTIFACTS)
    assert RISK.tables(sources, Context(data, cfg)) == {}
    assert not len(gaps_of(RISK, sources))
