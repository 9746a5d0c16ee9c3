"""A data set, its columns, and what a clinic and a forger make of each."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Positive, Section, Share
from pipeline.validation import nearest


class FeatureConfig(Section):
    """One measurement: its unit, its range, how it is recorded, who may forge it, how sure it is.

    `private` = an attacker may want to learn it of a patient, and an audit tries.

    `error` is one standard deviation of a repeated measurement, in `unit`: of the same specimen in
    one laboratory, or of the same person on the same day where it is taken by hand. Null where a
    value is not measured, or nobody says how well.
    """

    unit: str
    kind: Literal["integer", "real"]
    lower: float
    upper: float
    step: Positive | None
    missing: float | None
    mutable: bool
    private: bool
    center: float
    scale: Positive
    source: str
    error: Positive | None
    error_source: str | None

    @model_validator(mode="after")
    def _ordered(self) -> "FeatureConfig":
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower} must be below upper {self.upper}")
        return self

    @model_validator(mode="after")
    def _sourced(self) -> "FeatureConfig":
        if (self.error is None) != (not self.error_source):
            raise ValueError("error and error_source go together: give both, or null for both")
        return self


class DataConfig(Section):
    """A data set: where it lies and what its columns mean. Class 1 is always *disease present*.

    `file`: the records; where they come with scikit-learn, by the loader `name`, the file of
    `conf/` that describes them. `bands` cuts a measurement into groups of patients, each cut the
    least value of the group above it.
    """

    name: str
    title: str
    source: Literal["file", "sklearn"]
    file: str
    target: str
    classes: list[str] = Field(min_length=2, max_length=2)
    auroc_ceiling: Share | None
    bands: dict[str, Annotated[list[float], Field(min_length=1)]]
    features: dict[str, FeatureConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> "DataConfig":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must differ: {', '.join(self.classes)}")
        for name, cuts in self.bands.items():
            if name not in self.features:
                raise ValueError(f"bands: {name!r} is no feature; {nearest(name, self.features)}")
            if sorted(set(cuts)) != cuts:
                raise ValueError(f"bands.{name}: the cuts must rise, not {cuts}")
        return self
