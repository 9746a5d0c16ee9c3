"""The section `poisoning` of the configuration."""

from typing import Annotated

from pydantic import Field

from pipeline.config import Count, Positive, Section

Dose = Count | Annotated[float, Field(gt=0, lt=1)]


class PoisoningSettings(Section):
    """What is written into training sets.

    All `attacks` at all `doses`, against the first `repetitions` of the cross-validation. A dose is
    a number of records, or a share of a model's training records, rounded up; people read first of
    the one nearest to `headline_dose`. `eps`: radius of the proofs. Each of `filters` is tried on
    them, which drop the share `drop`; `folds` of the filter that trains models.
    """

    recipes: Annotated[list[str], Field(min_length=1)]
    attacks: Annotated[list[str], Field(min_length=1)]
    doses: Annotated[list[Dose], Field(min_length=1)]
    headline_dose: Dose
    repetitions: Count
    eps: Positive
    clean_label_eps: Positive
    trigger_features: Count
    trigger_size: Positive
    targets: Count
    filters: Annotated[list[str], Field(min_length=1)]
    drop: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)]
