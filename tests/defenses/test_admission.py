"""What records do not allow is refused before a training, for all jobs at once."""

from types import SimpleNamespace

import pytest
import torch

import tiny
from pipeline.config.settings import PlanConfig
from pipeline.data.plan import Plan
from pipeline.defenses.admission import admit, admit_all
from pipeline.files import BadInput

RECORDS = 60  # all of which the release model trains on


def asked(seed=0, **deltas):
    """What is read of a configuration."""
    options = {name: {"delta": delta} for name, delta in deltas.items()}
    data = SimpleNamespace(file="x.csv")
    defenses = {"baseline": {}, **options}
    return SimpleNamespace(
        plan=PlanConfig(folds=2, seeds=1), seed=seed, data=data, defenses=defenses
    )


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
