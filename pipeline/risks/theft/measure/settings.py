"""The section `theft` of the configuration."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.attacks.oracle import Access
from pipeline.attacks.theft import Strategy
from pipeline.config import Count, Positive, Section


class TheftSettings(Section):
    """How `victims` models of each recipe are copied from their answers.

    Undefended by all strategies, else by the `headline`. Without `recipes` nothing is measured.
    """

    for_images: ClassVar[bool] = True
    tried: ClassVar[str] = "strategies"

    recipes: list[str]
    victims: Annotated[int, Field(ge=2)]
    access: Annotated[list[Access], Field(min_length=1)]
    strategies: Annotated[list[Strategy], Field(min_length=1)]
    headline: Strategy
    budgets: Annotated[list[Count], Field(min_length=1)]
    headline_budget: Count
    hidden: list[Count]
    steps: Count
    eps: Positive
    spread: Positive
    ensemble: Annotated[int, Field(ge=2)]

    @property
    def unasked(self) -> str:
        """Why nothing is measured; empty = something is."""
        return "" if self.recipes else "not asked for: theft.recipes is empty"
