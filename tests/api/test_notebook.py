"""The steps of the stages by hand: what they return is what the stages would have measured."""

import pandas as pd
import pytest
import torch

import tiny
from pipeline.api import notebook
from pipeline.attacks.evasion import EVASION
from pipeline.files import BadInput
from pipeline.params import configured
from tiny import CLINICAL

pytestmark = pytest.mark.heavy

CONF = tiny.ROOT / "conf"
PGD = {"method": "pgd", "loss": "margin", "steps": 3, "step_size": 0.3, "restarts": 1}


@pytest.fixture(scope="module")
def records():
    return tiny.records(40, seed=3)


@pytest.fixture(scope="module")
def models():
    return tiny.population(2, hidden=(4,))


def test_a_configuration_is_what_the_command_line_makes():
    overrides = ["experiment=smoke", "defense=[baseline]"]
    assert notebook.configure(*overrides, conf=CONF) == configured(overrides, CONF)
    with pytest.raises(BadInput, match="did you mean 'seed'"):
        notebook.configure("sed=1", conf=CONF)


def test_a_cohort_is_read_from_where_it_lies(tmp_path):
    cfg = notebook.configure("data=breast_cancer", "experiment=smoke", conf=CONF)
    dataset = notebook.read_cohort(cfg, tmp_path)
    assert dataset.x.shape == (569, 30)
    assert list(dataset.schema.names) == list(cfg.data.features)


@pytest.mark.parametrize("method", ["fgsm", "pgd", "noise"])
def test_forged_records_are_inside_the_threat_and_drawn_by_the_seed(models, records, method):
    options = {**PGD, "method": method} if method == "pgd" else {"method": method}
    options |= {"loss": "margin"} if method == "fgsm" else {}
    options |= {"draws": 2} if method == "noise" else {}
    assert method in EVASION
    first, again = (
        notebook.attack(models, records.x, records.y, CLINICAL, options, eps=0.5, seed=1)
        for _ in range(2)
    )
    assert first.shape == (models.size, *records.x.shape)
    assert CLINICAL.violations(first, records.x.expand_as(first), 0.5) == 0
    assert tiny.same_bits(first, again)
    assert not tiny.same_bits(first, records.x.expand_as(first))


def test_an_attack_without_a_radius_changes_nothing(models, records):
    forged = notebook.attack(models, records.x, records.y, CLINICAL, PGD, eps=0.0)
    assert tiny.same_bits(forged, records.x.expand_as(forged))


def test_an_option_that_an_attack_does_not_know_is_one_line(models, records):
    with pytest.raises(BadInput, match="did you mean 'steps'"):
        notebook.attack(models, records.x, records.y, CLINICAL, {**PGD, "stepz": 1}, eps=0.1)


def test_the_record_that_is_found_changes_the_answer_and_no_attack_finds_a_nearer_one(
    models, records
):
    x, y = records.x[:8], models(records.x[:8].expand(2, -1, -1)).argmax(-1)
    for member in range(models.size):
        found = notebook.verify(models, x, y[member], CLINICAL, largest=1.0, member=member)
        torch.testing.assert_close(found.robust_below, found.breaks_at, rtol=0, atol=1e-4)
        broken = found.breaks_at.isfinite()
        assert broken.any()
        one = models.select(torch.tensor([member])).double()
        answers = one(found.record[broken][None])[0].argmax(-1)
        assert (answers != y[member][broken]).all()
        nearest = float(found.breaks_at.min())
        forged = notebook.attack(models, x, y[member], CLINICAL, PGD, eps=nearest * 0.9)[member]
        assert (one(forged[None].double())[0].argmax(-1) == y[member]).all()


def test_the_tables_of_an_evaluation_by_name(tmp_path):
    table = pd.DataFrame({"defense": ["baseline"], "auroc": [0.5]})
    table.to_csv(tmp_path / "comparison.csv", index=False)
    assert notebook.report_tables(tmp_path)["comparison"].equals(table)
    with pytest.raises(BadInput, match="`medsecure run` makes them"):
        notebook.report_tables(tmp_path / "none")
