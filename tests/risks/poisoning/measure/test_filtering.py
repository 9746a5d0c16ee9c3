"""A perfect filter mends, an idle one changes nothing, drops are counted record by record."""

import math
from dataclasses import replace

import pytest
import torch
import yaml

import handwritten
import tiny
from pipeline import params
from pipeline.defenses.trained import train
from pipeline.files import NOT_FOR_IMAGES, BadInput
from pipeline.risks.poisoning.measure.filtering import (
    FIELDS,
    Filtered,
    filter_poison,
    filtered_attacks,
    not_tried,
)
from pipeline.risks.poisoning.measure.filters import FILTERS, RULES, Rule, drop, neighbours
from pipeline.risks.poisoning.measure.recipes import NONE, craft_poison, measure_harm, trained_on

pytestmark = pytest.mark.heavy

DATA = tiny.records(150, seed=1, missing=0.05, signal=4.0)
PLAN = tiny.plan(DATA, folds=3, seeds=2, release=True)


@pytest.fixture(scope="module")
def cfg(smoke_text):
    cfg = params.parse(yaml.safe_load(smoke_text), "conf")
    poisoning = {
        "attacks": ["worst_flips", "backdoor", "one_patient"],
        "doses": [1, 0.4],
        "repetitions": 2,
        "targets": 4,
    }
    changes = {
        "model": cfg.model.model_copy(update={"hidden": [16]}),
        "train": cfg.train.model_copy(update={"epochs": 40, "learning_rate": 0.01}),
        "poisoning": cfg.poisoning.model_copy(update=poisoning),
    }
    return cfg.model_copy(update=changes)


@pytest.fixture(scope="module")
def poison(cfg):
    return craft_poison(DATA, PLAN, cfg)


@pytest.fixture(scope="module")
def harmed(poison, cfg):
    return measure_harm("baseline", poison, cfg)


def by(cfg, *rules, **numbers):
    """The configuration with these filters."""
    return cfg.model_copy(
        update={"poisoning": cfg.poisoning.model_copy(update={"filters": list(rules), **numbers})}
    )


def right(margins):
    return (margins > 0).double().mean()


def test_a_perfect_filter_restores_the_clean_accuracy(poison, harmed, cfg, monkeypatch):
    sets = poison.sets["worst_flips"]
    monkeypatch.setitem(FILTERS, "oracle", lambda dataset, plan, recipe: sets.poisoned.double())
    monkeypatch.setitem(RULES, "oracle", Rule("oracle", 0.5))
    filtered = filter_poison("worst_flips", poison, by(cfg, "oracle"))
    clean = right(harmed.margins[NONE])
    assert right(harmed.margins["worst_flips"][1]) < clean - 0.25
    assert right(filtered.margins["oracle"][1]) > clean - 0.06
    assert (filtered.precision["oracle"] == 1).all()
    assert (filtered.recall["oracle"] == 1).all()
    assert (filtered.false_alarm_rate["oracle"] == 0).all()
    rest = trained_on("baseline", sets, cfg, drop=lambda some: some.poisoned).double()
    for row in range(sets.plan.size):
        held_out, dose = sets.plan.held_out[row].view(150, -1)[:, 0], sets.dose[row]
        out = rest.select(torch.tensor([row]))(DATA.x[held_out][None].double())[0]
        expected = torch.where(DATA.y[held_out] == 1, out[:, 1] - out[:, 0], out[:, 0] - out[:, 1])
        got = filtered.margins["oracle"][dose, poison.plan.repetition[sets.model[row]], held_out]
        torch.testing.assert_close(got, expected.float(), rtol=1e-4, atol=1e-4)


def test_dropping_nothing_changes_nothing_bit_for_bit(poison, harmed, cfg, monkeypatch):
    monkeypatch.setitem(RULES, "nobody", Rule("neighbours", math.inf))
    for attack in filtered_attacks(poison, cfg):
        filtered = filter_poison(attack, poison, by(cfg, "nobody"))
        assert tiny.same_bits(filtered.margins["nobody"], harmed.margins[attack])
        assert filtered.precision["nobody"].isnan().all()
        assert (filtered.drop_rate["nobody"] == 0).all()
        if attack == "backdoor":
            assert tiny.same_bits(filtered.triggered["nobody"], harmed.triggered[1:])
        else:
            assert len(filtered.triggered["nobody"]) == 0


