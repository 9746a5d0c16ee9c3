"""The section `transport` of the configuration."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from pipeline.config import Count, Section


def day_of(date: str | float) -> float:
    """A date as `Dataset.time` counts: days since 1970, or the number itself.

    Raises:
        ValueError: a text that is no date.
    """
    if not isinstance(date, str):
        return float(date)
    try:
        moment = datetime.fromisoformat(date).replace(tzinfo=None)
    except ValueError:
        raise ValueError("must be a date like 2024-05-31, or a number") from None
    return (moment - datetime(1970, 1, 1)).total_seconds() / 86_400


def _check_date(date: str | float | None) -> str | float | None:
    if date is not None:
        day_of(date)
    return date


class TransportSettings(Section):
    """What is tried beside the cross-validation, where the data set names sites and dates.

    Of each of `recipes` a model is trained without a site and asked about it, for the `sites` with
    the most patients; all others are left out together. Another is trained on what was recorded
    before `date` and asked about what came then: a date, or a number where the column of the data
    set holds numbers; null = the day from which on at least the share `later` of the records was
    made. Each is trained as often as there are `repetitions`, beside as many of the
    cross-validation. The verifier may spend `boxes` on one record. Without `recipes` nothing is
    measured.
    """

    for_frozen: ClassVar[bool] = False
    recipes: list[str]
    sites: Count
    date: Annotated[str | float | None, AfterValidator(_check_date)]
    later: Annotated[float, Field(gt=0, lt=1)]
    repetitions: Count
    boxes: Count

    @property
    def unasked(self) -> str:
        """Why nothing is measured; empty = something is."""
        return "" if self.recipes else "not asked for: transport.recipes is empty"
