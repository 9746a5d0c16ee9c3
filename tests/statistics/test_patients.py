"""From records to patients, against loops over patients."""

import numpy as np
import pytest

from pipeline.statistics.patients import (
    added,
    are_alone,
    averaged,
    count_of,
    effective_number,
    first_records,
    numbered,
)

PATIENT = np.array([7, 3, 7, 9, 3, 7])  # three records, two, one
WHOSE = np.array([0, 1, 0, 2, 1, 0])


def test_patients_are_numbered_as_they_come():
    np.testing.assert_array_equal(numbered(PATIENT), WHOSE)
    np.testing.assert_array_equal(numbered(np.array([5, 9, 1])), [0, 1, 2])
    np.testing.assert_array_equal(first_records(WHOSE), [0, 1, 3])
    assert count_of(WHOSE) == 3
    assert count_of(WHOSE, np.array([True, False, True, False, True, False])) == 2


def test_sums_and_means_equal_a_loop():
    values = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    values[0, [0, 3]] = np.nan
    sums = np.stack([values[:, one == WHOSE].sum(1) for one in range(3)], 1)
    np.testing.assert_allclose(added(values, WHOSE), sums, rtol=1e-6)
    means = averaged(values, WHOSE)
    assert means.dtype == np.float32
    assert means[0, 0] == pytest.approx(values[0, [2, 5]].mean())
    assert np.isnan(means[0, 2])
    np.testing.assert_allclose(means[1:, 1], values[1:, [1, 4]].mean(1), rtol=1e-6)


def test_of_one_record_each_nothing_is_touched():
    values = np.random.default_rng(0).normal(size=(2, 5))
    alone = np.arange(5)
    assert are_alone(alone)
    assert not are_alone(WHOSE)
    assert added(values, alone) is values
    assert averaged(values, alone) is values
    assert effective_number(alone) == 5


@pytest.mark.parametrize("copies", [1, 2, 7])
def test_equally_many_records_each_are_worth_as_many_as_there_are_patients(copies):
    assert effective_number(np.arange(12).repeat(copies)) == pytest.approx(12)


def test_who_has_more_records_makes_them_worth_less():
    assert effective_number(WHOSE) == pytest.approx(36 / 14)