def test_what_was_dropped_is_counted_record_by_record(poison, cfg):
    sets = poison.sets["worst_flips"]
    filtered = filter_poison("worst_flips", poison, by(cfg, "neighbours", drop=0.2))
    left = drop(neighbours(sets.dataset, sets.plan), sets.plan.train, 0.2, seed=cfg.seed)
    for row in range(sets.plan.size):
        mine = {at for at in range(len(sets.dataset.y)) if sets.plan.train[row, at]}
        bad = {at for at in mine if sets.poisoned[row, at]}
        gone = {at for at in mine if not left[row, at]}
        place = (int(sets.dose[row]), row % 6)
        assert len(gone) == 20
        assert filtered.drop_rate["neighbours"][place] == pytest.approx(0.2)
        assert filtered.precision["neighbours"][place] == pytest.approx(len(gone & bad) / len(gone))
        assert filtered.recall["neighbours"][place] == pytest.approx(len(gone & bad) / len(bad))
        assert filtered.false_alarm_rate["neighbours"][place] == pytest.approx(
            len(gone - bad) / len(mine - bad)
        )


def test_without_poison_there_is_nothing_to_find_and_the_rest_is_trained_on(poison, cfg):
    filtered = filter_poison(NONE, poison, by(cfg, "neighbours"))
    assert filtered.margins["neighbours"].shape == (1, 2, 150)
    assert filtered.recall["neighbours"].isnan().all()
    assert (filtered.false_alarm_rate["neighbours"] == filtered.drop_rate["neighbours"]).all()
    left = drop(neighbours(DATA, poison.plan), poison.plan.train, 0.1, seed=cfg.seed)
    others = train("baseline", DATA, replace(poison.plan, train=left), cfg, apart=True).double()
    held_out = poison.plan.held_out[4]
    out = others.select(torch.tensor([4]))(DATA.x[held_out][None].double())[0]
    expected = (out[:, 1] - out[:, 0]) * (2 * DATA.y[held_out] - 1)
    torch.testing.assert_close(
        filtered.margins["neighbours"][0, 1, held_out], expected.float(), rtol=1e-4, atol=1e-4
    )


def test_filters_do_not_know_of_each_other(poison, cfg):
    together = filter_poison("backdoor", poison, by(cfg, "neighbours", "majority"))
    alone = filter_poison("backdoor", poison, by(cfg, "majority"))
    assert list(together.margins) == ["neighbours", "majority"]
    assert tiny.same_bits(together.margins["majority"], alone.margins["majority"])
    assert not torch.equal(together.drop_rate["majority"], together.drop_rate["neighbours"])


def test_the_filter_that_trains_takes_the_configured_folds(poison, cfg, monkeypatch):
    trained = []

    def recorded(dataset, plan):
        trained.append(plan.size)
        return tiny.untrained(plan, dataset)

    monkeypatch.setattr(
        "pipeline.risks.poisoning.measure.filtering.train",
        lambda name, dataset, plan, cfg: recorded(dataset, plan),
    )
    filter_poison(NONE, poison, by(cfg, "loss", folds=4))
    assert trained == [4 * 6]  # what is trained on the rest is asked for elsewhere


def test_all_but_the_named_patient_are_filtered(poison, cfg):
    assert filtered_attacks(poison, cfg) == [NONE, "worst_flips", "backdoor"]


def test_it_survives_the_disk(poison, cfg, tmp_path):
    found = filter_poison("backdoor", poison, by(cfg, "spectral", "majority"))
    found.save(tmp_path / "filtered.safetensors")
    again = Filtered.load(tmp_path / "filtered.safetensors")
    for field in FIELDS:
        here, there = getattr(found, field), getattr(again, field)
        assert list(here) == list(there) == ["spectral", "majority"]
        pairs = zip(here.values(), there.values(), strict=True)
        assert all(
            a.dtype == b.dtype and torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0))
            for a, b in pairs
        )


def test_another_file_is_refused(tmp_path):
    PLAN.save(tmp_path / "plan.safetensors")
    with pytest.raises(BadInput, match="not what filters did"):
        Filtered.load(tmp_path / "plan.safetensors")


def test_of_images_it_is_said_what_is_not_for_them(cfg):
    assert not_tried(cfg) == {}
    changes = {"attacks": ["clean_label", "backdoor"], "filters": ["majority", "spectral"]}
    scans = handwritten.configured(poisoning={**changes, "recipes": ["baseline", "partition"]})
    assert not_tried(scans) == dict.fromkeys(
        ["clean_label", "filter majority", "partition"], NOT_FOR_IMAGES
    )


def test_nothing_is_filtered_where_no_filter_is_configured(poison, cfg):
    assert filtered_attacks(poison, by(cfg)) == []
