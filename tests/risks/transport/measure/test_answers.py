"""Models trained beside places: none scores whom it knows, cuts are chosen within, faults show."""

from dataclasses import replace

import pytest
import torch

import clinic
import tiny
from pipeline.data.plan import Plan
from pipeline.defenses.trained import train_reported
from pipeline.models.answers import disease_score
from pipeline.models.out_of_fold import cuts_out_of_fold, margins_out_of_fold
from pipeline.risks.transport.measure import answers as module
from pipeline.risks.transport.measure.answers import Answers, ask_elsewhere
from pipeline.risks.transport.measure.places import Places
from pipeline.risks.transport.measure.settings import TransportSettings
from pipeline.risks.transport.tables import Tried, names_of, transport_table
from risks.transport.made_up import settings, ward

pytestmark = pytest.mark.heavy


@pytest.fixture
def small(values):
    """Two repetitions of three folds, a recipe that learns in a moment."""
    cfg = clinic.configuration(values, ("baseline", "logistic"))
    transport = cfg.section(TransportSettings).model_copy(update={"repetitions": 2, "sites": 9})
    return cfg.model_copy(update={"transport": transport})


def asked(data, cfg, name="logistic"):
    plan = Plan.of(data, cfg.plan, cfg.seed)
    places = Places.of(data, cfg.section(TransportSettings))
    return places, ask_elsewhere(name, data, plan, places, cfg)


def test_each_place_is_scored_where_it_is_asked_about_and_nowhere_else(small, tmp_path):
    data = ward(n=150)
    places, found = asked(data, small)
    assert found.margin.shape == found.score.shape == (5, 2, 150)
    assert not found.margin[0].isnan().any()
    for row, place in enumerate(found.place.tolist()):
        known = ~found.margin[1 + row].isnan()
        assert torch.equal(known, places.asked[place].expand(2, -1))
        assert torch.equal(found.tried[1 + row], places.asked[place])
    right = found.margin[:, 0] > 0
    assert not (found.proved & ~right).any()
    assert found.proved.any()
    found.save(tmp_path / "answers.safetensors")
    again = Answers.load(tmp_path / "answers.safetensors")
    assert torch.equal(again.score.nan_to_num(9), found.score.nan_to_num(9))
    assert again.radius == small.headline_radius == 0.1


def test_the_cross_validation_is_the_one_that_is_reported(small):
    data = ward(n=150)
    _, found = asked(data, small)
    plan = Plan.of(data, small.plan, small.seed)
    folds = plan.select(plan.repetition >= 0)
    population = train_reported("logistic", data, folds, small)
    margins, y = margins_out_of_fold(population, data, folds)
    assert torch.equal(found.margin[0], margins[0])
    score = disease_score(
        margins[0].numpy(), y.numpy(), cuts_out_of_fold(population, folds).numpy()
    )
    assert torch.allclose(found.score[0], torch.from_numpy(score))


def test_nobody_who_is_asked_about_changes_what_is_learned(small, monkeypatch):
    """Records and diagnoses of a site are made up anew: its models, and their cuts, stay."""
    data = ward(n=150)
    places = Places.of(data, settings())
    there = places.asked[0]
    other = tiny.records(150, seed=99)
    forged = replace(
        data,
        x=torch.where(there[:, None], other.x, data.x),
        y=torch.where(there, 1 - data.y, data.y),
    )
    trained = []

    def watched(name, dataset, plan, cfg, nested=None):
        trained.append(train_reported(name, dataset, plan, cfg, nested))
        return trained[-1]

    monkeypatch.setattr(module, "train_reported", watched)
    plan = Plan.of(data, small.plan, small.seed)
    for one in (data, forged):
        ask_elsewhere("logistic", one, plan, places, small)
    before, after = (one.select(torch.tensor([0, 1])) for one in (trained[0], trained[2]))
    assert before.labels == ("place0-seed0", "place0-seed1")
    for name, weights in before.parameters.items():
        assert torch.equal(weights, after.parameters[name]), name
    assert torch.equal(before.cut, after.cut)
    others = [one.select(torch.tensor([2])) for one in (trained[0], trained[2])]
    assert not torch.equal(others[0].parameters["weight0"], others[1].parameters["weight0"])


def test_a_site_whose_outcome_is_turned_round_is_named_worse_and_no_other(small):
    """It is a sixth of the cohort: of more the models of the others would learn much."""
    data = ward(n=360, seed=4)
    site = torch.where(torch.arange(360) % 2 == 0, data.site, 2 * (data.site > 0))
    turned = torch.where(site == 1, 1 - data.y, data.y)
    data = replace(data, y=turned, site=site, time=None)
    places, found = asked(data, small)
    tried = Tried(places, names_of(places, data, settings()), data)
    table = transport_table({"logistic": found}, tried, tiny.sampling(small.audit))
    worse = table[table["verdict"] == "worse"]
    assert set(worse["place"]) == {"site south"}
    assert "auroc" in set(worse["figure"])
    assert (worse.loc[worse["figure"] == "auroc", "value_high"] < 0.5).all()


def test_a_site_that_measures_otherwise_is_named_worse(small):
    """Every glucose of one site is written 60 too high: there the healthy are called ill."""
    data = ward(n=300, seed=4)
    x = data.x.clone()
    x[data.site == 2, 0] += 60
    shifted = replace(data, x=x, time=None)
    places, found = asked(shifted, small)
    tried = Tried(places, names_of(places, shifted, settings()), shifted)
    table = transport_table({"logistic": found}, tried, tiny.sampling(small.audit))
    worse = table[table["verdict"] == "worse"]
    assert ("site west", "specificity") in set(zip(worse["place"], worse["figure"], strict=True))
    assert set(worse["place"]) == {"site west"}


def test_patients_set_aside_choose_the_cut_where_the_plan_has_some(small):
    data = ward(n=150)
    tuned = small.model_copy(update={"plan": small.plan.model_copy(update={"tune": 0.2})})
    places, found = asked(data, tuned)
    assert torch.equal(~found.margin[1:, 0].isnan(), places.asked[found.place])
    again = asked(data, tuned)[1]
    assert torch.equal(found.score.nan_to_num(9), again.score.nan_to_num(9))


def test_who_is_not_sampled_by_the_audit_is_not_proved(small):
    data = ward(n=150)
    audit = small.audit.model_copy(update={"sample": 60})
    _, found = asked(data, small.model_copy(update={"audit": audit}))
    assert 55 <= found.tried[0].sum() <= 65
    assert not (found.tried[1:] & ~found.tried[0]).any()
    assert not (found.proved & ~found.tried).any()
