"""What is certified: the same as patient by patient, falling; nothing where there is none."""

import numpy as np
import pytest
import torch

import tiny
from pipeline.defenses.partition import certified_records
from pipeline.defenses.trained import train
from pipeline.models.out_of_fold import margins_out_of_fold
from pipeline.risks.poisoning.certificate_tables import certificate_table
from pipeline.risks.poisoning.measure.certificate import CERTIFICATE, Certificate, certify

pytestmark = pytest.mark.heavy


@pytest.fixture
def plan(dataset):
    return tiny.plan(dataset, release=True)


@pytest.fixture
def population(dataset, plan, cfg):
    return train("partition", dataset, plan, cfg)


@pytest.fixture
def certificate(population, dataset, plan):
    return certify(population, dataset, plan)


@pytest.fixture
def table(certificate, cfg):
    return certificate_table({"partition": certificate}, tiny.sampling(cfg.audit))


def test_only_a_defense_with_a_certificate_is_certified(table, population, dataset, plan):
    assert set(table["defense"]) == {"partition"}
    assert CERTIFICATE in population.facts
    assert certify(tiny.untrained(plan, dataset), dataset, plan) is None


def test_without_poison_it_is_accuracy(table, population, dataset, plan):
    margins, y = margins_out_of_fold(population, dataset, plan)
    right = (margins[0] > 0).float().mean(0)
    assert table["certified_accuracy"][0] == pytest.approx(float(right.mean()), abs=1e-6)
    assert table["certified_sensitivity"][0] == pytest.approx(float(right[y == 1].mean()), abs=1e-6)


def test_shares_are_those_of_the_models_that_did_not_train_on_a_patient(
    table, population, dataset, plan
):
    for records in (1, 3):
        sure = []
        for patient in range(len(dataset.y)):
            own = []
            for model in range(plan.size):
                if plan.held_out[model, patient]:
                    one, x, y = (
                        population.select(torch.tensor([model])),
                        dataset.x[patient],
                        dataset.y[patient],
                    )
                    own.append(int(certified_records(one, x[None, None], y[None, None])) >= records)
            sure.append(np.mean(own))
        assert table.set_index("records").loc[records, "certified_accuracy"] == pytest.approx(
            np.mean(sure), abs=1e-6
        )


def test_more_poison_certifies_less_until_nobody_is_left(table):
    assert (table["certified_accuracy"].diff().dropna() <= 0).all()
    assert table["certified_accuracy"].iloc[-1] == 0
    assert table["certified_accuracy"].iloc[-2] > 0
    assert (table["changed"] == table["records"] // 2).all()
    assert (table["certified_accuracy_low"] <= table["certified_accuracy"]).all()


def test_nothing_certified_no_row(cfg):
    assert certificate_table({}, tiny.sampling(cfg.audit)).empty


def test_it_survives_the_disk(certificate, tmp_path):
    certificate.save(tmp_path / CERTIFICATE)
    again = Certificate.load(tmp_path / CERTIFICATE)
    assert torch.equal(again.records, certificate.records)
    assert torch.equal(again.y, certificate.y)


def test_the_release_model_is_not_certified(certificate, plan, dataset):
    assert certificate.records.shape == (2, len(dataset.y))
    assert plan.size == 2 * 3 + 1
