"""The section `inversion` of the configuration."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.config import Count, Section


class InversionSettings(Section):
    """What is asked of a model about its patients.

    The first `victims` of the models that were trained on random halves are asked for private
    measurements, `candidates` values of each; of images, for the typical image of the ill, and for
    the images behind one update each of `images` that they were trained on.
    """

    for_images: ClassVar[bool] = True

    victims: Count
    candidates: Annotated[int, Field(ge=2)]
    images: Count
