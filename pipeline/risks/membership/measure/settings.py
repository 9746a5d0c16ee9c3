"""The section `membership` of the configuration."""

from typing import Annotated

from pydantic import Field

from pipeline.config import Count, Positive, Section


class MembershipSettings(Section):
    """What is measured of a model's memory of its patients.

    `targets` models of a recipe are trained on random halves and attacked by `attacks`. `copies`
    noisy copies of a record, with a `spread` in units of each feature's scale, are asked about
    where only labels are seen. Where differential privacy is claimed, its mechanism is audited with
    about so many `canaries` in models of at most so many weights together (`audited_weights`).
    """

    attacks: Annotated[list[str], Field(min_length=1)]
    targets: Annotated[int, Field(ge=4)]
    copies: Annotated[int, Field(ge=0)]
    spread: Positive
    canaries: Count
    audited_weights: Count
