"""The section `audit`: what is measured on every population, and how sure a figure is."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.base import Count, NonNegative, Section

Radii = Annotated[list[NonNegative], Field(min_length=1)]


def check_radii(eps: list[float]) -> None:
    """Refuses radii that do not start at 0, or do not rise.

    Raises:
        ValueError: they do not.
    """
    if eps[0] != 0 or sorted(set(eps)) != eps:
        raise ValueError(
            "eps must start at 0.0 and rise, so that eps = 0 reproduces clean accuracy"
        )


class AuditConfig(Section):
    """What is measured on every population. `eps` is in units of each feature's scale.

    Defenses are compared first under the threat model `headline`, at the radius nearest to
    `headline_eps`. Attacks and proofs are of at most `sample` records, drawn from each class by its
    share, the same for all defenses; null = of all.

    Of a large cohort `block` records are attacked at a time, a block is what one process does, and
    what is found stays in a file for each; null = all at once. `proofs: false` asks no verifier.
    A bootstrap draws so many random `bundles` of patients, and keeps sums of each; null = it draws
    patients one by one.
    """

    eps: Radii
    headline: str
    headline_eps: NonNegative
    confidence: Annotated[float, Field(gt=0, lt=1)]
    resamples: Annotated[int, Field(ge=100)]
    sample: Count | None = None
    block: Count | None = None
    proofs: bool = True
    bundles: Annotated[int, Field(ge=100)] | None = None

    @model_validator(mode="after")
    def _grid(self) -> "AuditConfig":
        check_radii(self.eps)
        return self
