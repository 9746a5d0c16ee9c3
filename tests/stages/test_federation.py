"""The stage `federation`: silent unless it is asked for; then from prepared records to chapters."""

import pytest

from pipeline.data.plan import Plan
from pipeline.data.schema import save_dataset
from pipeline.files import BY_EXPERIMENT, NOT_APPLICABLE, NOT_FOR_IMAGES, read_json
from pipeline.risks.federation.measure.settings import FederationSettings
from pipeline.risks.federation.risk import RISK
from pipeline.risks.results import gaps_of
from pipeline.risks.risk import Context, Sources
from pipeline.stages import ARTIFACTS, PLAN, why_left_out
from pipeline.stages.federation import look_inside
from risks.federation.made_up import settings


def prepare(dataset, cfg):
    place = ARTIFACTS / "prepare"
    place.mkdir(parents=True)
    save_dataset(dataset, place)
    Plan.of(dataset, cfg.plan, cfg.seed).save(place / PLAN)


def test_where_nobody_asks_it_costs_no_work_and_leaves_no_word(tmp_path, monkeypatch, cfg, dataset):
    monkeypatch.chdir(tmp_path)
    assert look_inside(cfg) == "asked for by an experiment of its own"
    assert read_json(ARTIFACTS / "federation" / NOT_APPLICABLE) == {}
    sources = Sources({}, ARTIFACTS)
    assert RISK.tables(sources, Context(dataset, cfg)) == {}
    assert not len(gaps_of(RISK, sources))


@pytest.mark.slow
def test_from_prepared_records_to_two_chapters(tmp_path, monkeypatch, cfg, dataset):
    monkeypatch.chdir(tmp_path)
    own = settings(
        cfg,
        enabled=True,
        sites=5,
        hospitals=[3],
        rounds=3,
        repetitions=1,
        aggregates=["krum"],
        batches=[1, 2],
        local_steps=[1],
        updates=4,
        search=10,
        targets=4,
    )
    prepare(dataset, own)
    assert look_inside(own).startswith("a federation")
    sources, context = Sources({}, ARTIFACTS), Context(dataset, own)
    tables = RISK.tables(sources, context)
    harm = tables["federation_harm"]
    assert set(zip(harm["hospitals"], harm["aggregate"], strict=True)) == {
        (5, "mean"),
        (5, "krum"),
        (3, "mean"),
    }
    gaps = gaps_of(RISK, sources)["what"].tolist()
    assert gaps == ["krum of 3 hospitals, 1 hostile", "krum of 5 hospitals, 2 hostile"]
    assert set(harm["defense"]) == {"federated", "federated_private"}
    assert set(harm.loc[harm["malicious"] == 2, "aggregate"]) == {"mean"}
    assert all(chapter.result for chapter in RISK.chapters(tables, context, tmp_path))


def test_images_are_told_nothing_of_it_unless_somebody_asks(cfg):
    images = cfg.model_copy(update={"data": cfg.data.model_copy(update={"image": object()})})
    assert why_left_out(FederationSettings, images) == BY_EXPERIMENT
    assert why_left_out(FederationSettings, settings(images, enabled=True)) == NOT_FOR_IMAGES
