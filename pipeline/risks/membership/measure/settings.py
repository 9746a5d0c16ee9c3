"""The section `membership` of the configuration."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from pipeline.config import Count, Positive, Section

OF_ANSWER = 80  # bytes for each model and record: by how much 24 models grew to 70 000 records


class MembershipSettings(Section):
    """What is measured of a model's memory of its patients.

    `targets` models of a recipe are trained on random halves and attacked by `attacks`;
    `second_seeds` of these halves are trained on once more with another seed, which nobody attacks:
    they say how much of a difference between two halves is luck. `copies` noisy copies of a record,
    with a `spread` in units of each feature's scale, are asked about where only labels are seen.
    Where differential privacy is claimed, its mechanism is audited with about so many `canaries` in
    models of at most so many weights together (`audited_weights`).

    `recipes`: those that models of random halves are trained of, as far as they are examined;
    null = all that are. Of the others nothing is known of leaks, and their intervals are of the
    very models that were attacked, on new patients.
    """

    tried: ClassVar[str] = "attacks"

    recipes: list[str] | None = None

    attacks: Annotated[list[str], Field(min_length=1)]
    targets: Annotated[int, Field(ge=4)]
    second_seeds: Count
    copies: Annotated[int, Field(ge=0)]
    spread: Positive
    canaries: Count
    audited_weights: Count

    def held(self, records: int) -> int:
        """What models of random halves say of each record, and what attacks make of it."""
        asked = self.recipes is None or self.recipes
        return OF_ANSWER * (self.targets + self.second_seeds) * records if asked else 0

    @model_validator(mode="after")
    def _again(self) -> "MembershipSettings":
        if self.second_seeds > self.targets:
            raise ValueError(
                f"second_seeds {self.second_seeds} must not be above targets {self.targets}"
            )
        return self
