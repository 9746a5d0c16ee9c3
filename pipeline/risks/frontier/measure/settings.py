"""The section `frontier` of the configuration."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.config import Count, NonNegative, Positive, Section


class FrontierSettings(Section):
    """Private models of several `epsilons` (null = no noise) and kinds, side by side.

    `models` maps a kind's name to its hidden widths; of images there is one kind, the configured
    `model`, whatever stands here. They are trained on the first `repetitions` of the
    cross-validation; `targets`, `canaries` and `audited_weights` as in `MembershipSettings`, for
    each epsilon. Right answers are to be proved up to `radius` of the headline threat, with `boxes`
    for one record; of images nothing is. Without `epsilons` nothing is measured.
    """

    for_images: ClassVar[bool] = True
    for_frozen: ClassVar[bool] = False

    epsilons: list[Positive | None]
    models: Annotated[dict[str, list[Count]], Field(min_length=1)]
    repetitions: Count
    radius: NonNegative
    boxes: Count
    targets: Annotated[int, Field(ge=4)]
    canaries: Count
    audited_weights: Count

    @property
    def unasked(self) -> str:
        """Why nothing is measured; empty = something is."""
        return "" if self.epsilons else "not asked for: frontier.epsilons is empty"
