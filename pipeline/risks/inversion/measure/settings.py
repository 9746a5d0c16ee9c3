"""The section `inversion` of the configuration."""

from typing import Annotated

from pydantic import Field

from pipeline.config import Count, Section


class InversionSettings(Section):
    """What is asked of a model about its patients.

    The first `victims` of the models that were trained on random halves are asked for private
    measurements, `candidates` values of each.
    """

    victims: Count
    candidates: Annotated[int, Field(ge=2)]
