"""How much of a job MLflow is told, where nobody said: less in sweeps of many jobs."""

import pytest

from pipeline.config.logged import TrackingConfig


@pytest.mark.parametrize(("jobs", "few"), [(1, True), (200, True), (201, False), (10_000, False)])
def test_above_so_many_jobs_a_job_is_one_run(jobs, few):
    told = TrackingConfig().of(jobs)
    assert (told.nested, told.files) == (few, few)


def test_who_said_it_is_heard():
    told = TrackingConfig(nested=True, files=False, many=3).of(4)
    assert (told.nested, told.files) == (True, False)
    assert told.of(1) == told
    assert TrackingConfig(many=3).of(3).nested is True
