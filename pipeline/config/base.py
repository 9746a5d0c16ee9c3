"""What the types of the configuration are made of."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, Field

from pipeline.validation import STRICT

BASELINE = "baseline"  # the recipe without a defense, with which all others are compared

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


NAME = re.compile(r"\w[\w.-]*")


def _check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("must be letters, digits, `_`, `.` or `-`, as files are named after it")
    return name


Name = Annotated[str, AfterValidator(_check_name)]  # of what somebody adds to `conf/`

Norm = Literal["linf", "l2", "l0"]
Goal = Literal["any", "miss", "alarm"]
Unit = Literal["scale", "error"]  # what a radius of 1 allows: a key of `FeatureConfig`


class Section(BaseModel):
    """A part of the configuration: no unknown key, no silent conversion, immutable.

    Of the section of a risk: `for_images`, whether it is measured on images too, `for_records`,
    whether on anything else; `for_counts`, whether where the headline threat is l0; `for_scores`,
    whether of models that are no networks; `for_frozen`, whether of one that is not trained again.
    `tried`: the key that lists its attacks.
    """

    model_config = STRICT
    for_images: ClassVar[bool] = False
    for_records: ClassVar[bool] = True
    for_counts: ClassVar[bool] = True
    for_scores: ClassVar[bool] = True
    for_frozen: ClassVar[bool] = True
    tried: ClassVar[str] = ""

    @property
    def unasked(self) -> str:
        """Of the section of a risk with a stage of its own: why nothing is measured, if so."""
        return ""

    def held(self, records: int) -> int:
        """About how many bytes the risk holds of so many records, in blocks or not; 0 = few."""
        return 0
