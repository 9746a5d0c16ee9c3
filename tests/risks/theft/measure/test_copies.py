"""Who is asked, who is tested, and that a copy is judged by the same rules as its victim."""

import pandas as pd
import pytest
import torch

import handwritten
from pipeline.attacks.oracle import plain
from pipeline.config import ModelConfig
from pipeline.files import BadInput
from pipeline.risks.theft.measure.copies import (
    EQUATIONS,
    NOISE_AND_MEAN,
    TRUE_LABELS,
    Copies,
    judge,
    not_tried,
    steal,
)
from pipeline.risks.theft.measure.stolen import Theft
from pipeline.risks.theft.measure.victims import ENSEMBLE, PLAIN, Victims

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def stolen(quick, cohort):
    return steal("baseline", cohort, quick)


def test_a_copy_with_the_victims_weights_agrees_everywhere_and_harms_as_much(victims):
    models = victims.models[PLAIN]
    copies = Copies([{"api": PLAIN}], models, [10], torch.tensor([[10]]))
    rows, odds, broken, agrees = judge(victims, copies)
    assert agrees.all()
    torch.testing.assert_close(odds, plain(models)(victims.everyone).float())
    expected = victims.spread_out(victims.broken_by(victims.evaded(models), models))
    assert torch.equal(broken, expected)
    assert rows["victim"].tolist() == [0, 1]


def test_who_gives_scores_alone_is_copied_by_trees_too_under_the_headline(quick, cohort):
    forest = ModelConfig(name="forest", kind="forest", trees=10, depth=0, leaf=1)
    rows = steal("baseline", cohort, quick.model_copy(update={"model": forest})).rows
    grown = rows[rows["surrogate"] == "trees"]
    assert set(rows["surrogate"]) == {"linear", "mlp", "trees"}
    assert set(grown["strategy"]) == {quick.theft.headline}
    networks = rows[(rows["surrogate"] == "mlp") & (rows["strategy"] == quick.theft.headline)]
    assert grown["queries"].tolist() == networks["queries"].tolist()


def test_every_attacker_has_a_row_for_every_budget_and_victim(stolen, quick):
    numbers, rows = quick.theft, stolen.rows
    asked = rows[rows["strategy"] != TRUE_LABELS]
    attackers = (
        len(numbers.strategies) * len(numbers.access) + 3
    )  # noise of two kinds, and an ensemble
    assert len(asked) == attackers * 2 * len(numbers.budgets) * numbers.victims
    assert (asked["queries"] == asked["budget"]).all()
    known = rows[rows["strategy"] == TRUE_LABELS]
    assert (known["queries"] == 0).all()
    assert known["budget"].max() <= int((~stolen.member & ~stolen.test).sum(1).min())
    assert all(len(getattr(stolen, name)) == len(rows) for name in ("log_odds", "broken", "agrees"))


def test_only_test_patients_are_sent(stolen):
    test = stolen.test[stolen.rows["victim"].to_numpy()]
    assert not (stolen.broken & ~test).any()
    assert stolen.broken.any()


def test_an_api_with_noise_is_judged_by_the_clean_model_and_an_ensemble_by_itself(stolen, quick):
    assert list(stolen.victims) == [PLAIN, ENSEMBLE]
    told = torch.sigmoid(stolen.victims[ENSEMBLE].double()).float()
    torch.testing.assert_close(stolen.shown[f"{ENSEMBLE}/probabilities"], told)
    noise = (
        torch.logit(stolen.shown["gaussian/probabilities"].double())
        - stolen.victims[PLAIN].double()
    )
    assert float(noise.std()) == pytest.approx(quick.theft.spread, rel=0.25)


def test_a_defended_recipe_is_attacked_by_the_headline_strategy_alone(quick, cohort):
    stolen = steal(
        "distill", cohort, quick.model_copy(update={"distill": {"temperature": 5.0, "epochs": 2}})
    )
    assert set(stolen.rows["strategy"]) == {quick.theft.headline, TRUE_LABELS}
    assert list(stolen.victims) == [PLAIN]


def test_linear_victims_are_solved(quick, cohort):
    linear = quick.model_copy(update={"model": ModelConfig(name="linear", hidden=[])})
    stolen = steal("baseline", cohort, linear)
    rows = stolen.rows[stolen.rows["strategy"] == EQUATIONS]
    assert rows["queries"].tolist() == [11, 11]
    torch.testing.assert_close(
        stolen.log_odds[rows.index.to_numpy()], stolen.victims[PLAIN], rtol=1e-5, atol=1e-5
    )
    assert stolen.agrees[rows.index.to_numpy()].all()


