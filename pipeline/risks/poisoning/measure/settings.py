"""The section `poisoning` of the configuration."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.attacks.poisoning import POISONS
from pipeline.config import Count, Positive, Section

Dose = Count | Annotated[float, Field(gt=0, lt=1)]


class PoisoningSettings(Section):
    """What is written into training sets.

    All `attacks` at all `doses`, against the first `repetitions` of the cross-validation. A dose is
    a number of records, or a share of a model's training records, rounded up; people read first of
    the one nearest to `headline_dose`. Attacks that are made for each recipe come at
    `adaptive_doses` alone, which must be among `doses`: they train it many times. `eps`: radius of
    the proofs. Each of `filters` is tried on the others, which drop the share `drop`; `folds` of
    the filter that trains models. The trigger of a backdoor is `trigger_features` values of a
    record, `trigger_size` scales from their centre; in images a square of `trigger_pixels`. Without
    `recipes` nothing is measured.
    """

    for_images: ClassVar[bool] = True
    for_frozen: ClassVar[bool] = False
    tried: ClassVar[str] = "attacks"
    recipes: list[str]
    attacks: Annotated[list[str], Field(min_length=1)]
    doses: Annotated[list[Dose], Field(min_length=1)]
    adaptive_doses: Annotated[list[Dose], Field(min_length=1)]
    headline_dose: Dose
    repetitions: Count
    eps: Positive
    clean_label_eps: Positive
    trigger_features: Count
    trigger_size: Positive
    trigger_pixels: Count
    targets: Count
    filters: list[str]
    drop: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)]

    @property
    def unasked(self) -> str:
        """Why nothing is measured; empty = something is."""
        return "" if self.recipes else "not asked for: poisoning.recipes is empty"

    def doses_of(self, attack: str) -> list[Dose]:
        """The doses at which an attack is tried, in the order of `doses`."""
        return self.doses if attack in POISONS else self.adaptive()

    def adaptive(self) -> list[Dose]:
        """The doses of attacks that are made for each recipe, in the order of `doses`."""
        return [dose for dose in self.doses if dose in self.adaptive_doses]
