"""Each job of a sweep once, named after what sets it apart, with somebody to be compared with."""

import copy
import json

import pytest

from mistakes import overridden
from pipeline.sweep.jobs import fixed, name_of, plan_jobs

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def planned(smoke_values):
    """Plans a sweep as the command line does, from the smoke configuration."""
    import pipeline.params as params

    def compose(overrides):
        keys = [one for one in overrides if not one.startswith(("experiment=", "defense="))]
        values = overridden(copy.deepcopy(smoke_values), keys)
        return params.parse_chosen(json.dumps(values), overrides)

    def plan(*overrides):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(params, "configured", compose)
            return plan_jobs(params.configured_jobs(["experiment=smoke", *overrides]))

    return plan


def names(jobs):
    return [job.name for job in jobs]


def test_jobs_that_differ_in_what_they_do_not_use_are_one(planned):
    jobs = planned(
        "defense=baseline,adv_train,dp_train", "dp_train.epsilon=0.5,8", "adv_train.eps=0.1,0.3"
    )
    assert names(jobs) == [
        "baseline",
        "adv_train (eps=0.1)",
        "adv_train (eps=0.3)",
        *(f"dp_train (epsilon={epsilon})" for epsilon in ("0.5", "8")),
    ]
    assert len({job.key for job in jobs}) == 5
    assert {job.control for job in jobs} == {jobs[0].key}
    assert not any(job.added for job in jobs)
    assert jobs[-1].cfg.defenses["dp_train"]["epsilon"] == 8


def test_whoever_has_no_one_to_be_compared_with_gets_a_baseline_first(planned):
    jobs = planned("defense=dp_train", "dp_train.epsilon=1,2")
    assert names(jobs) == ["baseline", "dp_train (epsilon=1)", "dp_train (epsilon=2)"]
    assert [job.added for job in jobs] == [True, False, False]
    assert {job.control for job in jobs} == {jobs[0].key}


def test_an_added_baseline_is_the_job_that_asking_for_it_gives(planned):
    (added, _), (asked, _) = planned("defense=distill"), planned("defense=baseline,distill")
    assert added.added
    assert not asked.added
    assert added.key == asked.key


def test_jobs_of_a_seed_are_compared_with_the_baseline_of_that_seed(planned):
    jobs = planned("defense=baseline,distill", "seed=0,1")
    assert names(jobs) == [
        "baseline (seed=0)",
        "distill (seed=0)",
        "baseline (seed=1)",
        "distill (seed=1)",
    ]
    by_key = {job.key: job for job in jobs}
    assert all(by_key[job.control].cfg.seed == job.cfg.seed for job in jobs)
    assert len({job.control for job in jobs}) == 2


@pytest.mark.parametrize(("risks", "many"), [("examined", 1), ("all", 2)])
def test_what_is_not_measured_sets_no_jobs_apart(planned, risks, many):
    jobs = planned("defense=baseline", "poisoning.drop=0.1,0.2", f"risks={risks}")
    assert len(jobs) == many
    assert len(planned("defense=baseline", "frontier.boxes=3,4", f"risks={risks}")) == 1


def test_a_configuration_with_every_defense_gives_each_of_them_once(planned):
    jobs = planned("adv_train.eps=0.1,0.3")
    assert names(jobs)[:1] == ["baseline"]
    assert names(jobs).count("distill") == 1
    assert {"adv_train (eps=0.1)", "adv_train (eps=0.3)"} <= set(names(jobs))


def test_a_job_is_run_alone_by_what_it_uses(planned):
    job = planned("defense=baseline,dp_train", "dp_train.epsilon=1,2", "seed=3")[0]
    assert job.alone == ["experiment=smoke", "defense=baseline", "seed=3"]


def test_two_jobs_never_share_a_name(planned):
    jobs = planned("defense=dp_train", "dp_train.epsilon=1,1.0,2,2.0")
    assert len(jobs) == len(set(names(jobs))) == 3


def test_what_all_jobs_have_in_common_is_said_of_the_sweep():
    asked = [(["seed=0", "defense=a", "+b=1"], None), (["seed=1", "defense=c", "+b=1"], None)]
    assert fixed(asked) == {"b": "1"}


def test_a_name_is_a_name_of_a_file():
    assert name_of("dp_train", {"dp_train.epsilon": "1", "data.path": "a/b"}) == (
        "dp_train (epsilon=1, data.path=a_b)"
    )
    assert len(name_of("dp_train", {"a": "x" * 500})) < 200