def test_it_survives_the_disk(stolen, tmp_path):
    stolen.save(tmp_path / "theft")
    again = Theft.load(tmp_path / "theft")
    pd.testing.assert_frame_equal(again.rows, stolen.rows)
    assert torch.equal(again.log_odds, stolen.log_odds)
    assert {name: value.shape for name, value in again.shown.items()} == {
        n: v.shape for n, v in stolen.shown.items()
    }
    (tmp_path / "theft" / "copies.parquet").write_bytes(b"no table")
    with pytest.raises(BadInput, match="run `dvc repro theft`"):
        Theft.load(tmp_path / "theft")


def test_the_same_seed_gives_the_same_copies(stolen, quick, cohort):
    again = steal("baseline", cohort, quick)
    assert torch.equal(again.log_odds, stolen.log_odds)
    assert torch.equal(again.broken, stolen.broken)


# ---- images ----


@pytest.fixture(scope="module")
def scans():
    numbers = {
        "access": ["probabilities"],
        "strategies": ["uniform", "marginals", "public", "active"],
        "headline": "active",
        "budgets": [50, 600],
        "headline_budget": 600,
        "eps": 2.0,
    }
    cfg = handwritten.configured(theft=numbers, train={"epochs": 24})
    return cfg, handwritten.pictures(cfg)


@pytest.fixture(scope="module")
def stolen_images(scans):
    cfg, dataset = scans
    return steal("baseline", dataset, cfg)


def fidelity(found, **attacker):
    rows = found.rows
    for column, value in attacker.items():
        rows = rows[rows[column] == value]
    test = found.test[rows["victim"].to_numpy()]
    same = (found.log_odds[rows.index.to_numpy()] > 0) == (
        found.victims[PLAIN][rows["victim"].to_numpy()] > 0
    )
    return float(same[test].double().mean())


@pytest.mark.slow
def test_a_copy_of_image_networks_learns_from_answers(stolen_images):
    found = stolen_images
    own = found.victims[PLAIN] > 0
    constant = float((own == 0)[found.test].double().mean())  # of a copy that says healthy always
    active = fidelity(found, strategy="active", surrogate="network", budget=600)
    assert active > max(constant, 0.5) + 0.02
    few = fidelity(found, strategy="public", surrogate="network", budget=50)
    assert active >= few
    noise = fidelity(found, strategy="uniform", surrogate="network", budget=600)
    assert active > noise
    assert {"linear", "network"} == set(found.rows["surrogate"])
    assert TRUE_LABELS in set(found.rows["strategy"])  # the control, which asks nothing


@pytest.mark.slow
def test_images_are_counted_one_by_one(stolen_images):
    rows = stolen_images.rows
    asked = rows[rows["strategy"] != TRUE_LABELS]
    assert (asked["queries"] == asked["budget"]).all()
    assert (rows.loc[rows["strategy"] == TRUE_LABELS, "queries"] == 0).all()


@pytest.mark.slow
def test_what_is_not_tried_is_said_and_not_tried(stolen_images, scans, quick):
    cfg, _ = scans
    assert not_tried(quick) == {}
    assert {"strategy marginals", NOISE_AND_MEAN} <= set(not_tried(cfg))
    assert set(stolen_images.rows["strategy"]) == {"uniform", "public", "active", TRUE_LABELS}
    assert EQUATIONS not in set(stolen_images.rows["strategy"])
    assert list(stolen_images.victims) == [PLAIN]


@pytest.mark.slow
def test_a_copy_with_the_weights_of_image_networks_agrees_everywhere(scans):
    cfg, dataset = scans
    victims = Victims.of("baseline", dataset, cfg)
    copies = Copies([{"api": PLAIN}], victims.models[PLAIN], [10], torch.tensor([[10]]))
    _, odds, broken, agrees = judge(victims, copies)
    assert agrees.all()
    torch.testing.assert_close(odds, plain(victims.models[PLAIN])(victims.everyone).float())
    assert not (broken & ~victims.test).any()
    right = (odds > 0) == dataset.y.bool()
    assert (broken & right).any()  # two grey levels turn some
