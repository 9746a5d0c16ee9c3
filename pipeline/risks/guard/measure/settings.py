"""The section `guard` of the configuration."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.attacks.oracle import Access
from pipeline.config import Count, Positive, Section
from pipeline.config.base import Name


class GuardSettings(Section):
    """A guard that answers where no admissible record within `r` has another answer.

    Without `recipes` nothing is measured. The first `repetitions` of the plan are asked. `r` is the
    radius that figures are concluded at, in units of the headline threat's scale, `radii` those
    beside it; a search for a counterexample may take `boxes`. Attackers reach `reach` times each
    radius, in `steps` steps along a gradient. `roles` says what an answer shows to whom; a copy is
    trained on so many answers (`budgets`) for `copy_steps` steps, with layers `hidden`. Referrals
    are counted at `alarm_r`; of the queries `shares` are attacks.
    """

    for_counts: ClassVar[bool] = False
    for_scores: ClassVar[bool] = False

    recipes: list[str]
    repetitions: Count
    r: Positive
    radii: list[Positive]
    boxes: Count
    reach: Annotated[list[Annotated[float, Field(ge=1)]], Field(min_length=1)]
    steps: Count
    roles: dict[Name, Access]
    budgets: Annotated[list[Count], Field(min_length=1)]
    copy_steps: Count
    hidden: list[Count]
    alarm_r: Positive
    shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]

    @property
    def every_r(self) -> list[float]:
        """All radii, rising."""
        return sorted({self.r, *self.radii})

    @property
    def unasked(self) -> str:
        """Why nothing is measured; empty = something is."""
        return "" if self.recipes else "not asked for: guard.recipes is empty"
