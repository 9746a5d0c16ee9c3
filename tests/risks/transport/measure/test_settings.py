"""A date is a day since 1970, or the number that the column holds."""

import pytest

from pipeline.risks.transport.measure.settings import day_of


@pytest.mark.parametrize(
    ("date", "day"),
    [("1970-01-01", 0.0), ("1970-01-02T12:00", 1.5), ("2024-05-31", 19_874.0), (2019, 2019.0)],
)
def test_a_date_is_counted_as_the_records_are(date, day):
    assert day_of(date) == day


@pytest.mark.parametrize("date", ["31.5.2024", "May", ""])
def test_what_is_no_date_is_refused(date):
    with pytest.raises(ValueError, match="must be a date like 2024-05-31"):
        day_of(date)
