"""Who is asked, who is tested, and that a copy is judged by the same rules as its victim."""

import pandas as pd
import pytest
import torch

from pipeline.attacks.oracle import plain
from pipeline.config import ModelConfig
from pipeline.files import BadInput
from pipeline.risks.theft.measure.copies import EQUATIONS, TRUE_LABELS, Copies, judge, steal
from pipeline.risks.theft.measure.stolen import Theft
from pipeline.risks.theft.measure.victims import ENSEMBLE, PLAIN

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
