"""What was audited: the same lines for the same code, data and settings; nobody is counted out."""

from dataclasses import replace

import pytest
import torch

from pipeline.presentation.numbers import counted
from pipeline.report.audited import SIGNED, cohort, facts, provenance, reviewed, warnings
from pipeline.risks.risk import Context


@pytest.fixture
def context(dataset, cfg):
    return Context(dataset, cfg)


def of(dataset, ill):
    """The data set with so many ill patients."""
    return replace(dataset, y=(torch.arange(len(dataset.y)) < ill).long())


def test_the_facts_say_what_is_predicted_of_whom_and_how_it_was_scored(context):
    said = dict(facts(context))
    cfg, ill = context.cfg, int(context.dataset.y.sum())
    assert (
        said["Predicts"]
        == f"{cfg.data.classes[1]} or {cfg.data.classes[0]}, from 8 values of a record"
    )
    assert said["Cohort"] == f"120 patients, {ill} ill ({ill / 120:.0%})"
    assert cfg.model.name in said["Model"]
    assert f"{cfg.plan.folds} folds x {counted(cfg.plan.seeds, 'seed')}" in said["Scored"]


def test_records_of_patients_are_told_as_such(dataset):
    several = replace(of(dataset, 40), patient=torch.arange(120) // 2)
    assert cohort(several, hidden=False) == "120 records of 60 patients, 40 ill (33%)"


@pytest.mark.parametrize(
    ("ill", "shown", "hidden"),
    [
        (4, "4 ill (3%)", "fewer than 10 ill"),
        (10, "10 ill (8%)", "10 ill (8%)"),
        (117, "117 ill (98%)", "nearly all ill"),
        (0, "0 ill (0%)", "0 ill (0%)"),
    ],
)
def test_a_few_patients_are_not_counted_where_they_are_hidden(dataset, ill, shown, hidden):
    few = of(dataset, ill)
    assert cohort(few, hidden=False) == f"120 patients, {shown}"
    assert cohort(few, hidden=True) == f"120 patients, {hidden}"


def test_who_reviewed_the_threat_model_or_that_nobody_did(cfg):
    assert (reviewed(cfg), warnings(cfg)) == (SIGNED, [])
    features = dict(cfg.data.features)
    first = next(iter(features))
    features[first] = features[first].model_copy(update={"source": {"lower": "guess"}})
    data = cfg.data.model_copy(update={"features": features})
    guessed = cfg.model_copy(update={"data": data})
    assert reviewed(guessed) == "proposed by the program, not reviewed: 1 of 8 features"
    (warning,) = warnings(guessed)
    assert "1 of 8 features" in warning


def test_digests_are_those_of_what_they_name_and_of_nothing_else(context):
    first = dict(provenance(context))
    assert list(first) == ["medsecure", "code", "data", "configuration"]
    assert all(len(first[name]) == 64 for name in ("code", "data", "configuration"))
    assert dict(provenance(context)) == first
    seeded = replace(context, cfg=context.cfg.model_copy(update={"seed": 17}))
    changed = {name for name, said in provenance(seeded) if said != first[name]}
    assert changed == {"configuration"}
    other = replace(context, dataset=of(context.dataset, 3))
    changed = {name for name, said in provenance(other) if said != first[name]}
    assert changed == {"data"}


def test_the_digest_of_the_data_sees_one_value(dataset):
    x = dataset.x.clone()
    x[5, 0] += 1
    assert replace(dataset, x=x).digest != dataset.digest
