"""The section `safeguards` of the configuration."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from pipeline.config import Count, Positive, Section
from pipeline.config.base import Name

OpenShare = Annotated[float, Field(gt=0, lt=1)]


class SafeguardsSettings(Section):
    """Sanitisers in front of the undefended models, and rules of whom these refer to a human.

    Nothing is measured where `enabled` is false. The first `repetitions` of the plan are asked; the
    recipes `beside` stand next to the safeguards, as more robust models. `sanitisers` are entries
    of `SANITISERS` with their options; null, and those that do not serve such data, are left out.
    Attacks under the headline threat take `steps`; through noise each is the mean of `draws`, and
    chance is the worst of as many draws. A deep ensemble has `members`, each trained on the same
    records as the plan's own. `prior_precision` is that of the last layer's weights. Rules are
    compared where they refer the `rates` of unchanged records, against attacks within the radii
    `at`; the verifier may spend `boxes` on a record. Conformal sets leave out a class with the
    chance `alpha`; where the plan sets nobody aside to calibrate on, other models are trained that
    leave out the share `tune` of their training records.
    """

    for_images: ClassVar[bool] = True
    for_scores: ClassVar[bool] = False
    for_counts: ClassVar[bool] = False

    enabled: bool
    repetitions: Count
    beside: list[str]
    sanitisers: dict[Name, dict[str, Any] | None]
    steps: Count
    draws: Count
    members: Annotated[int, Field(ge=2)]
    prior_precision: Positive
    rates: Annotated[list[OpenShare], Field(min_length=1)]
    at: Annotated[list[Positive], Field(min_length=1)]
    boxes: Annotated[int, Field(ge=0)]
    alpha: OpenShare
    tune: OpenShare

    @property
    def unasked(self) -> str:
        """Why nothing is measured; empty = something is."""
        return "" if self.enabled else "safeguards.enabled is false"
