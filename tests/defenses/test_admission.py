"""What records do not allow is refused before a training, for all jobs at once."""

from types import SimpleNamespace

import pytest
import torch

import tiny
from pipeline.config.settings import PlanConfig
from pipeline.data.plan import Plan
from pipeline.defenses import admission
from pipeline.defenses.admission import admit, admit_all, answers_at_once, remarks_on_size
from pipeline.files import BadInput

RECORDS = 60  # all of which the release model trains on


def asked(seed=0, **deltas):
    """What is read of a configuration."""
    options = {name: {"delta": delta} for name, delta in deltas.items()}
    data = SimpleNamespace(file="x.csv")
    defenses = {"baseline": {}, **options}
    return SimpleNamespace(
        plan=PlanConfig(folds=2, seeds=2),
        seed=seed,
        data=data,
        defenses=defenses,
        audit=SimpleNamespace(sample=None, block=None),
        attack={"fgsm": {}, "pgd": {}},
        threat={"clinical": None, "sparse": None},
        sections={},
        radii=lambda threat: {"clinical": [0.0, 0.1, 0.3], "sparse": [0, 1]}[threat],
    )


def in_parts(**audit):
    """The same, of a sample or in blocks."""
    cfg = asked()
    cfg.audit = SimpleNamespace(**{"sample": None, "block": None} | audit)
    return cfg


@pytest.fixture(scope="module")
def cohort():
    return tiny.records(RECORDS, seed=5)


def test_the_plan_of_what_fits_is_the_configured_one(cohort):
    cfg = asked(dp_train=0.99 / RECORDS)
    plan, wanted = admit(cohort, cfg), Plan.of(cohort, cfg.plan, cfg.seed)
    assert torch.equal(plan.train, wanted.train)
    admit_all([(cohort, cfg), (cohort, asked())])


@pytest.mark.parametrize("name", ["dp_train", "dp_adv_train"])
def test_a_delta_of_one_in_the_cohort_is_refused(cohort, name):
    with pytest.raises(BadInput, match=rf"^{name}\.delta: .* is not below 1 / records = 0\.017"):
        admit(cohort, asked(**{name: 1 / RECORDS}))


def test_a_column_that_nobody_measured_is_refused(cohort):
    x = cohort.x.clone()
    x[:, 1] = torch.nan
    empty = SimpleNamespace(
        **{name: getattr(cohort, name) for name in ("y", "schema", "together")}, x=x
    )
    with pytest.raises(BadInput, match=r"^x\.csv: column .*: no value among the training rows"):
        admit(empty, asked())


def test_the_faults_of_all_jobs_are_told_at_once_and_each_once(cohort):
    jobs = [asked(dp_train=0.5), asked(), asked(seed=1, dp_train=0.5), asked(dp_adv_train=0.25)]
    with pytest.raises(BadInput) as refused:
        admit_all((cohort, cfg) for cfg in jobs)
    lines = str(refused.value).splitlines()
    assert [line.partition(" is not")[0] for line in lines] == [
        "dp_train.delta: 0.5",
        "dp_adv_train.delta: 0.25",
    ]


def test_what_is_attacked_at_once_is_a_block_or_a_sample(cohort):
    plan = Plan.of(cohort, asked().plan, 0)
    wanted = {(): 120, (("sample", 30),): 60, (("block", 7),): 14, (("block", 70),): 120}
    for audit, answers in wanted.items():
        assert answers_at_once(plan, in_parts(**dict(audit))) == answers
    assert answers_at_once(plan, in_parts(sample=30, block=10)) == 20


def test_more_records_than_the_machine_can_hold_are_refused_before_anything_is_trained(
    cohort, monkeypatch
):
    """Two attacks and two more, at five radii: each of 120 answers is 20 rows and records."""
    each = admission.OF_ROW + admission.OF_VALUE * cohort.x.shape[1]
    monkeypatch.setattr(admission, "memory", lambda: 120 * 20 * each)
    assert admit(cohort, asked()).size == 5
    monkeypatch.setattr(admission, "memory", lambda: 120 * 20 * each - 1)
    with pytest.raises(BadInput, match=r"^x\.csv: 60 records: .* experiment=million all in blocks"):
        admit(cohort, asked())
    with pytest.raises(
        BadInput, match=r"(?s)^dp_train\.delta.*\nx\.csv: 60 records: "
    ):  # both at once
        admit(cohort, asked(dp_train=0.5))
    for audit in ({"sample": 59}, {"block": 59}):
        assert admit(cohort, in_parts(**audit)).size == 5


def test_a_risk_that_knows_no_blocks_is_held_against_the_memory_too(cohort, monkeypatch):
    cfg = in_parts(block=7)
    cfg.sections = {"leaks": SimpleNamespace(held=lambda records: 10**6 * records)}
    monkeypatch.setattr(admission, "memory", lambda: 10**6 * RECORDS)
    assert admit(cohort, cfg).size == 5
    monkeypatch.setattr(admission, "memory", lambda: 10**6 * RECORDS - 1)
    with pytest.raises(BadInput, match=r"^x\.csv: 60 records: leaks takes about .* in blocks or"):
        admit(cohort, cfg)


def test_who_asks_of_many_what_suits_few_hears_of_it_once(cohort, monkeypatch):
    assert admit_all([(cohort, asked())]) == []
    monkeypatch.setattr(admission, "MANY", 119)
    (said,) = admit_all([(cohort, asked()), (cohort, asked(seed=1))])
    assert said.startswith("120 answers of models are to be attacked")
    plan = Plan.of(cohort, asked().plan, 0)
    assert remarks_on_size(plan, in_parts(block=59)) == []
    assert remarks_on_size(plan, in_parts(sample=30)) == []
