"""Every job is done once, and handed over as soon as it is."""

import pytest
import torch

from benchmarks.jobs import as_done

DONE = []


def double(number):
    DONE.append(number)
    return 2 * number


@pytest.fixture(params=[1, 2])
def threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


def test_every_job_is_done_once(threads):
    found = dict(as_done(double, [(number,) for number in range(7)]))
    assert found == {(number,): 2 * number for number in range(7)}


def test_what_is_not_asked_for_is_not_begun():
    DONE.clear()
    results = as_done(double, ((number,) for number in range(7)))
    assert next(results) == ((0,), 0)
    assert DONE == [0]


def test_a_failure_ends_it(threads):
    with pytest.raises(TypeError):
        list(as_done(double, [("two", "arguments")]))
