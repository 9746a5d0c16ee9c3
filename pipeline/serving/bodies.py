"""What clients send, as types; what is in a record is looked at by `pipeline.serving.admission`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.config.serving import Role
from pipeline.serving.keys import NAME

Line = Annotated[str, Field(min_length=1, max_length=500)]


class Body(BaseModel):
    """No unknown key, no conversion."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Asked(Body):
    """Records, each a mapping of column to value; of images nested lists of grey levels."""

    records: list[Any] = Field(examples=[[{"glucose": 148, "bmi": 33.6, "age": 50}]])


class Split(Body):
    """A data frame as MLflow sends it."""

    columns: list[str]
    data: list[list[Any]]
    index: list[Any] | None = None


class Invocation(Body):
    """One of the shapes of MLflow's protocol."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | dict[str, list[Any]] | None = None
    inputs: list[Any] | dict[str, list[Any]] | None = None
    params: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _of_one_shape(self) -> "Invocation":
        given = (self.dataframe_split, self.dataframe_records, self.instances, self.inputs)
        if sum(one is not None for one in given) != 1:
            raise ValueError(
                "expected one of dataframe_split, dataframe_records, instances, inputs"
            )
        return self


class Diagnosis(Body):
    """What came of one record: class 1 or not."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    ill: bool


class Diagnoses(Body):
    """Of several records."""

    diagnoses: list[Diagnosis]


class Reason(Body):
    """Why something is done."""

    reason: Line


class NewKey(Body):
    """Whose key, for what, and how long."""

    client: Annotated[str, Field(pattern=NAME)]
    role: Role
    days: Annotated[int, Field(ge=1, le=3650)]
