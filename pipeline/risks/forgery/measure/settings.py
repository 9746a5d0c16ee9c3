"""The section `forgery` of the configuration."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.config import Count, Positive, Section


class ForgerySettings(Section):
    """What is forged, and how a detector learns to find it. For images alone.

    `forgeries` and `learned` are names of `FORGERIES`; the detector learns from those of `learned`,
    made of training images. `box` is the side of what is forged, as a share of the image's shorter
    side, `amplitude` that of an opacity, as a share of the range of grey levels. A forger hides
    what was done by a blur, or by up to `noise` grey levels on every pixel. A step of the detector
    is over so many scans (`batch`), and as many forged ones. `recipes`: whose models are asked;
    none = nothing is measured.
    """

    for_images: ClassVar[bool] = True
    for_scores: ClassVar[bool] = False
    tried: ClassVar[str] = "forgeries"
    for_records: ClassVar[bool] = False

    recipes: list[str]
    forgeries: Annotated[list[str], Field(min_length=1)]
    learned: Annotated[list[str], Field(min_length=1)]
    box: Annotated[float, Field(gt=0, le=0.5)]
    amplitude: Annotated[float, Field(gt=0, le=1)]
    noise: Count
    steps: Count
    batch: Count
    learning_rate: Positive
    false_alarms: Annotated[float, Field(gt=0, lt=1)]

    @property
    def unasked(self) -> str:
        """Why nothing is measured; empty = something is."""
        return "" if self.recipes else "not asked for: forgery.recipes is empty"
