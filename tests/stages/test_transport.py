"""The stage `transport`: from prepared records to a chapter, or to a word of why not."""

from dataclasses import replace

import pytest
import torch

import clinic
import mixed
import parts
from pipeline.data.plan import Plan
from pipeline.data.schema import save_dataset
from pipeline.risks.risk import Context, Sources
from pipeline.risks.transport.measure.settings import TransportSettings
from pipeline.risks.transport.risk import RISK
from pipeline.stages import ARTIFACTS, PLAN
from pipeline.stages.transport import ask_everywhere

pytestmark = pytest.mark.heavy


@pytest.fixture
def cfg(values):
    """A clinic with columns of every kind."""
    cfg = clinic.configuration(values, ("baseline", "adv_train"))
    features = dict(mixed.FEATURES)
    return cfg.model_copy(update={"data": cfg.data.model_copy(update={"features": features})})


@pytest.fixture
def run(tmp_path, monkeypatch, cfg):
    """Maps records to what the stage made of them: its files, and its chapter."""
    monkeypatch.chdir(tmp_path)

    def stage(data):
        prepared = ARTIFACTS / "prepare"
        prepared.mkdir(parents=True)
        save_dataset(data, prepared)
        Plan.of(data, cfg.plan, cfg.seed).save(prepared / PLAN)
        ask_everywhere(cfg)
        context = Context(data, cfg)
        tables = RISK.tables(Sources({}, ARTIFACTS), context)
        (chapter,) = RISK.chapters(tables, context, tmp_path)
        return sorted(path.name for path in (ARTIFACTS / "transport").iterdir()), tables, chapter

    return stage


def visits(n=180):
    """Two visits each of 90 patients, at three wards, the second a year after the first."""
    data = mixed.records(n, seed=1)
    patient = torch.arange(n) % (n // 2)
    drawn = torch.Generator().manual_seed(0)
    ward = torch.randint(0, 3, (n // 2,), generator=drawn)[patient]
    day = 19_000 + torch.arange(n).double() % (n // 2) + 365 * (torch.arange(n) >= n // 2)
    first = torch.rand(n // 2, generator=drawn) < 0.6  # the others come in the second year alone
    kept = first[patient] | (torch.arange(n) >= n // 2)
    schema = replace(data.schema, sites=("A 1", "B/2", "C"))
    whole = {"patient": patient, "together": patient, "site": ward, "time": day}
    return replace(
        data,
        x=data.x[kept],
        y=data.y[kept],
        schema=schema,
        **{name: one[kept] for name, one in whole.items()},
    )


def test_from_prepared_records_to_a_chapter(run, cfg):
    files, tables, chapter = run(visits())
    assert files == ["adv_train.safetensors", "baseline.safetensors", "places.safetensors"]
    table = tables["transport"]
    assert table["defense"].unique().tolist() == ["baseline", "adv_train"]
    later = table[table["tried"] == "later"]
    assert set(later["place"]) != {""}
    sites = table.loc[table["tried"] == "site", "place"].unique().tolist()
    assert sites == ["site A 1", "site B/2", "site C"]
    assert (table.loc[table["figure"] == "auroc", "value"].notna()).any()
    asked = [one["asked about"].tolist() for one in parts.tables(chapter) if "asked about" in one]
    assert asked[0].count("cross-validation") == 1  # the undefended models stand open
    assert max(one.count("cross-validation") for one in asked) >= 2
    assert list(tables) == ["transport", "transport_spread"]
    values = table["value"].dropna()
    assert values.between(0, 1).all()
    assert RISK.metrics(tables, cfg)["baseline"]["auroc_other_sites"] > 0


def test_without_sites_and_dates_nothing_is_trained(run, cfg, monkeypatch):
    from pipeline.risks.transport.measure import answers

    monkeypatch.setattr(answers, "train_reported", None)  # whoever calls it fails
    files, tables, chapter = run(mixed.records(120, seed=2))
    assert files == ["places.safetensors"]
    assert list(tables) == ["transport_not_tested"]
    assert parts.notes(chapter).count("External validity was not asked") == 2
    assert RISK.headline(tables, cfg) == []
    assert RISK.metrics(tables, cfg) == {}


def test_sites_that_are_all_too_small_end_in_words(run):
    data = mixed.records(120, seed=2)
    site = torch.arange(120) % 40
    names = tuple(f"practice {place}" for place in range(40))
    data = replace(data, site=site, schema=replace(data.schema, sites=names))
    files, tables, chapter = run(data)
    assert files == ["places.safetensors"]
    assert set(tables["transport"]["verdict"]) == {"not estimable"}
    assert "not estimable, other sites (40)" in parts.items(chapter)["baseline"]


def test_without_recipes_nothing_is_read_and_nothing_measured(tmp_path, monkeypatch, cfg):
    monkeypatch.chdir(tmp_path)
    section = cfg.section(TransportSettings)
    assert not section.unasked
    nothing = cfg.model_copy(update={"transport": section.model_copy(update={"recipes": []})})
    said = "not asked for: transport.recipes is empty"
    assert ask_everywhere(nothing) == said
    assert Sources({}, ARTIFACTS).not_applicable("transport") == [("every recipe", "", said)]
